//! What commands read: files, or standard input where a dash stands for one.

use super::wrong;
use crate::register::tokens;
use anyhow::Result;
use secrecy::{ExposeSecret, SecretString};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

/// Far more than any query or token has, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// What stands in a file, or in standard input when it is named `-`.
pub fn text(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().take(BYTES_MAX).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
    };
    let file = path.display();
    read.map_err(|error| wrong(format!("cannot read {file}: {error}")))?;
    if text.len() as u64 == BYTES_MAX {
        return Err(wrong(format!("{file} is longer than 1 MiB: is it the right file?")));
    }
    if text.contains('\0') {
        return Err(wrong(format!(
            "{file} has a NUL character in it, which no query and no token has: is it the right file?"
        )));
    }
    Ok(text)
}

/// A secret alone in a file.
pub fn secret(file: &Path) -> Result<SecretString> {
    Ok(SecretString::from(text(file)?.trim()))
}

/// A refresh token of Login with Amazon, from a file or else from standard input.
///
/// Never from an argument, which everybody on the machine can see.
pub fn refresh_token(file: Option<&Path>) -> Result<SecretString> {
    let text = if let Some(file) = file {
        SecretString::from(self::text(file)?)
    } else {
        if io::stdin().is_terminal() {
            eprintln!("Paste the refresh token (it will be visible), then press Enter and Ctrl-D:");
        }
        SecretString::from(self::text(Path::new("-"))?)
    };
    let token = tokens::read(text.expose_secret()).map_err(wrong)?;
    if let Some(warning) = tokens::warning(&token) {
        eprintln!("Warning: {warning}.");
    }
    Ok(token)
}
