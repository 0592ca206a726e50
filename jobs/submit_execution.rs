//! Asks AMC to run an execution, exactly once, whatever happens on the way.
//!
//! AMC has no idempotency key, so the intent is committed before the request is sent. When the answer
//! is lost, or this process dies, the request is never repeated: AMC's own list is asked whether the
//! execution is there. Found, it is adopted; not found for long enough, it is proven absent, and only
//! then sent again.

mod ready;
mod reconcile;
pub mod request;
mod reuse;

use self::ready::{Ready, ready};
use self::reconcile::{next_look, reconcile};
use self::request::mark;
use super::owner::{self, Owner, end_execution};
use super::{feed, poll_status, run_schedule};
use crate::amc::{self, Class};
use crate::backfill::fingerprint::canonical_json;
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome};
use crate::store::collections::{self, CollectionStatus};
use crate::store::executions::{self, Ending, Execution, ExecutionStatus, Trouble};
use crate::store::instances::{self, InstanceStatus};
use crate::store::runs::RunStatus;
use crate::store::submits::{self, Accepted, Answer, Intent};
use crate::store::{ExecutionUuid, copies, users, weeks};
use crate::tools::{Place, SignedIn, Tools, block_instance, resources};
use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

/// How long an execution may wait at AMC: Amazon's `expireTime` is 24 hours, and some margin.
const MAY_WAIT: Duration = Duration::from_secs(26 * 3600);
/// A request that is not sent within this time of its intent is not sent: the lease may be lost.
const STALE: Duration = Duration::from_secs(5);

/// Asks AMC to run an execution.
#[derive(Debug, Serialize, Deserialize)]
pub struct SubmitExecution {
    /// Which one.
    pub execution_id: ExecutionUuid,
}

impl Job for SubmitExecution {
    type Tools = Tools;
    const KIND: &'static str = "submit_execution";
    const QUEUE: &'static str = "amc";
    const TIMEOUT: Duration = Duration::from_secs(180);
    /// An outage of Amazon's is not the job's fault: this is weeks of trying.
    const MAX_ATTEMPTS: i16 = 10_000;

    fn unique_key(&self) -> Option<String> {
        Some(self.execution_id.to_string())
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(execution) = executions::by_id(&tools.db, self.execution_id).await? else {
            return Err(Failure::permanent(anyhow!("there is no such execution")));
        };
        match execution.status {
            ExecutionStatus::Queued
                if execution.cancel_requested_at.is_some()
                    || execution.collection_status.is_some_and(CollectionStatus::is_terminal) =>
            {
                call_off(tools, attempt, &execution).await
            }
            ExecutionStatus::Queued
                if execution.collection_status == Some(CollectionStatus::Paused) =>
            {
                give_way(tools, attempt, &execution).await
            }
            ExecutionStatus::Queued => send(tools, attempt, &execution).await,
            ExecutionStatus::Submitting => {
                let detail = "the process that sent it did not live to see the answer";
                let answer = Answer { http_status: None, request_id: None, detail };
                submits::unknown(&tools.db, execution.id, &answer).await?;
                Ok(Outcome::Snooze(next_look(tools, Duration::ZERO)).unasked())
            }
            ExecutionStatus::SubmitUnknown => reconcile(tools, attempt, &execution).await,
            ExecutionStatus::Pending | ExecutionStatus::Running => {
                Ok(Outcome::then(poll_status::job(tools, &execution)?).unasked())
            }
            // Its claim may have taken a place for an execution that had ended meanwhile.
            _ => let_go(tools, attempt, &execution).await,
        }
    }
}

/// Somebody asked for it to be stopped, and it is certain that AMC does not have it.
async fn call_off(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
) -> Result<Outcome, Failure> {
    let trouble = called_off("stopped before AMC had it");
    end(tools, attempt, execution, &trouble, Outcome::Done.unasked()).await
}

/// Its collection was paused before it was sent: it ends, and its week has its turn again when the
/// collection goes on. Meanwhile nobody waits for a place, or for the slice, because of it.
async fn give_way(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
) -> Result<Outcome, Failure> {
    let (Some(week), Some(collection)) = (execution.week_id, execution.collection_id) else {
        return Err(Failure::permanent(anyhow!("a collection without a week")));
    };
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    let found = collections::lock(&mut transaction, collection).await?;
    if found.is_none_or(|found| found.status != CollectionStatus::Paused) {
        return Ok(Outcome::Snooze(Duration::ZERO).unasked());
    }
    let trouble = called_off("its collection was paused before it was sent");
    if owner::close(tools, &mut transaction, execution, &trouble).await? {
        weeks::hand_back(&mut *transaction, week, 1).await?;
    }
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done.unasked()).await?;
    transaction.commit().await?;
    Ok(outcome)
}

fn called_off(message: &str) -> Trouble<'_> {
    let ending = Ending::Cancelled;
    Trouble { ending, class: "cancelled", code: None, message, amc_status: None }
}

