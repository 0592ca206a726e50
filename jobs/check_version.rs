//! Has AMC compile a version once, before its first execution on an instance, so that a typing error
//! costs one dry run and not an execution for each of 52 weeks.
//!
//! Whoever is about to send an execution asks for the verdict; until it has come they wait, but not for
//! ever: after a quarter of an hour without one they go on. A dry run computes nothing, so one whose
//! answer was lost is simply sent again, and it takes no place that is counted.

use super::submit_execution::request::request;
use super::submit_execution::{SubmitExecution, resources_of};
use crate::amc::{self, AmcExecutionId, Class, Status};
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Priority};
use crate::store::checks::{self, CheckVerdict};
use crate::store::events::{self, NewEvent};
use crate::store::executions::{self, Execution};
use crate::store::{ExecutionUuid, InstanceUuid, VersionId};
use crate::tools::Tools;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// How long executions wait for a verdict, in seconds.
const PATIENCE: f64 = 900.0;
/// How long one that waits is left alone, unless the verdict wakes it.
pub const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// The longest pause between two looks at the dry run: it is over in seconds.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Has AMC compile a version.
#[derive(Debug, Serialize, Deserialize)]
pub struct CheckVersion {
    /// Which version.
    pub version_id: VersionId,
    /// Where it is to run.
    pub instance_id: InstanceUuid,
    /// The execution that asked first: it has the parameters and the window.
    pub execution_id: ExecutionUuid,
}

/// What is known of the version that an execution runs.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may be sent.
    Fit,
    /// It would not compile, in AMC's words.
    Unfit(String),
    /// The verdict is still to come.
    Open,
}

impl Job for CheckVersion {
    type Tools = Tools;
    const KIND: &'static str = "check_version";
    const QUEUE: &'static str = "amc";
    const PRIORITY: Priority = Priority::Live;
    const TIMEOUT: Duration = Duration::from_secs(180);
    /// Its own patience ends it.
    const MAX_ATTEMPTS: i16 = 1000;

    fn unique_key(&self) -> Option<String> {
        Some(format!("{} {}", self.version_id, self.instance_id))
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let check = checks::of(&tools.db, self.version_id, self.instance_id).await?;
        let Some(check) = check.filter(|check| check.verdict == CheckVerdict::Waiting) else {
            return Ok(Outcome::Done.unasked());
        };
        let Some(execution) = executions::by_id(&tools.db, self.execution_id).await? else {
            let why = "the execution that asked is gone";
            return self.skip(tools, attempt, why, Outcome::Done.unasked()).await;
        };
        if check.age_seconds > PATIENCE {
            let why = "AMC gave no verdict within 15 minutes";
            return self.skip(tools, attempt, why, Outcome::Done.unasked()).await;
        }
        match &check.amc_execution_id {
            Some(id) => self.look(tools, attempt, &execution, id).await,
            None => self.send(tools, attempt, &execution).await,
        }
    }
}

/// What is known of the version that an execution runs. Whoever asks first has AMC asked.
pub async fn standing(tools: &Tools, execution: &Execution) -> Result<Standing, Failure> {
    if !tools.submitting.check_versions {
        return Ok(Standing::Fit);
    }
    let (version, instance) = (execution.workflow_version_id, execution.instance_id);
    let Some(check) = checks::of(&tools.db, version, instance).await? else {
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        if checks::ask(&mut *transaction, version, instance).await? {
            let job = CheckVersion {
                version_id: version,
                instance_id: instance,
                execution_id: execution.id,
            };
            let job = NewJob::of(&job)?.using(resources_of(tools, execution)?);
            tools.queue.enqueue(&mut transaction, &[job]).await?;
        }
        transaction.commit().await?;
        return Ok(Standing::Open);
    };
    Ok(match check.verdict {
        CheckVerdict::Failed => Standing::Unfit(check.reason.unwrap_or_default()),
        CheckVerdict::Waiting if check.age_seconds <= PATIENCE => Standing::Open,
        CheckVerdict::Waiting | CheckVerdict::Passed | CheckVerdict::Skipped => Standing::Fit,
    })
}

/// Whether a refusal of AMC's means that the query will never compile.
pub fn is_about_the_query(reason: &str) -> bool {
    reason.contains("compile")
}

