//! What people and programs write, read alike by the command line and by HTTP: names, reasons, ids, days,
//! times, time zones.
//!
//! What is wrong is told as a phrase that follows the name of the option or field, with the remedy after
//! its colon.

use chrono::{DateTime, NaiveDate, Utc, Weekday};
use chrono_tz::{TZ_VARIANTS, Tz};
use url::Url;

/// The longest name of a thing or a person, in characters: it stands in a table on a page.
pub const NAME_MAX: usize = 200;
/// The longest id that is chosen by whoever adds a thing, in characters.
pub const ID_MAX: usize = 64;
/// The longest name that anything has for programs, in characters: a resource may be called so.
pub const ANY_ID_MAX: usize = 512;
/// The longest reason, in characters: a sentence, not the log that led to it.
pub const REASON_MAX: usize = 1000;
/// The longest address, in characters: what servers everywhere accept.
pub const ADDRESS_MAX: usize = 2000;

/// What was read, or what is wrong with it.
pub type Given<T> = Result<T, String>;

/// What to call something on a page, or who somebody is.
///
/// # Errors
/// It is empty, too long, or no plain line.
pub fn name(text: &str) -> Given<String> {
    if text.trim().is_empty() {
        return Err("is empty: give a name".to_owned());
    }
    line(text, NAME_MAX)
}

/// A resource that gates hang on, whether anything uses it yet or not.
///
/// # Errors
/// It is empty, too long, or no plain line.
pub fn resource(text: &str) -> Given<String> {
    if text.trim().is_empty() {
        return Err("is empty: name a resource such as kind:ping".to_owned());
    }
    line(text, ANY_ID_MAX)
}

/// Why somebody does something. Whether it may be empty, the one who asks for it says.
///
/// # Errors
/// It is too long, or no plain line.
pub fn reason(text: &str) -> Given<String> {
    line(text, REASON_MAX)
}

/// Why somebody does something, for whoever finds it later.
///
/// # Errors
/// It is empty, too long, or no plain line.
pub fn sentence(text: &str) -> Given<String> {
    let text = text.trim();
    if text.is_empty() { Err("is empty: give a sentence".to_owned()) } else { reason(text) }
}

/// An id of one's own choice.
///
/// # Errors
/// It is empty, too long, or has letters that do not fit into an address.
pub fn id(text: &str) -> Given<String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    // A lone dot or two would climb the path of an address instead of naming something in it.
    let is_path = ["", ".", ".."].contains(&text);
    if is_path || text.chars().count() > ID_MAX || !text.chars().all(fits) {
        return Err(format!(
            "is no id: give letters, digits, dot, hyphen and underscore, at most {ID_MAX}"
        ));
    }
    Ok(text.to_owned())
}

/// What names a thing that is there already, of whatever kind.
///
/// # Errors
/// It is empty or too long.
pub fn any_id(text: &str) -> Given<String> {
    if text.trim().is_empty() {
        return Err("is empty: give the id of a thing".to_owned());
    }
    line(text, ANY_ID_MAX)
}

/// A web address.
///
/// # Errors
/// It is none, or too long.
pub fn address(text: &str) -> Given<Url> {
    let text = at_most(text, ADDRESS_MAX)?;
    let wrong = |error| format!("is no address ({error}): write one as in https://example.com/x");
    Url::parse(&text).map_err(wrong)
}

/// How people name a user.
///
/// # Errors
/// It is no address, or too long.
pub fn email(text: &str) -> Given<String> {
    let halves = text.split_once('@');
    let is_email = halves.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && !text.contains(char::is_whitespace);
    if !is_email {
        return Err("is no address: give one such as ana@example.com".to_owned());
    }
    name(text)
}

/// A day of the week, in English: `monday`, `mon`.
///
/// # Errors
/// It is none.
pub fn weekday(text: &str) -> Given<Weekday> {
    text.parse().map_err(|_| {
        "is no day of the week: give monday, tuesday, wednesday, thursday, friday, saturday or sunday"
            .to_owned()
    })
}

/// A day.
///
/// # Errors
/// It is none.
pub fn date(text: &str) -> Given<NaiveDate> {
    text.parse().map_err(|_| "is no date: give one such as 2026-01-31".to_owned())
}

/// A moment, with its offset from UTC.
///
/// # Errors
/// It is none, or nobody knows of which zone it is.
pub fn time(text: &str) -> Given<DateTime<Utc>> {
    text.parse().map_err(|_| {
        "is no time: give one such as 2026-01-31T08:00:00Z, or with an offset as in \
         2026-01-31T08:00:00+01:00"
            .to_owned()
    })
}

