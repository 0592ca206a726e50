//! From AMC's result files to numbers people can read.
//!
//! ```text
//! files ──▶ csv: rows, checksum, sums ──▶ a week's summary ──▶ aggregate: week, month, quarter
//!   └─────▶ files: the whole result, compressed, in a folder or on S3
//! ```
//!
//! - [`mod@column`]: what AMC says about a column, and which columns may be added up.
//! - [`csv`]: result files in AMC's dialect, streamed into one [`csv::Parsed`].
//! - [`metrics`]: exact sums by name, the ratios drawn from them, the change between two.
//! - [`aggregate`]: weeks become weeks, months and quarters.
//! - [`files`]: the result beside the database.

pub mod aggregate;
pub mod column;
pub mod csv;
pub mod files;
pub mod metrics;

mod digest;
mod header;
mod parser;
mod source;
mod sum;
