//! Whether slices cover a period exactly: no day missing, no day twice. Decided without I/O.

use chrono::NaiveDate;
use serde::Serialize;

/// A slice, and whether its rows are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its first day.
    pub start: NaiveDate,
    /// The first day after it.
    pub end: NaiveDate,
    /// Why there are no rows; none when there are.
    pub lacking: Option<Lacking>,
}

/// Why a slice has no rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lacking {
    /// Where the slice stands; `missing` when there is no slice at all.
    pub status: &'static str,
    /// Why, as far as somebody said.
    pub reason: Option<String>,
}

/// Days that are not covered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The first of them.
    pub start: NaiveDate,
    /// The first day after them.
    pub end: NaiveDate,
    /// How many slices they are; 0 when there is none.
    pub slices: u64,
    /// Why.
    #[serde(flatten)]
    pub lacking: Lacking,
}

/// Some days in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Days {
    /// The first of them.
    pub start: NaiveDate,
    /// The first day after them.
    pub end: NaiveDate,
}

/// How slices cover a period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Days of the period that no slice with rows covers. Neighbours with one reason are one gap.
    pub gaps: Vec<Gap>,
    /// Days that several slices with rows cover.
    pub overlaps: Vec<Days>,
    /// Days that slices with rows cover outside the period.
    pub outside: Vec<Days>,
}

impl Coverage {
    /// How these slices, given in any order, cover the days from `start` to before `end`.
    pub fn of(start: NaiveDate, end: NaiveDate, pieces: &[Piece]) -> Self {
        let (mut full, mut empty): (Vec<_>, Vec<_>) =
            pieces.iter().partition(|piece| piece.lacking.is_none());
        full.sort_unstable_by_key(|piece| (piece.start, piece.end));
        empty.sort_unstable_by_key(|piece| (piece.start, piece.end));
        let mut coverage = Self::default();
        let mut reached = start;
        for piece in full {
            let inside = Days { start: piece.start.max(start), end: piece.end.min(end) };
            coverage.outside.extend(days(piece.start, piece.end.min(start)));
            coverage.outside.extend(days(piece.start.max(end), piece.end));
            if inside.start >= inside.end {
                continue;
            }
            coverage.explain(days(reached, inside.start), &empty);
            coverage.overlaps.extend(days(inside.start, inside.end.min(reached)));
            reached = reached.max(inside.end);
        }
        coverage.explain(days(reached, end), &empty);
        coverage
    }

    /// Whether every day of the period is covered exactly once, and no other day.
    pub fn is_exact(&self) -> bool {
        self.gaps.is_empty() && self.overlaps.is_empty() && self.outside.is_empty()
    }

    /// Says of each part of a gap why it is one: by the slices without rows that lie in it.
    fn explain(&mut self, gap: Option<Days>, empty: &[&Piece]) {
        let Some(gap) = gap else { return };
        let mut reached = gap.start;
        for piece in empty {
            let part = days(piece.start.max(reached), piece.end.min(gap.end));
            let (Some(part), Some(lacking)) = (part, &piece.lacking) else { continue };
            self.missing(days(reached, part.start));
            self.add(part, 1, lacking.clone());
            reached = part.end;
        }
        self.missing(days(reached, gap.end));
    }

    fn missing(&mut self, gap: Option<Days>) {
        if let Some(gap) = gap {
            self.add(gap, 0, Lacking { status: "missing", reason: None });
        }
    }

    fn add(&mut self, Days { start, end }: Days, slices: u64, lacking: Lacking) {
        match self.gaps.last_mut() {
            Some(last) if last.end == start && last.lacking == lacking => {
                last.end = end;
                last.slices += slices;
            }
            _ => self.gaps.push(Gap { start, end, slices, lacking }),
        }
    }
}

