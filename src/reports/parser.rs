//! The one pass over result files: rows are counted, hashed, summed, and the first ones kept.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    io::Read,
};

use ::csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};

use super::{
    column::Column,
    csv::{Error, Options, Parsed},
    digest::{RowsDigest, schema_digest},
    header::unique_names,
    metrics::{TooLarge, to_entry},
    source::{AllowanceUsedUp, Source},
    sum::Sum,
};

const BUFFER_BYTES: usize = 64 * 1024;

/// More columns than any query has; a file with more is not a result.
const COLUMNS_MAX: usize = 2_000;

/// What is known while reading.
pub(super) struct Parser<'a> {
    options: &'a Options,
    /// Declared columns by the names the header should have.
    declared: BTreeMap<String, Column>,
    slots: HashMap<String, usize>,
    tallies: Vec<Option<Tally>>,
    rows: RowsDigest,
    kept_bytes: usize,
    parsed: Parsed,
}

/// The sum of one additive column as far as it was read.
#[derive(Default)]
struct Tally {
    sum: Sum,
    readable: u64,
    nulls: i64,
}

/// Where the fields of one file belong.
struct Layout {
    /// For every field of the file, the index of its column.
    slots: Vec<usize>,
    /// The fields of the file in the order of their names, in which rows are hashed.
    by_name: Vec<usize>,
}

impl<'a> Parser<'a> {
    pub fn new(options: &'a Options) -> Self {
        let names: Vec<_> = options.declared.iter().map(|column| column.name.clone()).collect();
        let declared = unique_names(&names)
            .into_iter()
            .zip(&options.declared)
            .map(|(name, column)| (name.clone(), Column { name, ..column.clone() }))
            .collect();
        Self {
            options,
            declared,
            slots: HashMap::new(),
            tallies: Vec::new(),
            rows: RowsDigest::default(),
            kept_bytes: 0,
            parsed: Parsed::default(),
        }
    }

    pub fn read(&mut self, raw: impl Read) -> Result<(), Error> {
        let source = Source::new(raw).map_err(|source| self.unreadable(source))?;
        self.parsed.file_count += 1;
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .escape(Some(b'\\'))
            .double_quote(false)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(source);
        let mut record = ByteRecord::new();
        if self.next(&mut reader, &mut record)? {
            let layout = self.layout(&record)?;
            while self.next(&mut reader, &mut record)? {
                self.row(&record, &layout)?;
            }
        }
        self.parsed.byte_count += signed(reader.get_ref().byte_count);
        Ok(())
    }

    fn next(
        &self,
        reader: &mut Reader<Source<'_>>,
        record: &mut ByteRecord,
    ) -> Result<bool, Error> {
        let limit = self.options.record_bytes_max.max(BUFFER_BYTES as u64);
        reader.get_mut().allow(limit);
        let line = reader.position().line();
        reader.read_byte_record(record).map_err(|error| match error.into_kind() {
            ErrorKind::Io(error) if is_allowance(&error) => {
                Error::RecordTooLong { file: self.file(), line, limit }
            }
            ErrorKind::Io(source) => Error::Read { file: self.file(), source },
            other => Error::Read {
                file: self.file(),
                source: std::io::Error::other(format!("{other:?}")),
            },
        })
    }

    /// Finds or makes the column of every field of a header.
    fn layout(&mut self, header: &ByteRecord) -> Result<Layout, Error> {
        if header.len() > COLUMNS_MAX {
            return Err(Error::TooManyColumns { file: self.file(), count: header.len() });
        }
        let read: Vec<_> = header.iter().map(|name| self.clean(name).into_owned()).collect();
        let names = unique_names(&read);
        let columns: Vec<_> = names.iter().map(|name| self.column(name)).collect();
        if !self.declared.is_empty() && columns.iter().all(Option::is_none) {
            let found = read.join(",").chars().take(80).collect();
            return Err(Error::ForeignHeader { file: self.file(), found });
        }
        let mut by_name: Vec<_> = (0..names.len()).collect();
        by_name.sort_unstable_by_key(|&field| &names[field]);
        let slots =
            names.iter().zip(columns).map(|(name, column)| self.slot(name, column)).collect();
        Ok(Layout { slots, by_name })
    }

    /// What AMC declared about the column of this name, if anything.
    fn column(&self, name: &str) -> Option<Column> {
        let declared = self.declared.get(name).or_else(|| {
            // A header that differs in nothing but case is still the declared column.
            self.declared.values().find(|column| column.name.eq_ignore_ascii_case(name))
        });
        declared.map(|column| Column { name: name.to_owned(), ..column.clone() })
    }

    fn slot(&mut self, name: &str, column: Option<Column>) -> usize {
        if let Some(&slot) = self.slots.get(name) {
            return slot;
        }
        let slot = self.parsed.columns.len();
        self.slots.insert(name.to_owned(), slot);
        self.add_column(column.unwrap_or_else(|| Column::undeclared(name)));
        slot
    }

