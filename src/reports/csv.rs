//! Reads AMC's result files: every row counted and summed, the first ones kept, all in one pass.
//!
//! AMC's dialect: comma, double quotes, a backslash before a quote inside quotes (quotes are not
//! doubled), a header in every file. Values stay text, so a 19-digit id is never rounded. An empty
//! value or `NULL` is *suppressed* (too few people behind it): null, not zero. A file of one column
//! cannot show a suppressed row, because that is an empty line.
//!
//! Nothing grows with the result but what [`Options::kept_bytes_max`] allows.

use std::{collections::BTreeMap, fs::File, io::Read, panic::resume_unwind, path::PathBuf};

use super::{
    column::Column,
    metrics::{Metrics, TooLarge},
    parser::Parser,
};

/// How to read a result.
#[derive(Debug, Clone)]
pub struct Options {
    /// The execution's `outputColumns`; may be empty when AMC did not tell.
    pub declared: Vec<Column>,
    /// How much memory the kept rows may take, in bytes; zero keeps none.
    pub kept_bytes_max: usize,
    /// The longest record, in bytes; a file with a longer one is refused. At least 64 KiB.
    pub record_bytes_max: u64,
}

impl Default for Options {
    /// Nothing declared, 8 MiB kept, records of at most 16 MiB.
    fn default() -> Self {
        Self { declared: Vec::new(), kept_bytes_max: 8 << 20, record_bytes_max: 16 << 20 }
    }
}

/// A result, read to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The columns of all files by name, in the order in which they were first seen. When no file
    /// has a header, the declared ones.
    pub columns: Vec<Column>,
    /// Rows in all files, without headers and quarantined rows.
    pub row_count: i64,
    /// Bytes of all files, after unpacking.
    pub byte_count: i64,
    /// Files, empty ones included.
    pub file_count: i64,
    /// A checksum over the rows that does not depend on the order of rows, columns or files.
    pub content_sha256: [u8; 32],
    /// A checksum over names, types and roles of the columns, in any order.
    pub schema_sha256: [u8; 32],
    /// Values that were empty or `NULL`.
    pub suppressed_values: i64,
    /// Rows with another number of fields than their header; they are counted here and nowhere else.
    pub quarantined_rows: i64,
    /// Values that were not UTF-8 and lost characters.
    pub lossy_values: i64,
    /// Values out of which NUL characters were taken, which Postgres cannot store.
    pub nul_values: i64,
    /// Values of additive columns that are no numbers; they are in no sum.
    pub unreadable_values: i64,
    /// The first rows, as many as fit, each as long as `columns`.
    pub kept: Vec<Vec<Option<String>>>,
    /// Whether there are more rows than `kept` has.
    pub truncated: bool,
    /// The sum of every additive column with at least one value; of a result without rows, zeros.
    pub totals: Metrics,
    /// Suppressed values of every additive column.
    pub null_counts: BTreeMap<String, i64>,
}

/// Why a result could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or unpacked: it is cut off or damaged. Fetching it again may help.
    #[error("could not read result file {file}: fetch it again")]
    Read {
        /// Which file, from 1.
        file: usize,
        /// What the reader said.
        source: std::io::Error,
    },
    /// A record has no end, most likely because a quote is never closed.
    #[error(
        "a record of result file {file}, about line {line}, is longer than {limit} bytes: a quote is not closed, or record_bytes_max is too small"
    )]
    RecordTooLong {
        /// Which file, from 1.
        file: usize,
        /// Where the record begins, from 1.
        line: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The header is longer than that of any query.
    #[error("result file {file} has {count} columns: it is not a result of AMC, fetch it again")]
    TooManyColumns {
        /// Which file, from 1.
        file: usize,
        /// How many.
        count: usize,
    },
    /// The header has none of the columns that the execution declared: an error page, or a file
    /// without a header.
    #[error(
        "result file {file} begins with {found:?}, which has none of the execution's columns: fetch it again"
    )]
    ForeignHeader {
        /// Which file, from 1.
        file: usize,
        /// The beginning of the header.
        found: String,
    },
    /// A sum that cannot be said.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

impl Error {
    /// Whether the same files, fetched again, would be read no better.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::RecordTooLong { .. } | Self::TooLarge(_))
    }
}

