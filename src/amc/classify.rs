//! Status and words of a refusal → what it asks of the caller. Pure.

use super::error::Class;
use super::operation::Operation;
use std::time::Duration;

/// Words that make a 400, 409 or 422 a matter of waiting. Each is specific: "limit" alone also stands
/// in complaints about a parameter that is too long, which waiting does not cure.
const LIMIT_WORDS: [&str; 9] = [
    "limit exceeded",
    "limitexceeded",
    "exceeded the maximum number of",
    "too many requests",
    "too many workflow",
    "too many execution",
    "too many concurrent",
    "throttl",
    "rate exceeded",
];

/// Words of a 403 that only a person can cure.
const BLOCKED_WORDS: [&str; 2] = ["terms and conditions", "unauthorized request"];

/// The class of an answer that is not a success. `words` are the body's code and reason.
pub(super) fn refusal(
    operation: Operation,
    status: u16,
    words: &str,
    retry_after: Option<Duration>,
) -> Class {
    let words = words.to_lowercase();
    if operation == Operation::DownloadUrls && is_not_ready(status, &words) {
        return Class::NotReady;
    }
    match status {
        401 => Class::Unauthorized,
        403 => forbidden(&words),
        429 => Class::Throttled { retry_after },
        // The server gave up on us; how far it had come, nobody knows.
        408 => lost(operation),
        // A 503 that says when to come back wants patience, not tries.
        503 if retry_after.is_some() && !operation.must_not_repeat() => {
            Class::Throttled { retry_after }
        }
        400 | 404
            if operation.names_an_execution()
                && (status == 404 || words.contains("does not exist")) =>
        {
            Class::NotFoundYet
        }
        400 | 409 | 422 if any(&words, &LIMIT_WORDS) => Class::Throttled { retry_after },
        300..=499 => Class::Permanent,
        _ => lost(operation),
    }
}

/// The class of a call whose answer was lost or cannot be read.
pub(super) fn lost(operation: Operation) -> Class {
    if operation.must_not_repeat() { Class::Unknown } else { Class::Transient }
}

/// The class of a refusal by the storage service, which speaks S3's words.
pub(super) fn storage(status: u16, words: &str, retry_after: Option<Duration>) -> Class {
    let words = words.to_lowercase();
    match status {
        // Whatever is wrong with a signature, a new one is the cure.
        401 | 403 => Class::ExpiredUrl,
        400 if words.contains("expired") => Class::ExpiredUrl,
        429 => Class::Throttled { retry_after },
        503 if retry_after.is_some() || words.contains("slow") => Class::Throttled { retry_after },
        408 => Class::Transient,
        400..=499 => Class::Permanent,
        _ => Class::Transient,
    }
}

/// Whether download URLs were asked for too early. Amazon documents the sentence, not its status.
fn is_not_ready(status: u16, words: &str) -> bool {
    status == 404 || (!matches!(status, 401 | 429) && words.contains("unavailable for download"))
}

/// Whether it was not AMC that answered, but a gateway in front of it, as during maintenance: AMC does not
/// redirect, and says in words of its own what it does not know. Nothing was accepted, nothing is gone, and
/// it may pass. `is_amcs` when the words have the form that AMC's have.
pub(super) fn is_a_gateways(operation: Operation, status: u16, words: &str, is_amcs: bool) -> bool {
    match status {
        300..=399 => true,
        404 if words.trim().is_empty() => !operation.names_a_thing(),
        404 => !is_amcs,
        _ => false,
    }
}

fn forbidden(words: &str) -> Class {
    if any(words, &BLOCKED_WORDS) {
        Class::Blocked
    } else if words.contains("expired") {
        Class::Unauthorized
    } else {
        Class::Forbidden
    }
}