async fn let_go(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
) -> Result<Outcome, Failure> {
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    if execution.status.is_terminal() {
        tools.queue.release(&mut transaction, &resources::holder(execution.id)).await?;
    }
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done.unasked()).await?;
    transaction.commit().await?;
    Ok(outcome)
}

/// The job for this execution. It holds a place at the instance and at the account from its first
/// claim until the execution ends, whoever ends it.
pub fn job(tools: &Tools, execution: &Execution) -> Result<NewJob, Failure> {
    let job = owner::job(tools, execution, &SubmitExecution { execution_id: execution.id })?;
    Ok(job.holding_as(resources::holder(execution.id)))
}

/// The outside things that every call for this execution uses.
pub fn resources_of(tools: &Tools, execution: &Execution) -> Result<[String; 3], Failure> {
    let url = tools.api_url(execution.region, execution.endpoint_url.as_deref())?;
    Ok([
        resources::instance(&execution.amc_instance_id),
        resources::account(&execution.entity_id),
        resources::host(&url),
    ])
}

async fn send(tools: &Tools, attempt: &Attempt, execution: &Execution) -> Result<Outcome, Failure> {
    if let Some(outcome) = reuse::reuse(tools, attempt, execution).await? {
        return Ok(outcome);
    }
    if execution.instance_status != InstanceStatus::Active {
        let reason = execution.block_reason.as_deref().unwrap_or("the instance is disabled");
        return block(tools, attempt, execution, reason).await;
    }
    let who = tools.sign_in(attempt, execution).await?;
    let client_ref = format!("{}{}-{}", mark(execution), attempt.job_id(), attempt.claim_number());
    let request = match ready(tools, attempt, execution, &client_ref).await? {
        Ready::Send(request) => request,
        Ready::Not(outcome) => return Ok(outcome),
    };
    let body = request.body();
    let fingerprint = Sha256::digest(canonical_json(&body)).into();
    let intent = Intent { client_ref: &client_ref, fingerprint, body: &body };
    let began = Instant::now();
    let Some(sent_at) = submits::begin(&tools.db, execution.id, &intent).await? else {
        // Somebody else has begun it, or it is not wanted now; look again.
        return Ok(Outcome::Snooze(Duration::ZERO).unasked());
    };
    if attempt.cancelled().is_cancelled() || began.elapsed() > STALE {
        let answer = Answer { http_status: None, request_id: None, detail: "not sent: too late" };
        submits::refused(&tools.db, execution.id, sent_at, &answer).await?;
        return Err(Failure::interrupted());
    }
    match tools.amc.submit_execution(&who.caller, &who.instance, &request).await {
        Ok(accepted) => adopt(tools, attempt, execution, &accepted).await,
        Err(error) if error.surely_not_accepted() => {
            let why = error.to_string();
            submits::refused(&tools.db, execution.id, sent_at, &answer(&error, &why)).await?;
            refused(tools, attempt, execution, &who, error).await
        }
        Err(error) => {
            let why = error.to_string();
            tracing::warn!(execution = %execution.id, why, "nobody knows whether AMC took it");
            submits::unknown(&tools.db, execution.id, &answer(&error, &why)).await?;
            // Keeps the body, if there was one; the failure itself is not the point here.
            drop(tools.judge(&who, execution, error).await);
            let why = format!("nobody knows whether AMC took it: {why}");
            Ok(Outcome::Doubt(next_look(tools, Duration::ZERO), why))
        }
    }
}

fn answer<'a>(error: &'a amc::Error, why: &'a str) -> Answer<'a> {
    Answer { http_status: error.status(), request_id: error.request_id(), detail: why }
}

/// AMC has it: from here on it is polled.
async fn adopt(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    found: &amc::Execution,
) -> Result<Outcome, Failure> {
    let accepted = Accepted {
        amc_execution_id: found.id.as_str(),
        amc_status: found.status.as_str(),
        amc_created_at: found.create_time,
        may_wait: MAY_WAIT,
        request_id: None,
    };
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    if !submits::accepted(&mut *transaction, execution.id, &accepted).await? {
        // Somebody else has learned how it stands; look again.
        return Ok(Outcome::Snooze(Duration::ZERO));
    }
    let unwanted = execution.cancel_requested_at.is_some();
    let first = if unwanted { Duration::ZERO } else { tools.polling.first };
    let poll = poll_status::job(tools, execution)?.after(first);
    let outcome = attempt.complete_in(&mut transaction, Outcome::then(poll)).await?;
    transaction.commit().await?;
    tracing::info!(execution = %execution.id, amc_execution = %found.id, "AMC has the execution");
    if let Err(error) = instances::let_in(&tools.db, execution.instance_id).await {
        tracing::warn!(%error, "the next block will be asked about too seldom");
    }
    Ok(outcome)
}

