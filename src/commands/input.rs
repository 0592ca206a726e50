//! What commands read: files, or standard input where a dash stands for one.

use super::wrong;
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
    let token = text.expose_secret().trim();
    if let Some(problem) = unfit(token) {
        return Err(wrong(problem));
    }
    if !token.starts_with("Atzr|") {
        eprintln!("Warning: Amazon's refresh tokens begin with Atzr|, and this one does not.");
    }
    Ok(SecretString::from(token))
}

/// What is obviously wrong with a refresh token, if anything is. Never repeats it.
fn unfit(token: &str) -> Option<&'static str> {
    if token.is_empty() {
        return Some(
            "the refresh token is empty: give it on standard input or with --refresh-token-file",
        );
    }
    if token.starts_with("Atza|") {
        return Some(
            "this is an access token, which ends within the hour: give the refresh token, which begins with Atzr|",
        );
    }
    let is_one_word = token.chars().all(|letter| letter.is_ascii_graphic());
    if !is_one_word || token.starts_with('{') || token.contains('"') {
        return Some(
            "the refresh token has characters that no token has: give the token alone, without quotes or spaces",
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_refresh_token_is_refused_without_repeating_it() {
        for token in ["", "Atza|hunter2", "Atzr|hunter2 Atzr|hunter2", "{\"refresh\":1}", "\"x\""] {
            let problem = unfit(token).expect("it is refused");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        assert_eq!(unfit("Atzr|IwEBIJ-x_y/z+="), None);
        assert_eq!(unfit("some-older-form"), None);
    }
}
