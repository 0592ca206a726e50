//! Access tokens that AMC refuses soon after Amazon gave them: when the next one is bought, and from when on
//! people are told, with the remedy.

use crate::plural::counted;

/// A token this young is not renewed again; doubled for each one in a row that was refused so young.
/// Seconds.
const SETTLES: i64 = 5;
const SETTLES_MAX: i64 = 900;
/// A token that is refused within this time after it might have been renewed did not last. Seconds.
const LASTS: i64 = 60;

/// From so many refused tokens in a row on people are told. One is refused where a token is withdrawn at
/// the moment in which it is bought, and a second one by a host that has not heard of the new one yet;
/// before the third is replaced half a minute has passed, which Amazon does not take to tell its hosts.
const TOLD: i32 = 3;

/// How old a token has to be to be renewed, when so many before it did not last. Seconds.
pub fn settles(refused: i32) -> i64 {
    let doublings = u32::try_from(refused).unwrap_or(0).min(10);
    (SETTLES << doublings).min(SETTLES_MAX)
}

/// Whether a token of this age has lasted, in seconds, when so many before it did not.
pub fn has_lasted(refused: i32, age: i64) -> bool {
    age >= settles(refused).saturating_add(LASTS)
}

/// What people are told when AMC refuses one token after the other, this one of this age included as far as
/// anybody knows: what is wrong, and what to do.
pub fn trouble(refused: i32, age: Option<i64>) -> Option<String> {
    if refused < TOLD || age.is_none_or(|age| has_lasted(refused, age)) {
        return None;
    }
    Some(format!(
        "AMC refused the last {} soon after Amazon gave them: see that Amazon has approved the client of \
         RECOMAMP_LWA_CLIENT_ID for the Ads API and for AMC, and that the user has access to the accounts \
         (https://advertising.amazon.com/API/docs/en-us/guides/onboarding/overview); another token is \
         tried every {} min at least",
        counted(refused, "access token", "access tokens"),
        SETTLES_MAX / 60
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_do_not_last_are_bought_ever_more_seldom() {
        let settled: Vec<i64> = (0..10).map(settles).collect();
        assert_eq!(settled, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]);
    }

    #[test]
    fn a_hiccup_is_not_told_nor_what_is_over() {
        assert_eq!(trouble(2, Some(1)), None);
        let told = trouble(3, Some(1)).expect("three are no hiccup");
        assert!(told.starts_with("AMC refused the last 3 access tokens"), "{told}");
        assert!(trouble(3, Some(99)).is_some(), "it may still be refused");
        assert_eq!(trouble(3, Some(100)), None, "it lasts");
        assert_eq!(trouble(3, None), None, "no token was bought yet");
    }
}
