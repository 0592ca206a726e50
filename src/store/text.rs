//! Texts from outside, made fit for the database: without NUL, and not endless.

/// The longest message kept in a row, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// The longest body kept of an unexpected answer, in bytes.
const BODY_BYTES_MAX: usize = 16 << 10;

/// A message of somebody else, as it can be stored.
pub(super) fn message(text: &str) -> String {
    fit(text, MESSAGE_BYTES_MAX)
}

/// The body of an answer, as it can be stored.
pub(super) fn body(text: &str) -> String {
    fit(text, BODY_BYTES_MAX)
}

/// Cuts at a character's border, then replaces NUL, which a `text` of Postgres cannot hold.
fn fit(text: &str, bytes_max: usize) -> String {
    // The replacement has a width of one byte too, so it never makes the text too long again.
    text[..text.floor_char_boundary(bytes_max)].replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(fit("añb", 2), "a");
        assert_eq!(fit("añb", 3), "añ");
        assert_eq!(fit("añb", 4), "añb");
    }

    #[test]
    fn nul_becomes_a_space() {
        assert_eq!(message("\0a\0"), " a ");
    }

    #[test]
    fn a_body_is_kept_up_to_its_cap() {
        assert_eq!(body(&"x".repeat(20_000)).len(), 16_384);
    }
}