/// Reads result files, one at a time and in order, on a thread where blocking is allowed.
pub async fn parse_files(paths: Vec<PathBuf>, options: Options) -> Result<Parsed, Error> {
    let parse = move || {
        let mut parser = Parser::new(&options);
        for path in paths {
            let file = File::open(path).map_err(|source| parser.unreadable(source))?;
            parser.read(file)?;
        }
        parser.finish()
    };
    match tokio::task::spawn_blocking(parse).await {
        Ok(parsed) => parsed,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(stopped) => Err(Error::Read { file: 1, source: stopped.into() }),
        },
    }
}

/// Reads result files, one at a time and in order. Blocks; in async code use [`parse_files`].
pub fn parse<R: Read>(
    files: impl IntoIterator<Item = R>,
    options: &Options,
) -> Result<Parsed, Error> {
    let mut parser = Parser::new(options);
    for file in files {
        parser.read(file)?;
    }
    parser.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use rust_decimal::Decimal;
    use serde_json::json;

    use super::*;

    fn column(name: &str, data_type: &str, column_type: &str) -> Column {
        Column {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            column_type: column_type.to_owned(),
        }
    }

    fn declared(columns: &[(&str, &str, &str)]) -> Options {
        let columns = columns.iter().map(|&(name, data, role)| column(name, data, role));
        Options { declared: columns.collect(), ..Options::default() }
    }

    fn parsed(files: &[&[u8]]) -> Parsed {
        parse(files.iter().copied(), &Options::default()).unwrap()
    }

    fn text(file: &str) -> Parsed {
        parsed(&[file.as_bytes()])
    }

    fn names(parsed: &Parsed) -> Vec<&str> {
        parsed.columns.iter().map(|column| column.name.as_str()).collect()
    }

    fn cells(row: &[Option<String>]) -> Vec<&str> {
        row.iter().map(|cell| cell.as_deref().unwrap_or("∅")).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_result_is_counted_summed_and_kept() {
        let options = declared(&[
            ("campaign_id", "LONG", "DIMENSION"),
            ("spend", "DECIMAL", "METRIC"),
            ("impressions", "LONG", "METRIC"),
        ]);
        let file = "campaign_id,spend,impressions\n9223372036854775807,0.10,7\n12,0.20,3\n";
        let parsed = parse([file.as_bytes()], &options).unwrap();
        assert_eq!((parsed.row_count, parsed.file_count), (2, 1));
        assert_eq!(parsed.byte_count, i64::try_from(file.len()).unwrap());
        assert_eq!(parsed.columns, options.declared);
        assert_eq!(
            serde_json::to_value(&parsed.totals).unwrap(),
            json!({"impressions": "10", "spend": "0.3"})
        );
        assert_eq!(cells(&parsed.kept[0]), ["9223372036854775807", "0.10", "7"]);
        assert!(!parsed.truncated);
    }

    #[test]
    fn quotes_are_escaped_by_backslash_and_may_hold_commas_and_line_ends() {
        let parsed = text("a,b\r\n\"say \\\"hi\\\", you\",\"C:\\\\ads\r\nnext\"\r\nplain\\,2\r\n");
        assert_eq!(parsed.row_count, 2);
        assert_eq!(cells(&parsed.kept[0]), ["say \"hi\", you", "C:\\ads\r\nnext"]);
        assert_eq!(cells(&parsed.kept[1]), ["plain\\", "2"]);
    }

    #[test]
    fn a_quote_too_many_spoils_its_own_value_and_not_the_next_row() {
        let parsed = text("a,clicks\n\"x\"\",1\ny,2\n");
        assert_eq!((parsed.row_count, parsed.quarantined_rows), (2, 0));
        assert_eq!(cells(&parsed.kept[0]), ["x\"", "1"]);
    }

    #[test]
    fn blank_and_null_are_suppressed_not_zero() {
        let parsed = text("campaign,clicks,spend\na,,1.5\nb,NULL,\nNULL,4,2.5\n");
        assert_eq!(parsed.suppressed_values, 4);
        assert_eq!(parsed.totals.get("clicks"), Some(Decimal::from(4)));
        assert_eq!(parsed.totals.get("spend"), Some(Decimal::from(4)));
        assert_eq!(
            parsed.null_counts,
            BTreeMap::from([("clicks".to_owned(), 2), ("spend".to_owned(), 1)])
        );
        assert_eq!(cells(&parsed.kept[1]), ["b", "∅", "∅"]);
    }

    #[test]
    fn a_metric_of_which_every_value_is_suppressed_has_no_sum() {
        let parsed = text("campaign,clicks\na,\nb,NULL\n");
        assert_eq!(parsed.totals.get("clicks"), None);
        assert_eq!(parsed.null_counts["clicks"], 2);
    }

    #[test]
    fn a_header_alone_is_a_result_without_rows_and_with_zero_sums() {
        let parsed = text("campaign,clicks\n");
        assert_eq!((parsed.row_count, parsed.file_count, parsed.truncated), (0, 1, false));
        assert_eq!(names(&parsed), ["campaign", "clicks"]);
        assert_eq!(parsed.totals.get("clicks"), Some(Decimal::ZERO));
    }

    #[test]
    fn a_file_without_a_byte_has_no_rows_and_the_declared_columns() {
        let options =
            declared(&[("campaign", "STRING", "DIMENSION"), ("clicks", "LONG", "METRIC")]);
        let empty = parse([b"".as_slice()], &options).unwrap();
        let header = parse([b"campaign,clicks\n".as_slice()], &options).unwrap();
        assert_eq!((empty.row_count, empty.byte_count, empty.file_count), (0, 0, 1));
        assert_eq!(empty.schema_sha256, header.schema_sha256);
        assert_eq!(empty.content_sha256, header.content_sha256);
        assert_eq!(empty.totals, header.totals);
    }

    #[test]
    fn files_with_another_order_or_other_columns_are_joined_by_name() {
        let parsed = parsed(&[b"a,clicks\nx,1\n", b"clicks,b,a\n2,new,y\n", b"a,clicks\n"]);
        assert_eq!(names(&parsed), ["a", "clicks", "b"]);
        assert_eq!(cells(&parsed.kept[0]), ["x", "1", "∅"]);
        assert_eq!(cells(&parsed.kept[1]), ["y", "2", "new"]);
        assert_eq!(parsed.totals.get("clicks"), Some(Decimal::from(3)));
        assert_eq!((parsed.row_count, parsed.file_count), (2, 3));
        assert_eq!(parsed.suppressed_values, 0);
    }

    #[test]
    fn duplicate_and_blank_column_names_never_hide_each_other() {
        let parsed = text("spend,spend,,\n1,2,3,4\n");
        assert_eq!(names(&parsed), ["spend", "spend_2", "column", "column_2"]);
        assert_eq!(cells(&parsed.kept[0]), ["1", "2", "3", "4"]);
    }

    #[test]
    fn declared_columns_of_one_name_keep_their_own_types() {
        let options = declared(&[("spend", "DECIMAL", "METRIC"), ("spend", "STRING", "DIMENSION")]);
        let parsed = parse([b"spend,spend\n1.5,label\n".as_slice()], &options).unwrap();
        assert_eq!(parsed.columns[1], column("spend_2", "STRING", "DIMENSION"));
        assert_eq!(parsed.unreadable_values, 0);
    }

    #[test]
    fn gzip_and_a_byte_order_mark_are_seen_without_being_told() {
        let plain = b"a,clicks\nx,1\n".as_slice();
        let marked = [b"\xef\xbb\xbf".as_slice(), plain].concat();
        for file in [&marked, &gzip(plain), &gzip(&marked)] {
            let read = parsed(&[file]);
            assert_eq!(names(&read), ["a", "clicks"]);
            assert_eq!(read.content_sha256, parsed(&[plain]).content_sha256);
        }
    }

    #[test]
    fn a_cut_off_gzip_file_is_an_error_and_not_a_short_result() {
        let whole = gzip(&b"a,clicks\nx,1\n".repeat(1000));
        let error = parse([&whole[..whole.len() - 9]], &Options::default()).unwrap_err();
        assert!(matches!(error, Error::Read { file: 1, .. }), "{error:?}");
    }

    #[test]
    fn rows_of_another_width_are_quarantined_and_the_others_counted() {
        let parsed = text("a,clicks\nx,1\ntoo,many,fields\nfew\ny,2\n");
        assert_eq!((parsed.row_count, parsed.quarantined_rows), (2, 2));
        assert_eq!(parsed.totals.get("clicks"), Some(Decimal::from(3)));
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced_and_counted() {
        let parsed = parsed(&[b"a,b\ncaf\xe9,x\0y\n\0,plain\n"]);
        assert_eq!((parsed.lossy_values, parsed.nul_values), (1, 2));
        assert_eq!(cells(&parsed.kept[0]), ["caf\u{fffd}", "xy"]);
        assert_eq!(cells(&parsed.kept[1]), ["∅", "plain"]);
    }

    #[test]
    fn numbers_that_cannot_be_read_are_kept_and_counted_but_not_summed() {
        let parsed = text("a,clicks\nx,many\ny,NaN\nz,2\n");
        assert_eq!(parsed.unreadable_values, 2);
        assert_eq!(parsed.totals.get("clicks"), Some(Decimal::from(2)));
        assert_eq!(cells(&parsed.kept[0]), ["x", "many"]);
    }

    #[test]
    fn an_error_page_is_not_a_result() {
        let options = declared(&[("campaign", "STRING", "DIMENSION")]);
        let page = b"<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>".as_slice();
        let error = parse([b"campaign\na\n".as_slice(), page], &options).unwrap_err();
        assert!(matches!(error, Error::ForeignHeader { file: 2, .. }), "{error:?}");
    }

    #[test]
    fn a_header_in_another_case_still_has_the_declared_types() {
        let options = declared(&[("spend", "DECIMAL", "METRIC")]);
        let parsed = parse([b"SPEND\n1.5\n".as_slice()], &options).unwrap();
        assert_eq!(parsed.columns, [column("SPEND", "DECIMAL", "METRIC")]);
        assert_eq!(parsed.totals.get("SPEND"), Some(Decimal::new(15, 1)));
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_swallow_the_memory() {
        let head = b"a,b\nx,\"open".as_slice();
        let endless = head.chain(std::io::repeat(b'x'));
        let options = Options { record_bytes_max: 1 << 20, ..Options::default() };
        let error = parse([endless], &options).unwrap_err();
        assert!(
            matches!(error, Error::RecordTooLong { file: 1, line: 2, limit: 1_048_576 }),
            "{error:?}"
        );
    }

    #[test]
    fn a_header_without_end_does_not_swallow_the_memory() {
        let error = parse([",".repeat(1 << 20).as_bytes()], &Options::default()).unwrap_err();
        assert!(matches!(error, Error::TooManyColumns { file: 1, count: 1_048_577 }), "{error:?}");
    }

    #[test]
    fn a_value_of_64_kib_is_read_whole() {
        let long = "x".repeat(64 << 10);
        let parsed = text(&format!("a,b\n{long},1\n"));
        assert_eq!(parsed.kept[0][0].as_deref(), Some(long.as_str()));
    }

    #[test]
    fn kept_rows_are_the_beginning_and_make_room_for_columns_that_come_later() {
        let one = b"a\n1\n2\n3\n".as_slice();
        let wide = b"a,b,c,d,e,f,g,h\n4,,,,,,,\n".as_slice();
        // Three narrow rows fit; padded to eight columns only the first does.
        let cell_bytes = size_of::<String>();
        let options = Options { kept_bytes_max: 15 * cell_bytes, ..Options::default() };
        let narrow = parse([one], &options).unwrap();
        assert_eq!((narrow.kept.len(), narrow.truncated), (3, false));
        let parsed = parse([one, wide], &options).unwrap();
        assert_eq!((parsed.row_count, parsed.kept.len(), parsed.truncated), (4, 1, true));
        assert_eq!(cells(&parsed.kept[0]), ["1", "∅", "∅", "∅", "∅", "∅", "∅", "∅"]);
    }

    /// A result file made on the way, never in memory as a whole.
    struct Generated {
        next: u64,
        rows: u64,
        pending: std::io::Cursor<Vec<u8>>,
    }

    impl Read for Generated {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.pending.read(buffer)?;
            if count > 0 || self.next == self.rows {
                return Ok(count);
            }
            let row = self.next;
            self.next += 1;
            let line = format!("{},{row},0.01\n", 9_000_000_000_000_000_000 + row);
            self.pending = std::io::Cursor::new(line.into_bytes());
            self.pending.read(buffer)
        }
    }

    #[test]
    fn a_large_result_is_summed_to_its_last_row_and_only_its_beginning_is_kept() {
        let rows = 300_000;
        let pending = std::io::Cursor::new(b"campaign_id,clicks,spend\n".to_vec());
        let options = Options { kept_bytes_max: 64 << 10, ..Options::default() };
        let parsed = parse([Generated { next: 0, rows, pending }], &options).unwrap();

        assert_eq!(parsed.row_count, 300_000);
        assert_eq!(parsed.totals.get("clicks"), Some(Decimal::from(rows * (rows - 1) / 2)));
        assert_eq!(parsed.totals.get("spend"), Some(Decimal::from(3_000)));
        assert!(parsed.truncated);
        let kept_bytes = |row: &Vec<Option<String>>| {
            let text: usize = row.iter().flatten().map(String::capacity).sum();
            size_of_val(row) + row.capacity() * size_of::<Option<String>>() + text
        };
        let kept: usize = parsed.kept.iter().map(kept_bytes).sum();
        assert!(kept <= 64 << 10 && kept > 60 << 10, "{kept}");
        assert_eq!(cells(&parsed.kept[1]), ["9000000000000000001", "1", "0.01"]);
    }

    #[tokio::test]
    async fn files_are_read_from_disk_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1.csv"), folder.path().join("2.csv"));
        std::fs::write(&one, "a,clicks\nx,1\n").unwrap();
        std::fs::write(&two, gzip(b"a,clicks\ny,2\n")).unwrap();
        let parsed = parse_files(vec![one.clone(), two], Options::default()).await.unwrap();
        assert_eq!((parsed.row_count, parsed.file_count), (2, 2));

        let missing = folder.path().join("3.csv");
        let error = parse_files(vec![one, missing], Options::default()).await.unwrap_err();
        assert!(matches!(error, Error::Read { file: 2, .. }), "{error:?}");
    }

    /// Writes rows as AMC does, with the columns in the given order.
    fn written(rows: &[(String, i64)], swapped: bool) -> Vec<u8> {
        let mut file = String::from(if swapped { "clicks,name\n" } else { "name,clicks\n" });
        for (name, clicks) in rows {
            let name = format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
            let line =
                if swapped { format!("{clicks},{name}\n") } else { format!("{name},{clicks}\n") };
            file.push_str(&line);
        }
        file.into_bytes()
    }

    proptest! {
        #[test]
        fn every_text_comes_back_as_it_was_written(names in prop::collection::vec("[^\0]*", 0..20)) {
            let rows: Vec<_> = names.iter().map(|name| (name.clone(), 1)).collect();
            let parsed = parsed(&[&written(&rows, false)]);
            let read: Vec<_> = parsed.kept.iter().map(|row| row[0].clone().unwrap_or_default()).collect();
            let expected: Vec<_> =
                names.iter().map(|name| if name == "NULL" { "" } else { name }).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn the_checksum_does_not_depend_on_the_order_of_rows_columns_and_files(
            (rows, shuffled) in prop::collection::vec(("[a-z\"\\\\,]{0,4}", -99_i64..99), 0..30)
                .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
            cut in 0_usize..30,
        ) {
            let (first, second) = shuffled.split_at(cut.min(shuffled.len()));
            let whole = parsed(&[&written(&rows, false)]);
            let pieces = parsed(&[&written(first, true), &written(second, false)]);
            prop_assert_eq!(whole.content_sha256, pieces.content_sha256);
            prop_assert_eq!(whole.schema_sha256, pieces.schema_sha256);
            prop_assert_eq!(whole.totals, pieces.totals);
        }

        #[test]
        fn the_checksum_depends_on_every_value(
            rows in prop::collection::vec(("[a-z]{1,4}", -99_i64..99), 1..30),
            at in any::<prop::sample::Index>(),
        ) {
            let mut restated = rows.clone();
            restated[at.index(rows.len())].1 += 1;
            let (before, after) = (parsed(&[&written(&rows, false)]), parsed(&[&written(&restated, false)]));
            prop_assert_ne!(before.content_sha256, after.content_sha256);
        }

        #[test]
        fn no_bytes_at_all_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let known = declared(&[("a", "LONG", "METRIC")]);
            let with_header = [b"a,b\n".as_slice(), &bytes].concat();
            for file in [bytes.as_slice(), with_header.as_slice()] {
                for options in [&Options::default(), &known] {
                    if let Ok(parsed) = parse([file], options) {
                        prop_assert_eq!(i64::try_from(parsed.kept.len()), Ok(parsed.row_count));
                    }
                }
            }
        }
    }
}
