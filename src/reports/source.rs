//! The bytes of one result file: unpacked when it is gzip, without a byte order mark, counted, and
//! with an end to every record.

use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;

/// The first bytes of gzip (RFC 1952, section 2.3.1).
pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The text of one result file.
///
/// A quote that is never closed would make the rest of the file one record. So the reader gets an
/// allowance of bytes for each record, and an error once it is used up: memory stays bounded
/// whatever the file says.
pub(super) struct Source<'a> {
    text: Box<dyn Read + 'a>,
    allowance: u64,
    /// Bytes of text read so far.
    pub byte_count: u64,
}

/// Raised by a [`Source`] whose reader has used up the allowance for a record.
#[derive(Debug, thiserror::Error)]
#[error("the record is too long")]
pub(super) struct AllowanceUsedUp;

impl<'a> Source<'a> {
    /// Looks at the first bytes of `raw` to see what it is: AMC's files may be gzip without saying.
    pub fn new(mut raw: impl Read + 'a) -> io::Result<Self> {
        let head = read_head(&mut raw, GZIP_MAGIC.len())?;
        let is_gzip = head == GZIP_MAGIC;
        let raw = Cursor::new(head).chain(raw);
        let mut text: Box<dyn Read> =
            if is_gzip { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
        let mut head = read_head(&mut text, BYTE_ORDER_MARK.len())?;
        if head == BYTE_ORDER_MARK {
            head.clear();
        }
        Ok(Self { text: Box::new(Cursor::new(head).chain(text)), allowance: 0, byte_count: 0 })
    }

    /// Allows the next record `bytes` bytes.
    pub fn allow(&mut self, bytes: u64) {
        self.allowance = bytes;
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.allowance == 0 {
            return Err(io::Error::other(AllowanceUsedUp));
        }
        let count = self.text.read(buffer)?;
        self.allowance = self.allowance.saturating_sub(count as u64);
        self.byte_count += count as u64;
        Ok(count)
    }
}

fn read_head(reader: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(length);
    reader.by_ref().take(length as u64).read_to_end(&mut head)?;
    Ok(head)
}
