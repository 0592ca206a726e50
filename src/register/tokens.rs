//! Refresh tokens of Login with Amazon: what can be one, and how it is kept.

use crate::config::Keys;
use crate::store::Sealed;
use secrecy::{ExposeSecret, SecretString};

/// How a refresh token begins.
const PREFIX: &str = "Atzr|";
/// How an access token begins, which is often taken for one.
const ACCESS_PREFIX: &str = "Atza|";
/// Amazon says that a token may have 2,048 bytes.
const BYTES_MAX: usize = 8192;

/// A refresh token without the blanks around it.
///
/// # Errors
/// A sentence that says what is obviously wrong, and never repeats it.
pub fn read(text: &str) -> Result<SecretString, &'static str> {
    let token = text.trim();
    if token.is_empty() {
        return Err("the refresh token is empty: give the one that Amazon gave the user");
    }
    if token.len() > BYTES_MAX {
        return Err("the refresh token is longer than any token is: give the token alone");
    }
    if token.starts_with(ACCESS_PREFIX) {
        return Err(
            "this is an access token, which ends within the hour: give the refresh token, \
                    which begins with Atzr|",
        );
    }
    let is_one_word = token.chars().all(|letter| letter.is_ascii_graphic());
    if !is_one_word || token.starts_with('{') || token.contains('"') {
        return Err("the refresh token has characters that no token has: give the token alone, \
                    without quotes or spaces");
    }
    Ok(SecretString::from(token))
}

/// What is odd about a refresh token that is taken all the same.
pub fn warning(token: &SecretString) -> Option<&'static str> {
    let is_usual = token.expose_secret().starts_with(PREFIX);
    (!is_usual).then_some("Amazon's refresh tokens begin with Atzr|, and this one does not")
}

/// A secret as it is stored.
pub fn seal(keys: &Keys, secret: &SecretString) -> Sealed {
    Sealed::new(keys.ring().encrypt(secret.expose_secret().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_refresh_token_is_refused_without_repeating_it() {
        let long = "hunter2".repeat(2000);
        for token in
            ["", "Atza|hunter2", "Atzr|hunter2 Atzr|hunter2", "{\"refresh\":1}", "\"x\"", &long]
        {
            let problem = read(token).expect_err("it is refused");
            assert!(!problem.contains("hunter2") && problem.contains(": give "), "{problem}");
        }
        for token in ["Atzr|IwEBIJ-x_y/z+=", " some-older-form\n"] {
            assert_eq!(read(token).expect("it is one").expose_secret(), token.trim());
        }
    }

    #[test]
    fn an_unusual_token_is_warned_of() {
        assert_eq!(warning(&SecretString::from("Atzr|x")), None);
        assert!(warning(&SecretString::from("some-older-form")).is_some());
    }
}
