//! `Retry-After`: seconds, a fraction of them, or a date (RFC 9110, section 10.2.3).

use chrono::DateTime;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use std::time::Duration;

/// Nobody is asked to wait longer than this, whatever the header says.
const LONGEST: Duration = Duration::from_mins(10);

/// How long the answer asks us to wait.
///
/// A date is measured against the answer's own `Date`, so that a wrong clock on this machine does not
/// matter; without one it is ignored.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    let wait = match value.parse::<f64>() {
        Ok(seconds) if seconds.is_nan() || seconds < 0.0 => return None,
        Ok(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST),
        Err(_) => {
            let until = DateTime::parse_from_rfc2822(value).ok()?;
            let now = DateTime::parse_from_rfc2822(text(headers, &DATE)?).ok()?;
            (until - now).to_std().unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(LONGEST))
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(value: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        retry_after(&headers)
    }

    #[test]
    fn seconds_and_fractions_are_understood_and_capped() {
        assert_eq!(wait("3", None), Some(Duration::from_secs(3)));
        assert_eq!(wait(" 1.5 ", None), Some(Duration::from_millis(1500)));
        assert_eq!(wait("0", None), Some(Duration::ZERO));
        assert_eq!(wait("86400", None), Some(LONGEST));
        assert_eq!(wait("1e300", None), Some(LONGEST));
        assert_eq!(wait("inf", None), Some(LONGEST));
    }

    #[test]
    fn nonsense_is_no_advice() {
        for value in ["", "soon", "-1", "NaN", "5 minutes"] {
            assert_eq!(wait(value, None), None, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn a_date_counts_from_the_answers_own_date() {
        let until = "Wed, 21 Oct 2015 07:28:30 GMT";
        let now = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(wait(until, Some(now)), Some(Duration::from_secs(30)));
        assert_eq!(wait(now, Some(until)), Some(Duration::ZERO));
        assert_eq!(wait(until, None), None);
    }
}