impl CheckVersion {
    async fn send(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        execution: &Execution,
    ) -> Result<Outcome, Failure> {
        let who = tools.sign_in(attempt, execution).await?;
        let name = format!("dry-{}-{}", self.version_id.0.simple(), attempt.claim_number());
        let mut request = match request(execution, &name) {
            Ok(request) => request,
            // The execution will be refused for the same reason; another one may be fine.
            Err(why) => return self.skip(tools, attempt, &why, Outcome::Done.unasked()).await,
        };
        request.dry_run = true;
        match tools.amc.submit_execution(&who.caller, &who.instance, &request).await {
            Ok(accepted) => {
                let id = accepted.id.as_str();
                checks::sent(&tools.db, self.version_id, self.instance_id, id).await?;
                Ok(Outcome::Snooze(pause(tools)))
            }
            Err(error) => match who.bearer.class(&error) {
                Class::Permanent if is_about_the_query(error.reason()) => {
                    let verdict = (CheckVerdict::Failed, Some(error.reason()));
                    self.end(tools, attempt, verdict, Outcome::Done).await
                }
                // The execution itself will meet the same, and knows what to do about it.
                Class::Permanent => self.skip(tools, attempt, error.reason(), Outcome::Done).await,
                // Kept out of the instance, it waits until that opens, and so does who waits for it.
                _ => Err(tools.judge(&who, execution, error).await),
            },
        }
    }

    async fn look(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        execution: &Execution,
        id: &str,
    ) -> Result<Outcome, Failure> {
        let who = tools.sign_in(attempt, execution).await?;
        let id = AmcExecutionId::new(id).map_err(Failure::permanent)?;
        let found: amc::Execution = match tools.amc.execution(&who.caller, &who.instance, &id).await
        {
            Ok(found) => found,
            Err(error) if error.class() == Class::NotFoundYet => {
                return Ok(Outcome::Snooze(pause(tools)));
            }
            Err(error) => return Err(tools.judge(&who, execution, error).await),
        };
        let reason = found.status_reason.as_deref().unwrap_or("AMC gave no reason");
        match &found.status {
            Status::Succeeded => {
                self.end(tools, attempt, (CheckVerdict::Passed, None), Outcome::Done).await
            }
            Status::Failed | Status::Rejected if is_about_the_query(reason) => {
                let verdict = (CheckVerdict::Failed, Some(reason));
                self.end(tools, attempt, verdict, Outcome::Done).await
            }
            Status::Failed | Status::Rejected | Status::Cancelled | Status::Deleted => {
                self.skip(tools, attempt, reason, Outcome::Done).await
            }
            _ => Ok(Outcome::Snooze(pause(tools))),
        }
    }

    async fn skip(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        reason: &str,
        then: Outcome,
    ) -> Result<Outcome, Failure> {
        self.end(tools, attempt, (CheckVerdict::Skipped, Some(reason)), then).await
    }

    /// The verdict, and those who waited for it go on.
    async fn end(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        (verdict, reason): (CheckVerdict, Option<&str>),
        then: Outcome,
    ) -> Result<Outcome, Failure> {
        let (version, instance) = (self.version_id, self.instance_id);
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        if checks::end(&mut *transaction, version, instance, verdict, reason).await?
            && verdict != CheckVerdict::Passed
        {
            let event = NewEvent {
                entity: "workflow_version",
                entity_id: &version.to_string(),
                from_status: Some(CheckVerdict::Waiting.as_str()),
                to_status: Some(verdict.as_str()),
                actor: Self::KIND,
                reason,
                detail: &json!({"instance_id": instance}),
            };
            events::append(&mut *transaction, &event).await?;
            tracing::warn!(%version, %verdict, reason, "a version was checked");
        }
        for waiting in checks::queued(&mut *transaction, version, instance).await? {
            let key = waiting.to_string();
            tools.queue.hasten(&mut transaction, SubmitExecution::KIND, &key).await?;
        }
        let outcome = attempt.complete_in(&mut transaction, then).await?;
        transaction.commit().await?;
        Ok(outcome)
    }
}

fn pause(tools: &Tools) -> Duration {
    tools.polling.first.min(PAUSE_MAX)
}
