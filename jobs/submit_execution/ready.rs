//! Whether an execution can be sent: its request, or what there is to wait for.

use super::super::check_version::{self, Standing};
use super::super::sync_workflow;
use super::refuse_for_good;
use super::request::{filled, request};
use crate::amc;
use crate::queue::{Attempt, Failure, Outcome};
use crate::store::executions::{Execution, SubmitMode};
use crate::tools::Tools;
use std::time::Duration;

/// Whether an execution can be sent.
pub enum Ready {
    /// It can: with this request.
    Send(amc::NewExecution),
    /// It cannot, or not yet: so the attempt ends.
    Not(Outcome),
}

/// Refuses what can never be sent, and waits for AMC to have compiled the version, or saved it, which
/// has it compiled as well.
pub async fn ready(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    client_ref: &str,
) -> Result<Ready, Failure> {
    let refuse = async |code, why: &str| {
        let then = Outcome::Done.unasked();
        refuse_for_good(tools, attempt, execution, code, why, then).await.map(Ready::Not)
    };
    if let Err(why) = filled(execution) {
        return refuse("invalid", &why).await;
    }
    let standing = match (execution.submit_mode, &execution.amc_workflow_id) {
        (SubmitMode::Inline, _) => check_version::standing(tools, execution).await?,
        (SubmitMode::Saved, Some(_)) => Standing::Fit,
        (SubmitMode::Saved, None) => match sync_workflow::standing(tools, execution).await? {
            // Since the execution was read: it is read again.
            Standing::Fit => return Ok(Ready::Not(Outcome::Snooze(Duration::ZERO).unasked())),
            standing => standing,
        },
    };
    match standing {
        Standing::Open => Ok(Ready::Not(Outcome::Snooze(check_version::LOOK_AGAIN).unasked())),
        Standing::Unfit(why) => refuse("compile", &why).await,
        Standing::Fit => match request(execution, client_ref) {
            Ok(request) => Ok(Ready::Send(request)),
            Err(why) => refuse("invalid", &why).await,
        },
    }
}
