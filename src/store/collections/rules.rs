//! How a collection goes forward: in which order, how many weeks at a time, and how many may fail.

use crate::store::words::words;

words! {
    /// In which order the weeks of a collection have their turn.
    FeedOrder as "feed_order" {
        /// From the earliest week on.
        OldestFirst = "oldest_first",
        /// From the latest week back.
        NewestFirst = "newest_first",
        /// From both ends in turn.
        Interleaved = "interleaved",
    }
}

/// How a collection goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// In which order its weeks have their turn.
    pub feed_order: FeedOrder,
    /// How many of its weeks are in the queue at most, from their turn to their end; 1 to 1000.
    pub max_queued_weeks: i32,
    /// So many failed weeks pause it; none when their number never does.
    pub max_failed_weeks: Option<i32>,
    /// So many percent of the weeks that are asked for pause it when they failed, 1 to 100; none when their share never does.
    pub max_failed_percent: Option<i32>,
}

impl Rules {
    /// The same with this budget of failed weeks, a number or a share or both; the usual number when
    /// neither is given.
    #[must_use]
    pub fn with_budget(self, weeks: Option<i32>, percent: Option<i32>) -> Self {
        match (weeks, percent) {
            (None, None) => self,
            _ => Self { max_failed_weeks: weeks, max_failed_percent: percent, ..self },
        }
    }
}

impl Default for Rules {
    /// Twenty in the queue are twice what one instance of AMC runs at once.
    fn default() -> Self {
        Self {
            feed_order: FeedOrder::OldestFirst,
            max_queued_weeks: 20,
            max_failed_weeks: Some(3),
            max_failed_percent: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_alone_is_the_whole_budget() {
        let budget = |weeks, percent| {
            let rules = Rules::default().with_budget(weeks, percent);
            (rules.max_failed_weeks, rules.max_failed_percent)
        };
        assert_eq!(budget(None, None), (Some(3), None));
        assert_eq!(budget(None, Some(10)), (None, Some(10)));
        assert_eq!(budget(Some(9), None), (Some(9), None));
        assert_eq!(budget(Some(9), Some(10)), (Some(9), Some(10)));
    }
}
