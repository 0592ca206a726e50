//! Text → value, one function per form. Each error says what to write instead.

use fernet::Fernet;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::absolute;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use url::Url;

/// What is wrong with a text, as a phrase that follows the variable's name. It never repeats the
/// text: that may be a secret.
pub(super) type Parsed<T> = Result<T, String>;

/// `postgres://user:password@host:5432/database`.
pub(super) fn database(text: &str) -> Parsed<()> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") => Ok(()),
        _ => Err("is not a Postgres address: write postgres://user:password@host:5432/database, \
                  with special characters of the password percent-encoded"
            .to_owned()),
    }
}

/// Fernet keys separated by commas. A Fernet key is 32 bytes in URL-safe base64
/// (<https://github.com/fernet/spec>).
pub(super) fn keys(text: &str) -> Parsed<Vec<Fernet>> {
    let texts: Vec<&str> = text.split(',').map(str::trim).filter(|key| !key.is_empty()).collect();
    if texts.is_empty() {
        return Err("holds no key: make one with `recomamp keys generate`".to_owned());
    }
    texts
        .iter()
        .enumerate()
        .map(|(index, key)| {
            Fernet::new(key).ok_or_else(|| {
                format!(
                    "holds a key that is none (number {} of {}): a key is 32 bytes in URL-safe \
                     base64; make one with `recomamp keys generate`",
                    index + 1,
                    texts.len()
                )
            })
        })
        .collect()
}

/// An `http` or `https` address without credentials.
pub(super) fn http(text: &str) -> Parsed<Url> {
    match Url::parse(text) {
        Ok(url)
            if matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none() =>
        {
            Ok(url)
        }
        _ => Err("is not a web address: write one as in https://advertising-api.amazon.com, \
                  without credentials"
            .to_owned()),
    }
}

/// An address with a scheme as it is; anything else is a folder, seen from where we stand.
pub(super) fn folder_or_url(text: &str) -> Parsed<Url> {
    if text.contains("://") {
        return Url::parse(text).map_err(|error| {
            format!("is not an address ({error}): write one as in s3://bucket/prefix, or a folder")
        });
    }
    absolute(text)
        .ok()
        .and_then(|path| Url::from_directory_path(path).ok())
        .ok_or_else(|| "is not a folder: write a path such as /var/lib/recomamp/results".to_owned())
}

/// A number with its unit: `500ms`, `30s`, `5m`, `12h`, `30d`.
pub fn duration(text: &str) -> Parsed<Duration> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let wrong = "is not a duration: write a number and ms, s, m, h or d, as in 30s or 5m";
    with_unit(text, &units, wrong).map(Duration::from_millis)
}

/// Bytes, as a number with its unit: `512B`, `64KiB`, `64MiB`, `2GiB`.
pub(super) fn size(text: &str) -> Parsed<u64> {
    let units = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let wrong = "is not a size: write a number and B, KiB, MiB or GiB, as in 64MiB";
    with_unit(text, &units, wrong)
}

/// A positive whole number times its unit; `wrong` is said of what is none.
fn with_unit(text: &str, units: &[(&str, u64)], wrong: &str) -> Parsed<u64> {
    let read = || {
        let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
        number.parse::<u64>().ok()?.checked_mul(*factor)
    };
    match read() {
        Some(0) => Err("is too small: write a number above 0".to_owned()),
        read => read.ok_or_else(|| wrong.to_owned()),
    }
}

/// A whole number above zero.
pub(super) fn count(text: &str) -> Parsed<u32> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "is not a count: write a whole number above 0".to_owned())
}

/// `16`, or `16,reports=2`: a number for every queue, then exceptions.
pub(super) fn concurrency(text: &str) -> Parsed<(u32, BTreeMap<String, u32>)> {
    let wrong =
        || "is not a concurrency: write a number, or a list such as 16,reports=2".to_owned();
    let mut parts = text.split(',').map(str::trim);
    let everywhere = count(parts.next().unwrap_or_default()).map_err(|_| wrong())?;
    let queues = parts.map(|part| {
        let (queue, number) = part.split_once('=').ok_or_else(wrong)?;
        Ok((queue.trim().to_owned(), count(number.trim()).map_err(|_| wrong())?))
    });
    Ok((everywhere, queues.collect::<Parsed<_>>()?))
}

/// `true` or `false`, and what people write for them.
pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("is neither true nor false: write one of them".to_owned()),
    }
}

/// An interface and a port.
pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| {
        "is not an address to listen on: write an IP address and a port, as in 127.0.0.1:8080"
            .to_owned()
    })
}

/// A port to listen on.
pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| "is not a port: write a number from 0 to 65535".to_owned())
}

/// A filter that `tracing` understands.
pub(super) fn filter(text: &str) -> Parsed<String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            Err(format!("is not a log filter ({error}): write one as in info,recomamp=debug"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_carry_their_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("12 h"), Ok(Duration::from_hours(12)));
        assert_eq!(duration("30d"), Ok(Duration::from_hours(720)));
        assert_eq!(size("512B"), Ok(512));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("64MiB"), Ok(67_108_864));
        assert_eq!(size("2GiB"), Ok(2_147_483_648));
    }

    #[test]
    fn a_number_without_a_unit_a_zero_and_an_overflow_are_refused() {
        for text in ["", "30", "s", "0s", "-1s", "1.5h", "5 weeks", "99999999999999999999d"] {
            assert!(duration(text).is_err(), "{text:?} passed for a duration");
        }
        for text in ["", "64", "64MB", "0B", "99999999999999999GiB"] {
            assert!(size(text).is_err(), "{text:?} passed for a size");
        }
    }

    #[test]
    fn nothing_is_too_small_and_not_misspelt() {
        for read in [duration("0s").map(drop), duration("0d").map(drop), size("0MiB").map(drop)] {
            assert_eq!(read, Err("is too small: write a number above 0".to_owned()));
        }
    }

    #[test]
    fn a_folder_becomes_an_address_and_an_address_stays() {
        let folder = folder_or_url("./results").expect("a folder");
        assert_eq!(folder.scheme(), "file");
        assert!(folder.path().ends_with("/results/"), "{folder}");
        assert_eq!(folder_or_url("s3://bucket/x").expect("an address").as_str(), "s3://bucket/x");
    }

    #[test]
    fn an_address_with_credentials_is_refused() {
        assert!(http("https://user:password@amazon.test").is_err());
        assert!(http("ftp://amazon.test").is_err());
        assert!(http("http://127.0.0.1:8099/").is_ok());
    }

    #[test]
    fn concurrency_is_a_number_and_exceptions() {
        assert_eq!(concurrency("16"), Ok((16, BTreeMap::new())));
        let exceptions = BTreeMap::from([("reports".to_owned(), 2), ("amc".to_owned(), 8)]);
        assert_eq!(concurrency("16, reports=2, amc = 8"), Ok((16, exceptions)));
        for text in ["", "0", "many", "16,reports", "16,reports=0", "reports=2"] {
            assert!(concurrency(text).is_err(), "{text:?} passed for a concurrency");
        }
    }
}
