//! Checksums that depend on what was said, not on the order in which it was said.

use sha2::{Digest, Sha256};

use super::column::Column;

/// A checksum over a multiset of rows.
///
/// AMC promises no order of rows, nor of columns, nor how it cuts a result into files. So every row
/// is hashed as its non-null values under their names, in the order of the names, and the hashes
/// are added modulo 2^256: any order gives the same sum, and unlike with exclusive or, a row that
/// comes twice counts twice. A null and a column that is not there are the same. This finds
/// restated data; it is no defence against somebody who forges rows.
#[derive(Default)]
pub(super) struct RowsDigest {
    /// Little-endian 64-bit limbs.
    sum: [u64; 4],
    count: u64,
}

/// One row on its way into a [`RowsDigest`]. Values must come in the byte order of their names.
pub(super) struct RowHash(Sha256);

impl RowsDigest {
    pub fn row() -> RowHash {
        RowHash(Sha256::new())
    }

    pub fn add(&mut self, row: RowHash) {
        let hash: [u8; 32] = row.0.finalize().into();
        let mut carry = false;
        for (limb, bytes) in self.sum.iter_mut().zip(hash.as_chunks::<8>().0) {
            let (partial, first) = limb.overflowing_add(u64::from_le_bytes(*bytes));
            let (total, second) = partial.overflowing_add(u64::from(carry));
            (*limb, carry) = (total, first || second);
        }
        self.count += 1;
    }

    pub fn finish(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"recomamp rows 1");
        hash.update(self.count.to_be_bytes());
        for limb in self.sum {
            hash.update(limb.to_le_bytes());
        }
        hash.finalize().into()
    }
}

impl RowHash {
    pub fn value(&mut self, name: &str, value: &str) {
        put(&mut self.0, name);
        put(&mut self.0, value);
    }
}

/// A checksum over names, types and roles of the columns, in whatever order they come.
pub(super) fn schema_digest(columns: &[Column]) -> [u8; 32] {
    let mut sorted: Vec<_> = columns.iter().collect();
    sorted.sort_unstable_by_key(|column| &column.name);
    let mut hash = Sha256::new();
    hash.update(b"recomamp schema 1");
    for column in sorted {
        put(&mut hash, &column.name);
        put(&mut hash, &column.data_type);
        put(&mut hash, &column.column_type);
    }
    hash.finalize().into()
}

/// The length keeps neighbours apart: "ab" + "c" is not "a" + "bc".
fn put(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(rows: &[&[(&str, &str)]]) -> [u8; 32] {
        let mut digest = RowsDigest::default();
        for values in rows {
            let mut row = RowsDigest::row();
            values.iter().for_each(|(name, value)| row.value(name, value));
            digest.add(row);
        }
        digest.finish()
    }

    #[test]
    fn the_order_of_rows_does_not_matter() {
        let (one, two, three) = ([("a", "1")], [("a", "2")], [("a", "3")]);
        assert_eq!(digest(&[&one, &two, &three]), digest(&[&three, &one, &two]));
    }

    #[test]
    fn a_row_that_comes_twice_counts_twice() {
        let (one, two) = ([("a", "1")], [("a", "2")]);
        assert_ne!(digest(&[&one, &one, &two]), digest(&[&two]));
        assert_ne!(digest(&[&one, &one]), digest(&[&two, &two]));
        assert_ne!(digest(&[]), digest(&[&[]]));
    }

    #[test]
    fn values_do_not_run_into_each_other() {
        assert_ne!(digest(&[&[("a", "bc")]]), digest(&[&[("ab", "c")]]));
        assert_ne!(digest(&[&[("a", "1"), ("b", "2")]]), digest(&[&[("a", "1")], &[("b", "2")]]));
    }

    #[test]
    fn a_schema_is_the_same_in_any_order_and_another_with_another_type() {
        let column = |name: &str, data_type: &str| Column {
            data_type: data_type.to_owned(),
            ..Column::undeclared(name)
        };
        let (a, b) = (column("a", "LONG"), column("b", "STRING"));
        assert_eq!(schema_digest(&[a.clone(), b.clone()]), schema_digest(&[b.clone(), a]));
        assert_ne!(schema_digest(&[column("a", "LONG")]), schema_digest(&[column("a", "DOUBLE")]));
        assert_ne!(schema_digest(&[column("a", "LONG")]), schema_digest(&[b]));
    }
}