    fn add_column(&mut self, column: Column) {
        self.tallies.push(column.is_additive().then(Tally::default));
        self.parsed.columns.push(column);
    }

    fn row(&mut self, record: &ByteRecord, layout: &Layout) -> Result<(), Error> {
        if record.len() != layout.slots.len() {
            self.parsed.quarantined_rows += 1;
            return Ok(());
        }
        self.parsed.row_count += 1;
        let mut hash = RowsDigest::row();
        let mut kept = (!self.parsed.truncated).then(|| vec![None; self.parsed.columns.len()]);
        for &field in &layout.by_name {
            let slot = layout.slots[field];
            let value = self.clean(&record[field]);
            if value.is_empty() || value == "NULL" {
                self.parsed.suppressed_values += 1;
                self.tallies[slot].iter_mut().for_each(|tally| tally.nulls += 1);
                continue;
            }
            self.add(slot, &value)?;
            hash.value(&self.parsed.columns[slot].name, &value);
            if let Some(kept) = &mut kept {
                kept[slot] = Some(value.into_owned());
            }
        }
        self.rows.add(hash);
        if let Some(kept) = kept {
            self.keep(kept);
        }
        Ok(())
    }

    /// Keeps a row while there is room. After the first that does not fit none is kept: they are
    /// the beginning of the result, not a selection.
    fn keep(&mut self, row: Vec<Option<String>>) {
        let text_bytes: usize = row.iter().flatten().map(String::len).sum();
        let bytes = text_bytes + size_of::<Vec<Option<String>>>() + size_of_val(row.as_slice());
        if self.kept_bytes + bytes > self.options.kept_bytes_max {
            self.parsed.truncated = true;
        } else {
            self.kept_bytes += bytes;
            self.parsed.kept.push(row);
        }
    }

    /// Makes all kept rows as long as the union of the columns, and gives up the last ones where
    /// that takes more room than there is.
    fn pad_kept(&mut self) {
        let width = self.parsed.columns.len();
        let mut room = self.options.kept_bytes_max.saturating_sub(self.kept_bytes);
        let mut fitting = 0;
        for row in &mut self.parsed.kept {
            let missing = width - row.len();
            let Some(left) = room.checked_sub(missing * size_of::<Option<String>>()) else { break };
            row.reserve_exact(missing);
            row.resize(width, None);
            room = left;
            fitting += 1;
        }
        self.parsed.truncated |= fitting < self.parsed.kept.len();
        self.parsed.kept.truncate(fitting);
    }

    fn add(&mut self, slot: usize, value: &str) -> Result<(), Error> {
        let Some(tally) = &mut self.tallies[slot] else { return Ok(()) };
        let Some(number) = Sum::from_text(value) else {
            self.parsed.unreadable_values += 1;
            return Ok(());
        };
        tally.readable += 1;
        tally.sum = tally
            .sum
            .checked_add(number)
            .ok_or_else(|| TooLarge::of(&self.parsed.columns[slot].name))?;
        Ok(())
    }

    /// The text of a value: UTF-8, without NUL. Counts what had to be changed.
    fn clean<'b>(&mut self, bytes: &'b [u8]) -> Cow<'b, str> {
        let text = String::from_utf8_lossy(bytes);
        if matches!(text, Cow::Owned(_)) {
            self.parsed.lossy_values += 1;
        }
        if !text.contains('\0') {
            return text;
        }
        self.parsed.nul_values += 1;
        Cow::Owned(text.replace('\0', ""))
    }

    pub fn finish(mut self) -> Result<Parsed, Error> {
        if self.parsed.columns.is_empty() {
            let names = self.options.declared.iter().map(|column| column.name.clone());
            for name in unique_names(&names.collect::<Vec<_>>()) {
                let column = self.column(&name);
                self.slot(&name, column);
            }
        }
        self.pad_kept();
        let mut parsed = self.parsed;
        let tallied = || {
            let named = parsed.columns.iter().zip(&self.tallies);
            named.filter_map(|(column, tally)| Some((column.name.as_str(), tally.as_ref()?)))
        };
        parsed.totals = tallied()
            .filter(|(_, tally)| tally.readable > 0 || parsed.row_count == 0)
            .map(|(name, tally)| to_entry(name, tally.sum))
            .collect::<Result<_, _>>()?;
        parsed.null_counts =
            tallied().map(|(name, tally)| (name.to_owned(), tally.nulls)).collect();
        parsed.content_sha256 = self.rows.finish();
        parsed.schema_sha256 = schema_digest(&parsed.columns);
        Ok(parsed)
    }

    /// The number of the file being read, from 1.
    fn file(&self) -> usize {
        usize::try_from(self.parsed.file_count).unwrap_or_default().max(1)
    }

    /// The next file cannot even be begun.
    pub fn unreadable(&self, source: std::io::Error) -> Error {
        let file = usize::try_from(self.parsed.file_count).unwrap_or_default() + 1;
        Error::Read { file, source }
    }
}

fn is_allowance(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<AllowanceUsedUp>)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