fn any(words: &str, list: &[&str]) -> bool {
    list.iter().any(|word| words.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operation::{
        CancelExecution, CreateWorkflow, DownloadUrls, GetExecution, GetWorkflow, ListExecutions,
        SubmitExecution,
    };

    const THROTTLED: Class = Class::Throttled { retry_after: None };

    fn class(operation: Operation, status: u16, words: &str) -> Class {
        refusal(operation, status, words, None)
    }

    #[test]
    fn a_lost_answer_is_ambiguous_for_a_submit_and_for_nothing_else() {
        for status in [408, 500, 502, 503, 504, 599] {
            assert_eq!(class(SubmitExecution, status, ""), Class::Unknown, "{status}");
            assert_eq!(class(GetExecution, status, ""), Class::Transient, "{status}");
            assert_eq!(class(CreateWorkflow, status, ""), Class::Transient, "{status}");
        }
        let soon = Some(Duration::from_secs(1));
        assert_eq!(refusal(SubmitExecution, 503, "", soon), Class::Unknown);
        assert_eq!(refusal(GetExecution, 503, "", soon), Class::Throttled { retry_after: soon });
    }

    #[test]
    fn a_refused_submit_is_never_ambiguous() {
        for status in (400..=499).filter(|status| *status != 408) {
            assert_ne!(class(SubmitExecution, status, "no"), Class::Unknown, "{status}");
        }
    }

    #[test]
    fn a_429_is_a_throttle_with_and_without_advice() {
        assert_eq!(class(SubmitExecution, 429, "<h1>429"), THROTTLED);
        let retry_after = Some(Duration::from_secs(7));
        assert_eq!(refusal(ListExecutions, 429, "", retry_after), Class::Throttled { retry_after });
    }

    #[test]
    fn a_400_about_limits_waits_and_one_about_length_does_not() {
        let overlap =
            "too many workflows against the same input data sources in overlapping time windows";
        assert_eq!(class(SubmitExecution, 400, overlap), THROTTLED);
        assert_eq!(class(SubmitExecution, 422, "Service Limit Exceeded"), THROTTLED);
        assert_eq!(class(GetExecution, 400, "ThrottlingException Rate exceeded"), THROTTLED);
        let length = "Parameter asins exceeded maximum allowed length of 1024";
        assert_eq!(class(SubmitExecution, 400, length), Class::Permanent);
        let limit = "invalid parameter: limit must not be greater than 100";
        assert_eq!(class(ListExecutions, 422, limit), Class::Permanent);
    }

    #[test]
    fn an_execution_nobody_knows_may_only_be_too_new() {
        let text = "Workflow execution with ID x does not exist.";
        assert_eq!(class(GetExecution, 400, text), Class::NotFoundYet);
        assert_eq!(class(GetExecution, 404, ""), Class::NotFoundYet);
        assert_eq!(class(GetWorkflow, 404, ""), Class::Permanent);
        assert_eq!(class(SubmitExecution, 400, "workflow does not exist"), Class::Permanent);
    }

    #[test]
    fn a_result_that_is_not_there_yet_is_waited_for() {
        let text = "Execution with ID x is unavailable for download.";
        for status in [400, 403, 404, 422, 500] {
            assert_eq!(class(DownloadUrls, status, text), Class::NotReady, "{status}");
        }
        assert_eq!(class(DownloadUrls, 404, ""), Class::NotReady);
        assert_eq!(class(DownloadUrls, 429, text), THROTTLED);
        assert_eq!(class(DownloadUrls, 400, "ID x does not exist."), Class::NotFoundYet);
    }

    #[test]
    fn a_403_says_whether_a_person_or_a_new_token_is_needed() {
        let terms = "Terms and conditions must be accepted to continue.";
        assert_eq!(class(GetExecution, 403, terms), Class::Blocked);
        assert_eq!(class(SubmitExecution, 403, "403 Unauthorized request."), Class::Blocked);
        assert_eq!(class(GetExecution, 403, "The security token has expired"), Class::Unauthorized);
        assert_eq!(class(GetExecution, 403, ""), Class::Forbidden);
        assert_eq!(class(GetExecution, 401, "Authentication failed"), Class::Unauthorized);
    }

    #[test]
    fn other_refusals_are_final() {
        for status in [400, 404, 406, 409, 410, 415, 422] {
            assert_eq!(class(GetWorkflow, status, ""), Class::Permanent, "{status}");
        }
    }

    #[test]
    fn what_a_gateway_says_during_maintenance_is_not_taken_for_amcs_word() {
        let things = [GetExecution, CancelExecution, GetWorkflow];
        let others = [SubmitExecution, ListExecutions, CreateWorkflow];
        for operation in things.into_iter().chain(others) {
            for (status, words) in [(302, ""), (307, "Sorry"), (404, "Not Found")] {
                assert!(is_a_gateways(operation, status, words, false), "{operation} {status}");
            }
            assert!(!is_a_gateways(operation, 404, "NOT_FOUND no such thing", true), "{operation}");
            assert!(!is_a_gateways(operation, 400, "Bad Request", false), "{operation}");
        }
        // A list, and what is made anew, cannot be missing; one thing can.
        for operation in others {
            assert!(is_a_gateways(operation, 404, "", false), "{operation}");
        }
        for operation in things {
            assert!(!is_a_gateways(operation, 404, "", false), "{operation}");
        }
    }

    #[test]
    fn the_storage_asks_for_a_new_url_or_for_patience() {
        assert_eq!(storage(403, "AccessDenied Request has expired", None), Class::ExpiredUrl);
        assert_eq!(storage(403, "SignatureDoesNotMatch", None), Class::ExpiredUrl);
        assert_eq!(storage(400, "ExpiredToken", None), Class::ExpiredUrl);
        assert_eq!(storage(503, "SlowDown Please reduce your request rate.", None), THROTTLED);
        assert_eq!(storage(500, "InternalError", None), Class::Transient);
        assert_eq!(storage(503, "", None), Class::Transient);
        assert_eq!(storage(404, "NoSuchKey", None), Class::Permanent);
        assert_eq!(storage(307, "TemporaryRedirect", None), Class::Transient);
    }
}
