//! Asks AMC how an execution stands, until it has ended there.
//!
//! Between two looks the job waits in the store and keeps no worker busy. When many executions are
//! open on one instance, one list call answers for all of them: whoever comes first asks, and the
//! others find the answer.

use super::check_version::is_about_the_query;
use super::fetch_result;
use super::owner::{self, end_execution};
use crate::amc::{self, AmcExecutionId, Class, ExecutionFilter, Status};
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome};
use crate::store::executions::{
    self, Ending, Execution, ExecutionStatus, Observation, OpenExecution, Trouble,
};
use crate::store::{ExecutionUuid, instances, unexpected_answers};
use crate::tools::{SignedIn, Tools};
use anyhow::anyhow;
use chrono::TimeDelta;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// With more open executions than this on an instance, one list call replaces a call for each.
const FEW: usize = 5;
/// How long AMC lets an execution run when its answer does not say. Our requests name no limit, and
/// Amazon's own example of such a request is answered with `workflowExecutionTimeoutSeconds` 21600
/// (github.com/amzn/ads-advanced-tools-docs, `postman/Amazon_Ads_API.postman_collection.json`).
const RUNS_AT_MOST: Duration = Duration::from_secs(6 * 3600);
/// How much later than that AMC may tell that it has ended.
const MARGIN: Duration = Duration::from_secs(1800);
/// How long its result may take to be fetched.
const MAY_FETCH: Duration = Duration::from_secs(2 * 3600);
/// The pause before AMC is asked again whether it has stopped an execution.
const STOPPING: Duration = Duration::from_secs(5);
/// An execution that AMC does not know so long after it took it is gone.
const SHOWN_AFTER: TimeDelta = TimeDelta::seconds(120);
/// The clocks of Amazon and of the store may differ by this much.
const SKEW: TimeDelta = TimeDelta::seconds(120);

/// Asks AMC how an execution stands.
#[derive(Debug, Serialize, Deserialize)]
pub struct PollStatus {
    /// Which one.
    pub execution_id: ExecutionUuid,
}

impl Job for PollStatus {
    type Tools = Tools;
    const KIND: &'static str = "poll_status";
    const QUEUE: &'static str = "amc";
    const TIMEOUT: Duration = Duration::from_secs(180);
    /// The execution's deadline ends the polling, not a count.
    const MAX_ATTEMPTS: i16 = i16::MAX;

    fn unique_key(&self) -> Option<String> {
        Some(self.execution_id.to_string())
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(execution) = executions::by_id(&tools.db, self.execution_id).await? else {
            return Err(Failure::permanent(anyhow!("there is no such execution")));
        };
        if !is_at_amc(execution.status) {
            return Ok(Outcome::Done.unasked());
        }
        let who = tools.sign_in(attempt, &execution).await?;
        if execution.cancel_requested_at.is_some() {
            return stop(tools, attempt, &execution, &who).await;
        }
        let open = executions::open_on_instance(&tools.db, &execution.amc_instance_id).await?;
        // One that is overdue may have ended well while nobody could look.
        let looked = if open.len() > FEW && !execution.is_overdue {
            look_at_all(tools, &execution, &who, &open).await
        } else {
            look_at_one(tools, &execution, &who).await.map(|()| true)
        };
        let asked = match looked {
            Ok(asked) => asked,
            // A look that is refused for good says nothing about the execution, which runs on.
            Err(failure) if failure.is_permanent() && execution.is_overdue => {
                return give_up(tools, attempt, &execution, &who).await;
            }
            Err(failure) => return Err(failure.may_pass()),
        };
        let next = match executions::by_id(&tools.db, self.execution_id).await? {
            Some(now) if !is_at_amc(now.status) => Outcome::Done,
            // Only on AMC's own word: it may be overdue because nobody could look.
            Some(now) if asked && now.is_overdue => {
                return give_up(tools, attempt, &now, &who).await;
            }
            _ => Outcome::Snooze(pause(tools, attempt.snoozes())),
        };
        Ok(if asked { next } else { next.unasked() })
    }
}

/// The job for this execution.
pub fn job(tools: &Tools, execution: &Execution) -> Result<NewJob, Failure> {
    owner::job(tools, execution, &PollStatus { execution_id: execution.id })
}

fn is_at_amc(status: ExecutionStatus) -> bool {
    matches!(status, ExecutionStatus::Pending | ExecutionStatus::Running)
}

/// The first pause doubled with every look, never more than the longest, and a tenth of jitter.
fn pause(tools: &Tools, looks: i32) -> Duration {
    let doublings = u32::try_from(looks).unwrap_or(0).min(16);
    let pause = tools.polling.first.saturating_mul(1 << doublings).min(tools.polling.max);
    pause.mul_f64(rand::rng().random_range(0.9..1.1))
}