/// AMC said no. It may be asked again, unless its answer will stay the same.
async fn refused(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    who: &SignedIn,
    error: amc::Error,
) -> Result<Outcome, Failure> {
    match who.bearer.class(&error) {
        Class::Blocked if !Place::from(execution).is_own => {
            keep_out(tools, attempt, execution, error.reason()).await
        }
        Class::Blocked => block(tools, attempt, execution, error.reason()).await,
        Class::Permanent => {
            if let Some(name) = lost_copy(execution, error.reason()) {
                // Somebody has deleted it: it is saved again first.
                copies::lose(&tools.db, execution.instance_id, name).await?;
                return Err(Failure::transient(error).blameless());
            }
            let code = error.code().unwrap_or("refused").to_owned();
            let why = error.to_string();
            refuse_for_good(tools, attempt, execution, &code, &why, Outcome::Done).await
        }
        _ => Err(tools.judge(who, execution, error).await),
    }
}

/// The saved copy that the execution runs, when AMC says that it has it no longer.
fn lost_copy<'a>(execution: &'a Execution, reason: &str) -> Option<&'a str> {
    let name = execution.amc_workflow_id.as_deref();
    name.filter(|name| reason.contains(name) && reason.contains("does not exist"))
}

async fn refuse_for_good(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    code: &str,
    why: &str,
    then: Outcome,
) -> Result<Outcome, Failure> {
    let trouble = Trouble {
        ending: Ending::Failed,
        class: "permanent",
        code: Some(code),
        message: why,
        amc_status: None,
    };
    end(tools, attempt, execution, &trouble, then).await
}

/// Ends the execution and this job together.
async fn end(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    trouble: &Trouble<'_>,
    then: Outcome,
) -> Result<Outcome, Failure> {
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    end_execution(tools, &mut transaction, execution, trouble).await?;
    let outcome = attempt.complete_in(&mut transaction, then).await?;
    transaction.commit().await?;
    Ok(outcome)
}

/// Amazon refuses us on this instance: nothing is sent there until it lets us in again.
async fn block(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    reason: &str,
) -> Result<Outcome, Failure> {
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    let owner = Owner::of(execution);
    owner.lock(&mut transaction).await?;
    // An active one has just refused us; the others were not asked.
    let asked = execution.instance_status == InstanceStatus::Active;
    if asked {
        let instance = (execution.instance_id, execution.amc_instance_id.as_str());
        block_instance(&mut transaction, instance, reason).await?;
    } else {
        // What was only read may be over by now.
        instances::hold_still(&mut *transaction, execution.instance_id).await?;
        let now = instances::by_id(&mut *transaction, execution.instance_id).await?;
        if now.is_some_and(|now| now.status == InstanceStatus::Active) {
            return Ok(Outcome::Snooze(Duration::ZERO).unasked());
        }
    }
    let trouble = Trouble {
        ending: Ending::Failed,
        class: "blocked",
        code: None,
        message: reason,
        amc_status: None,
    };
    // After the places are given back, and before there is a job: a schedule is locked in between.
    let is_ended = owner::close(tools, &mut transaction, execution, &trouble).await?;
    let opens = resources::access(&execution.amc_instance_id);
    owner.block(&mut transaction, reason, Some(&opens)).await?;
    if is_ended {
        owner::look_again(tools, &mut transaction, execution).await?;
    }
    let then = if asked { Outcome::Done } else { Outcome::Done.unasked() };
    let outcome = attempt.complete_in(&mut transaction, then).await?;
    transaction.commit().await?;
    Ok(outcome)
}

/// Amazon refuses a user on an instance of another user's account, which says nothing about the instance:
/// nobody else waits because of it. A week or a member of a batch waits until a person has given the user access;
/// a run fails, and its schedule waits.
async fn keep_out(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    reason: &str,
) -> Result<Outcome, Failure> {
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    let owner = Owner::of(execution);
    owner.lock(&mut transaction).await?;
    let user = users::by_id(&mut *transaction, execution.user_id).await?;
    let email = user.map(|user| user.email).unwrap_or_default();
    let instance = &execution.amc_instance_id;
    let reason = format!("{email} may not use {instance}, which is another user's: {reason}");
    let trouble = Trouble {
        ending: Ending::Failed,
        class: "blocked",
        code: None,
        message: &reason,
        amc_status: None,
    };
    let is_ended = owner::close(tools, &mut transaction, execution, &trouble).await?;
    let opens = resources::access(instance);
    owner.block(&mut transaction, &reason, Some(&opens)).await?;
    let told = format!(
        "Amazon does not let it run ({reason}): give the user access, then run `recomamp instances unblock \
         {instance}`"
    );
    match owner {
        Owner::Week(week) => {
            if is_ended {
                owner::look_again(tools, &mut transaction, execution).await?;
            }
            feed::keep_out(&mut transaction, week, &told, &opens).await?;
        }
        Owner::Run(run) => {
            let (queue, failed) = (&tools.queue, RunStatus::Failed);
            run_schedule::finish(queue, &mut transaction, run, failed, Some(&told)).await?;
        }
        // It is looked at again when that is opened, and not before.
        Owner::BatchMember(_) | Owner::Nobody => {}
    }
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
    transaction.commit().await?;
    Ok(outcome)
}
