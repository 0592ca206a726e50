//! What a fault makes of a call: an answer of its own, or another end for the true one.

use super::access;
use super::answer::{Answer, Payload};
use super::call::{Call, Operation};
use super::faults::{Effect, Kind};
use super::results;
use super::tokens;
use super::world::World;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// What goes out on the line.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// An answer, and how much of its body.
    Answer(Answer, Extent),
    /// Nothing: the connection is reset.
    Reset,
    /// 200 and this many megabytes.
    Huge(u32),
}

/// How much of a body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// Half of it, as if that were all.
    Half,
    /// Half of it, though `Content-Length` says more.
    Short,
    /// Half of it, then a reset.
    Cut,
}

impl Delivery {
    fn whole(answer: Answer) -> Self {
        Self::Answer(answer, Extent::Whole)
    }

    /// The status that the client sees, if it sees one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(answer, _) => Some(answer.status),
            Self::Reset => None,
            Self::Huge(_) => Some(200),
        }
    }
}

impl Kind {
    /// Whether it makes sense for this operation.
    pub(crate) fn fits(&self, operation: Operation) -> bool {
        use Operation as Op;
        match self {
            Self::InvalidGrant | Self::InvalidClient => operation == Op::Token,
            Self::Unauthorized
            | Self::ForgetTokens
            | Self::Revoke { .. }
            | Self::TermsNotAccepted
            | Self::Forbidden => !matches!(operation, Op::Token | Op::Download),
            Self::Status { .. } => matches!(operation, Op::GetExecution | Op::ListExecutions),
            Self::CreationStatus { .. } => operation == Op::ListInstances,
            Self::NotReady | Self::NoUrls => operation == Op::DownloadUrls,
            Self::UrlExpired => operation == Op::Download,
            Self::EndAs { .. } | Self::RunFor { .. } | Self::EmptyResult => {
                operation == Op::CreateExecution
            }
            _ => true,
        }
    }
}

/// The answer of a fault that keeps the call from taking effect.
pub(crate) fn instead(world: &mut World, call: &Call, kind: &Kind) -> Option<Delivery> {
    let answer = match kind {
        Kind::Reset { effect: Effect::Before } => return Some(Delivery::Reset),
        Kind::Throttle { retry_after, html } => throttle(world, call, *retry_after, *html),
        Kind::ServerError { status, effect: Effect::Before } => server_error(call, *status),
        Kind::Page { status } => Answer::html(*status, "We are back soon"),
        Kind::Unauthorized => access::unauthorized(),
        Kind::ForgetTokens => {
            world.tokens.forget();
            access::unauthorized()
        }
        Kind::Revoke { seconds } => {
            let until =
                seconds.map(|seconds| world.clock.felt() + TimeDelta::seconds(seconds.into()));
            revoke_all(world, until);
            access::unauthorized()
        }
        Kind::TermsNotAccepted => access::terms(),
        Kind::Forbidden => Answer::error(403, "Forbidden"),
        Kind::InvalidGrant => tokens::invalid_grant(),
        Kind::InvalidClient => tokens::invalid_client(),
        Kind::NotReady => results::not_ready(world, &call.id),
        Kind::UrlExpired => results::expired(),
        _ => return None,
    };
    Some(Delivery::whole(answer))
}