async fn look_at_one(tools: &Tools, execution: &Execution, who: &SignedIn) -> Result<(), Failure> {
    let id = amc_id(execution)?;
    match tools.amc.execution(&who.caller, &who.instance, &id).await {
        Ok(found) => note(tools, execution.id, &found).await,
        Err(error) if error.class() == Class::NotFoundYet => {
            if may_be_unseen(tools, execution).await? {
                executions::mark_polled(&tools.db, &[execution.id]).await?;
                return Ok(());
            }
            // The list says it too, or one odd answer would have it sent again.
            let began = execution.amc_created_at.or(execution.submitted_at);
            let since = began.unwrap_or(execution.created_at) - SKEW;
            let filter = ExecutionFilter::since(since).include_cancelled();
            match tools.amc.executions(&who.caller, &who.instance, &filter).await {
                Ok(listed) => match listed.iter().find(|found| found.id == id) {
                    Some(found) => note(tools, execution.id, found).await,
                    None => gone(tools, execution).await,
                },
                Err(error) => Err(tools.judge(who, execution, error).await),
            }
        }
        Err(error) => Err(tools.judge(who, execution, error).await),
    }
}

/// Whether AMC may not show an execution yet that it has taken.
async fn may_be_unseen(tools: &Tools, execution: &Execution) -> Result<bool, Failure> {
    let since = execution.submitted_at.unwrap_or(execution.created_at);
    Ok(crate::clock::now(&tools.db).await? - since <= SHOWN_AFTER)
}

/// One list call for all that are open. False when somebody else has just made it.
async fn look_at_all(
    tools: &Tools,
    execution: &Execution,
    who: &SignedIn,
    open: &[OpenExecution],
) -> Result<bool, Failure> {
    // Whoever was denied asks again itself: nobody else has learned whether that is over.
    let fresh = if who.bearer.was_denied() { Duration::ZERO } else { tools.polling.first / 2 };
    if !instances::begin_listing(&tools.db, &execution.amc_instance_id, fresh).await? {
        return Ok(false);
    }
    let oldest = open.iter().map(|one| one.amc_created_at.unwrap_or(one.submitted_at)).min();
    let since = oldest.unwrap_or(execution.created_at) - SKEW;
    let filter = ExecutionFilter::since(since).include_cancelled();
    let listed = match tools.amc.executions(&who.caller, &who.instance, &filter).await {
        Ok(listed) => listed,
        Err(error) => return Err(tools.judge(who, execution, error).await),
    };
    let by_id: HashMap<&str, &amc::Execution> =
        listed.iter().map(|found| (found.id.as_str(), found)).collect();
    for one in open {
        if let Some(found) = by_id.get(one.amc_execution_id.as_str()) {
            note(tools, one.id, found).await?;
        }
    }
    if !by_id.contains_key(execution.amc_execution_id.as_deref().unwrap_or_default()) {
        look_at_one(tools, execution, who).await?;
    }
    Ok(true)
}