/// The days from one to before another; none when there are none.
fn days(start: NaiveDate, end: NaiveDate) -> Option<Days> {
    (start < end).then_some(Days { start, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn with_rows(start: &str, end: &str) -> Piece {
        Piece { start: date(start), end: date(end), lacking: None }
    }

    fn without(start: &str, end: &str, status: &'static str) -> Piece {
        let lacking = Some(Lacking { status, reason: None });
        Piece { lacking, ..with_rows(start, end) }
    }

    fn found(pieces: &[Piece]) -> Coverage {
        Coverage::of(date("2025-01-06"), date("2025-02-03"), pieces)
    }

    #[test]
    fn weeks_that_follow_one_another_cover_their_period() {
        let coverage = found(&[
            with_rows("2025-01-20", "2025-02-03"),
            with_rows("2025-01-06", "2025-01-13"),
            with_rows("2025-01-13", "2025-01-20"),
        ]);
        assert!(coverage.is_exact(), "{coverage:?}");
    }

    #[test]
    fn a_gap_is_explained_by_the_slices_in_it() {
        let coverage = found(&[
            with_rows("2025-01-13", "2025-01-15"),
            without("2025-01-06", "2025-01-10", "failed"),
            without("2025-01-10", "2025-01-13", "failed"),
            without("2025-01-20", "2025-01-27", "skipped"),
        ]);
        let seen: Vec<_> = coverage
            .gaps
            .iter()
            .map(|gap| (gap.start, gap.end, gap.slices, gap.lacking.status))
            .collect();
        let expected = [
            (date("2025-01-06"), date("2025-01-13"), 2, "failed"),
            (date("2025-01-15"), date("2025-01-20"), 0, "missing"),
            (date("2025-01-20"), date("2025-01-27"), 1, "skipped"),
            (date("2025-01-27"), date("2025-02-03"), 0, "missing"),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn days_that_are_covered_twice_or_lie_outside_are_told() {
        let coverage = found(&[
            with_rows("2025-01-01", "2025-01-20"),
            with_rows("2025-01-08", "2025-01-10"),
            with_rows("2025-01-19", "2025-02-10"),
            with_rows("2025-03-01", "2025-03-02"),
        ]);
        let days = |start, end| Days { start: date(start), end: date(end) };
        assert_eq!(coverage.gaps, []);
        let overlaps = [days("2025-01-08", "2025-01-10"), days("2025-01-19", "2025-01-20")];
        assert_eq!(coverage.overlaps, overlaps);
        let outside = [
            days("2025-01-01", "2025-01-06"),
            days("2025-02-03", "2025-02-10"),
            days("2025-03-01", "2025-03-02"),
        ];
        assert_eq!(coverage.outside, outside);
    }

    #[test]
    fn without_slices_all_is_missing() {
        let coverage = found(&[]);
        assert_eq!(coverage.gaps.len(), 1);
        assert_eq!((coverage.gaps[0].lacking.status, coverage.gaps[0].slices), ("missing", 0));
    }

    /// Slices that follow one another, and the day after the last.
    fn tiles(lengths: &[i64]) -> (Vec<Piece>, NaiveDate) {
        let mut start = date("2024-02-01");
        let tile = |days: &i64| {
            let end = start + TimeDelta::days(*days);
            let piece = Piece { start, end, lacking: None };
            start = end;
            piece
        };
        (lengths.iter().map(tile).collect(), start)
    }

    proptest! {
        #[test]
        fn whichever_slice_is_taken_away_or_moved_it_is_told(
            lengths in proptest::collection::vec(1_i64..32, 1..60),
            which in 0_usize..60,
            by in 1_i64..40,
            earlier in proptest::bool::ANY,
        ) {
            let (tiles, end) = tiles(&lengths);
            let start = tiles[0].start;
            prop_assert!(Coverage::of(start, end, &tiles).is_exact());
            let which = which % tiles.len();

            let mut without = tiles.clone();
            let gone = without.remove(which);
            let coverage = Coverage::of(start, end, &without);
            prop_assert_eq!(coverage.gaps.len(), 1);
            prop_assert_eq!((coverage.gaps[0].start, coverage.gaps[0].end), (gone.start, gone.end));
            prop_assert!(coverage.overlaps.is_empty() && coverage.outside.is_empty());

            let mut moved = tiles.clone();
            let by = TimeDelta::days(if earlier { -by } else { by });
            moved[which].start += by;
            moved[which].end += by;
            prop_assert!(!Coverage::of(start, end, &moved).is_exact());

            let mut failed = tiles;
            failed[which].lacking = Some(Lacking { status: "failed", reason: None });
            let coverage = Coverage::of(start, end, &failed);
            prop_assert_eq!(coverage.gaps.len(), 1);
            prop_assert_eq!(coverage.gaps[0].lacking.status, "failed");
        }

        #[test]
        fn every_day_is_accounted_for_whatever_the_slices(
            slices in proptest::collection::vec((-20_i64..120, 1_i64..30, proptest::bool::ANY), 0..12),
        ) {
            let (start, end) = (date("2024-02-01"), date("2024-05-01"));
            let pieces: Vec<_> = slices
                .iter()
                .map(|(from, days, has_rows)| {
                    let first = start + TimeDelta::days(*from);
                    let lacking = (!has_rows).then_some(Lacking { status: "failed", reason: None });
                    Piece { start: first, end: first + TimeDelta::days(*days), lacking }
                })
                .collect();
            let coverage = Coverage::of(start, end, &pieces);
            for day in start.iter_days().take_while(|day| *day < end) {
                let times = pieces
                    .iter()
                    .filter(|p| p.lacking.is_none() && p.start <= day && day < p.end)
                    .count();
                let gaps = coverage.gaps.iter().filter(|g| g.start <= day && day < g.end).count();
                prop_assert_eq!(gaps, usize::from(times == 0), "{}", day);
                let twice = coverage.overlaps.iter().any(|d| d.start <= day && day < d.end);
                prop_assert_eq!(twice, times > 1, "{}", day);
            }
        }
    }
}
