//! What commands print: data to standard output, as a table or as JSON, and nothing else there.

use anyhow::Result;
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};
use std::process;

/// Prints data for programs.
pub fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    print(&format!("{text}\n"))
}

/// Prints one line.
pub fn line(text: impl Display) -> Result<()> {
    print(&format!("{text}\n"))
}

/// Prints rows under their headings, each column as wide as it must be.
pub fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<()> {
    print(&laid_out(headings, rows))
}

/// A time as people read it.
pub fn time(time: DateTime<Utc>) -> String {
    time.trunc_subsecs(0).format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Nothing for a time that there is not.
pub fn time_if(time: Option<DateTime<Utc>>) -> String {
    time.map(self::time).unwrap_or_default()
}

fn laid_out<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Someone who reads the first lines only, as `head` does, is no failure of ours.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces() {
        let rows = [["amcibersblt", "active"], ["ä", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(
            laid_out(["INSTANCE", "STATUS"], rows),
            "INSTANCE     STATUS\namcibersblt  active\nä\n"
        );
    }
}