/// What becomes of the true answer.
pub(crate) fn afterwards(call: &Call, kind: Option<&Kind>, mut answer: Answer) -> Delivery {
    match kind {
        Some(Kind::Reset { effect: Effect::After }) => Delivery::Reset,
        Some(Kind::ServerError { status, effect: Effect::After }) => {
            Delivery::whole(server_error(call, *status))
        }
        Some(Kind::Truncated) => Delivery::Answer(answer, Extent::Half),
        Some(Kind::ShortBody) => Delivery::Answer(answer, Extent::Short),
        Some(Kind::CutBody) => Delivery::Answer(answer, Extent::Cut),
        Some(Kind::Html) => Delivery::whole(Answer::html(200, "Welcome")),
        Some(Kind::Empty) => Delivery::whole(Answer {
            status: 200,
            headers: Vec::new(),
            body: Payload::Raw(call.operation.media_type(), Vec::new()),
        }),
        Some(Kind::Huge { megabytes }) => Delivery::Huge(*megabytes),
        Some(Kind::Status { word }) => {
            if let Payload::Json(body) = &mut answer.body {
                put_status(body, word);
            }
            Delivery::whole(answer)
        }
        Some(Kind::CreationStatus { word }) => {
            if let Payload::Json(body) = &mut answer.body
                && let Some(Value::Array(instances)) = body.get_mut("instances")
            {
                for instance in instances {
                    instance["creationStatus"] = json!(word);
                }
            }
            Delivery::whole(answer)
        }
        Some(Kind::NoUrls) if answer.status == 200 => {
            answer.body = Payload::Json(json!({"downloadUrls": [], "metadataDownloadUrls": []}));
            Delivery::whole(answer)
        }
        _ => Delivery::whole(answer),
    }
}

/// Makes every refresh token worthless until then, or until it is restored.
pub(crate) fn revoke_all(world: &mut World, until: Option<DateTime<Utc>>) {
    for user in &world.settings.users {
        world.tokens.revoke(&user.refresh_token, until.unwrap_or(DateTime::<Utc>::MAX_UTC));
    }
}

fn throttle(world: &mut World, call: &Call, retry_after: Option<u32>, html: bool) -> Answer {
    let answer = if html {
        Answer::html(429, "429 Too Many Requests")
    } else {
        Answer::error(429, "Too Many Requests")
    };
    let Some(seconds) = retry_after else { return answer };
    let until = world.clock.felt() + TimeDelta::seconds(seconds.into());
    world.witness.bar(call.operation, until);
    answer.with("retry-after", seconds.to_string())
}

fn server_error(call: &Call, status: u16) -> Answer {
    let kind = "InternalServerErrorException";
    match status {
        503 if call.operation == Operation::Download => {
            Answer::xml(503, "SlowDown", "Please reduce your request rate.")
        }
        504 => Answer::gateway(504, "Endpoint request timed out", kind),
        503 => Answer::gateway(503, "Service Unavailable", kind),
        502 => Answer::html(502, "502 Bad Gateway"),
        status => Answer::error(status, "Internal server error"),
    }
}

/// Replaces the status of every execution in an answer.
fn put_status(body: &mut Value, word: &str) {
    if body.get("workflowExecutionId").is_some() {
        body["status"] = json!(word);
    } else if let Some(execution) = body.get_mut("workflowExecution") {
        execution["status"] = json!(word);
    } else if let Some(Value::Array(executions)) = body.get_mut("executions") {
        for execution in executions {
            execution["status"] = json!(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_replaced_in_every_shape_and_nowhere_else() {
        let put = |mut body: Value| {
            put_status(&mut body, "ODD");
            body
        };
        assert_eq!(put(json!({"workflowExecutionId": "1", "status": "x"}))["status"], "ODD");
        let wrapped = put(json!({"workflowExecution": {"status": "x"}}));
        assert_eq!(wrapped["workflowExecution"]["status"], "ODD");
        assert_eq!(put(json!({"executions": [{"status": "x"}]}))["executions"][0]["status"], "ODD");
        assert_eq!(put(json!({"code": "400"})), json!({"code": "400"}));
    }

    #[test]
    fn a_fault_of_one_operation_leaves_the_others_alone() {
        assert!(Kind::InvalidGrant.fits(Operation::Token));
        assert!(!Kind::InvalidGrant.fits(Operation::GetExecution));
        assert!(!Kind::Unauthorized.fits(Operation::Download));
        assert!(Kind::Empty.fits(Operation::Download));
    }
}