/// Writes down what AMC says of an execution, and asks for what follows, in one transaction.
async fn note(
    tools: &Tools,
    execution: ExecutionUuid,
    found: &amc::Execution,
) -> Result<(), Failure> {
    let word = found.status.as_str();
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    match &found.status {
        Status::Succeeded => {
            if executions::to_fetching(&mut *transaction, execution, word, MAY_FETCH).await? {
                let row = executions::by_id(&mut *transaction, execution).await?;
                let row = row.ok_or(sqlx::Error::RowNotFound)?;
                let fetch = fetch_result::job(tools, &row)?;
                tools.queue.enqueue(&mut transaction, &[fetch]).await?;
            }
        }
        Status::Failed | Status::Rejected | Status::Cancelled | Status::Deleted => {
            let row = executions::by_id(&mut *transaction, execution).await?;
            let row = row.ok_or(sqlx::Error::RowNotFound)?;
            end_execution(tools, &mut transaction, &row, &trouble(found)).await?;
        }
        other => {
            // Kept when it is new: the same word comes with every look.
            let is_news = other.is_unexpected()
                && executions::by_id(&mut *transaction, execution)
                    .await?
                    .is_some_and(|row| row.amc_status.as_deref() != Some(word));
            let observation = Observation {
                amc_status: word,
                reason: found.status_reason.as_deref(),
                running: matches!(other, Status::Running | Status::Publishing),
                may_run: may_run(found),
            };
            executions::observe(&mut *transaction, execution, &observation).await?;
            if is_news {
                let status = Some(200);
                let operation = "get_execution";
                unexpected_answers::insert(
                    &mut *transaction,
                    Some(execution),
                    operation,
                    status,
                    &found.raw,
                )
                .await?;
            }
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// How long it may run, counted from when AMC is seen to run it: AMC's own limit, and a margin.
fn may_run(found: &amc::Execution) -> Duration {
    let limit = found.workflow_execution_timeout_seconds.map(Into::into);
    limit.map_or(RUNS_AT_MOST, Duration::from_secs) + MARGIN
}

fn trouble(found: &amc::Execution) -> Trouble<'_> {
    let ending = match found.status {
        Status::Rejected => Ending::Rejected,
        Status::Cancelled | Status::Deleted => Ending::Cancelled,
        _ => Ending::Failed,
    };
    let reason = found.status_reason.as_deref().unwrap_or("AMC gave no reason");
    // A query that does not compile will not compile the next time.
    let class = if is_about_the_query(reason) { "permanent" } else { "amc" };
    Trouble { ending, class, code: None, message: reason, amc_status: Some(found.status.as_str()) }
}

/// Asks AMC to stop an execution; one that has ended there, or is gone, needs no stopping. False when AMC may
/// not show it yet, and so could not stop it.
pub async fn cancel(tools: &Tools, execution: &Execution, who: &SignedIn) -> Result<bool, Failure> {
    let id = amc_id(execution)?;
    match tools.amc.cancel_execution(&who.caller, &who.instance, &id).await {
        Ok(()) => Ok(true),
        Err(error) if error.class() == Class::NotFoundYet => {
            Ok(!may_be_unseen(tools, execution).await?)
        }
        Err(error) if error.class() == Class::Permanent => Ok(true),
        Err(error) => Err(tools.judge(who, execution, error).await),
    }
}

/// Somebody asked for it to be stopped: AMC is asked to, until it says that it has ended. However it has
/// ended there, its result is not wanted any more.
async fn stop(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    who: &SignedIn,
) -> Result<Outcome, Failure> {
    if !cancel(tools, execution, who).await? {
        return Ok(Outcome::Snooze(STOPPING.min(tools.polling.first)));
    }
    let id = amc_id(execution)?;
    let word = match tools.amc.execution(&who.caller, &who.instance, &id).await {
        Ok(found) if found.status.is_open() => {
            return Ok(Outcome::Snooze(STOPPING.min(tools.polling.first)));
        }
        Ok(found) => Some(found.status.as_str().to_owned()),
        Err(error) if matches!(error.class(), Class::NotFoundYet | Class::Permanent) => None,
        Err(error) => return Err(tools.judge(who, execution, error).await),
    };
    let trouble = Trouble {
        ending: Ending::Cancelled,
        class: "cancelled",
        code: None,
        message: execution.error_message.as_deref().unwrap_or("somebody asked for it"),
        amc_status: word.as_deref(),
    };
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    end_execution(tools, &mut transaction, execution, &trouble).await?;
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
    transaction.commit().await?;
    Ok(outcome)
}

async fn gone(tools: &Tools, execution: &Execution) -> Result<(), Failure> {
    let trouble = Trouble {
        ending: Ending::Failed,
        class: "gone",
        code: None,
        message: "AMC took the execution and does not know it any more",
        amc_status: None,
    };
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    end_execution(tools, &mut transaction, execution, &trouble).await?;
    transaction.commit().await?;
    Ok(())
}

/// Past its deadline: it is cancelled at AMC, as well as that can be done, and ended here.
async fn give_up(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    who: &SignedIn,
) -> Result<Outcome, Failure> {
    cancel(tools, execution, who).await?;
    let last_word = execution.amc_status.as_deref().unwrap_or("nothing");
    let message = format!("past its deadline; AMC's last word was {last_word}");
    let trouble = Trouble {
        ending: Ending::TimedOut,
        class: "deadline",
        code: None,
        message: &message,
        amc_status: None,
    };
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    end_execution(tools, &mut transaction, execution, &trouble).await?;
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
    transaction.commit().await?;
    Ok(outcome)
}

fn amc_id(execution: &Execution) -> Result<AmcExecutionId, Failure> {
    let id = execution.amc_execution_id.as_deref().unwrap_or_default();
    AmcExecutionId::new(id).map_err(Failure::permanent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_execution_may_run_as_long_as_amc_says_and_half_an_hour_more() {
        let hours = |limit: serde_json::Value| {
            let id = "b3a77999-7c8e-4289-9bf9-5da8f178536c";
            let told = json!({"workflowExecutionId": id, "workflowExecutionTimeoutSeconds": limit});
            may_run(&serde_json::from_value(told).unwrap()).as_secs_f64() / 3600.0
        };
        for (limit, allowed) in [(json!(86_400), 24.5), (json!(900), 0.75), (json!(null), 6.5)] {
            assert!((hours(limit) - allowed).abs() < 1e-9, "{allowed}");
        }
    }
}