/// A time zone of the IANA database.
///
/// # Errors
/// There is none of this name.
pub fn zone(text: &str) -> Given<Tz> {
    text.parse().map_err(|_| {
        let example = "give an IANA zone such as Europe/Berlin";
        match near(text) {
            Some(near) => format!("is no time zone: did you mean {near}? Else {example}"),
            None => format!("is no time zone: {example}"),
        }
    })
}

/// The zone that was most likely meant: the same but for its letters' case, its blanks, or the continent.
fn near(text: &str) -> Option<&'static str> {
    let plain = |text: &str| text.trim().to_lowercase().replace(' ', "_");
    let meant = plain(text);
    let names = || TZ_VARIANTS.iter().map(|zone| zone.name());
    let city = |name: &str| name.rsplit('/').next().map(plain);
    let place = city(text).filter(|place| place.len() > 2);
    names().find(|name| plain(name) == meant).or_else(|| names().find(|name| city(name) == place))
}

/// One line, as it will be printed: nothing that a terminal or a table would take for more than a letter.
fn line(text: &str, most: usize) -> Given<String> {
    match text.chars().find(|letter| letter.is_control()) {
        Some(letter) => Err(format!(
            "has a line break, a tab or another control character in it (U+{:04X}): give one line of plain \
             text",
            u32::from(letter)
        )),
        None => at_most(text, most),
    }
}

fn at_most(text: &str, most: usize) -> Given<String> {
    match text.chars().count() {
        count if count > most => {
            Err(format!("has {count} characters, which is too long: give at most {most}"))
        }
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_refused_with_the_length_that_fits() {
        for (read, most) in [
            (name as fn(&str) -> Given<String>, NAME_MAX),
            (reason, REASON_MAX),
            (id, ID_MAX),
            (any_id, ANY_ID_MAX),
            (|text| address(&format!("https://a.b/{text}")).map(String::from), ADDRESS_MAX - 12),
        ] {
            assert!(read(&"a".repeat(most)).is_ok(), "{most}");
            let said = read(&"a".repeat(most + 1)).expect_err("one too many");
            assert!(said.contains(": give ") && said.contains("at most "), "{said}");
        }
        // Characters, not bytes.
        assert!(name(&"ä".repeat(NAME_MAX)).is_ok());
        assert!(name("  ").is_err() && id("a b").is_err() && id("").is_err());
    }

    #[test]
    fn what_a_terminal_would_obey_is_no_name_and_no_reason() {
        for letter in ["\x1b[2J", "\x07", "\n", "\t", "\u{9b}31m", "\x7f"] {
            for read in [name as fn(&str) -> Given<String>, reason, sentence] {
                let said = read(&format!("a{letter}b")).expect_err("it would be printed");
                assert!(said.contains("(U+00") && said.ends_with("plain text"), "{said}");
            }
        }
        assert_eq!(
            sentence(" with a line break at its end\n").as_deref(),
            Ok("with a line break at its end")
        );
        assert!(name("Zoë's 名前 🎉").is_ok());
    }

    #[test]
    fn a_misspelt_zone_is_told_which_one_may_be_meant() {
        assert_eq!(zone("Europe/Berlin"), Ok(Tz::Europe__Berlin));
        for (text, meant) in [
            ("europe/berlin", "Europe/Berlin"),
            ("Berlin", "Europe/Berlin"),
            ("america/new york", "America/New_York"),
            ("Asia/Sydney", "Australia/Sydney"),
        ] {
            let said = zone(text).expect_err(text);
            assert!(said.contains(&format!("did you mean {meant}?")), "{said}");
        }
        for text in ["", "Mars", "/", "Europe/"] {
            let said = zone(text).expect_err(text);
            assert_eq!(said, "is no time zone: give an IANA zone such as Europe/Berlin");
        }
    }

    #[test]
    fn a_day_and_a_moment_are_told_apart() {
        assert!(date("2026-02-28").is_ok() && time("2026-02-28T08:00:00+01:00").is_ok());
        for text in ["", "0000-00-00", "2026-02-29", "tomorrow", "2026-02-28T08:00:00Z"] {
            assert!(date(text).expect_err(text).contains(": give one such as"), "{text}");
        }
        for text in ["", "2026-02-28", "2026-02-28T08:00:00", "soon"] {
            assert!(time(text).expect_err(text).contains(": give one such as"), "{text}");
        }
    }

    #[test]
    fn a_day_of_the_week_is_named_in_full_or_in_short() {
        assert_eq!((weekday("sunday"), weekday("Mon")), (Ok(Weekday::Sun), Ok(Weekday::Mon)));
        assert!(weekday("notaday").expect_err("none").contains("monday"));
    }
}
