//! Looks for an execution whose submit has no known outcome: adopts it, or proves it absent.

use super::adopt;
use super::request::{filled, mark, window};
use crate::amc::{self, AmcExecutionId, ExecutionFilter, Sql};
use crate::clock;
use crate::queue::{Attempt, Failure, Outcome};
use crate::store::executions::{self, Execution, SubmitMode};
use crate::store::submits;
use crate::tools::Tools;
use anyhow::anyhow;
use chrono::TimeDelta;
use std::time::Duration;

/// Looks for an execution whose submit has no known outcome.
pub async fn reconcile(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
) -> Result<Outcome, Failure> {
    let who = tools.sign_in(attempt, execution).await?;
    let Some(sent_at) = execution.submit_started_at else {
        return Err(Failure::permanent(anyhow!("the intent of the submit was not written down")));
    };
    // Measured before AMC is asked: an answer that took long says nothing about the time it took.
    let silent = clock::now(&tools.db).await? - sent_at;
    let silent = silent.to_std().unwrap_or(Duration::ZERO);
    let filter = ExecutionFilter::since(sent_at - skew(execution.submit_mode));
    let filter = filter.include_cancelled().include_workflow();
    let listed = match tools.amc.executions(&who.caller, &who.instance, &filter).await {
        Ok(listed) => listed,
        Err(error) => return Err(tools.judge(&who, execution, error).await.may_pass()),
    };
    let mut ours = ours_among(tools, execution, listed).await?;
    if ours.is_empty() {
        if silent < tools.polling.lookup {
            return Ok(Outcome::Snooze(next_look(tools, silent)));
        }
        tracing::info!(execution = %execution.id, ?silent, "AMC never had it: it is sent again");
        submits::proven_absent(&tools.db, execution.id, sent_at).await?;
        return Ok(Outcome::Snooze(Duration::ZERO));
    }
    ours.sort_by_key(|found| found.create_time);
    let oldest = ours.remove(0);
    // Without our mark it may be somebody else's, who asked the same.
    let mark = mark(execution);
    for twin in ours.iter().filter(|twin| twin.status.is_open() && bears(twin, &mark)) {
        tracing::warn!(amc_execution = %twin.id, "a second execution of the same: cancelled");
        let id = AmcExecutionId::clone(&twin.id);
        if let Err(error) = tools.amc.cancel_execution(&who.caller, &who.instance, &id).await {
            tracing::warn!(%error, "it could not be cancelled");
        }
    }
    adopt(tools, attempt, execution, &oldest).await
}

/// How far before the intent AMC's list is read: the clocks of Amazon and of the store may differ. With our own
/// mark on the request nothing else can be taken for it; without, it could be what a person began by hand.
fn skew(mode: SubmitMode) -> TimeDelta {
    match mode {
        SubmitMode::Inline => TimeDelta::hours(1),
        SubmitMode::Saved => TimeDelta::minutes(10),
    }
}

fn bears(found: &amc::Execution, mark: &str) -> bool {
    found.workflow_id.as_deref().is_some_and(|workflow| workflow.starts_with(mark))
}

/// Those that are this execution: by our own mark, or else by the window, and nobody's already.
async fn ours_among(
    tools: &Tools,
    execution: &Execution,
    listed: Vec<amc::Execution>,
) -> Result<Vec<amc::Execution>, Failure> {
    let ids: Vec<String> = listed.iter().map(|found| found.id.to_string()).collect();
    let taken = executions::bound_amc_ids(&tools.db, &execution.amc_instance_id, &ids).await?;
    let free: Vec<_> =
        listed.into_iter().filter(|found| !taken.contains(found.id.as_str())).collect();
    // By whichever request: one that was given up as absent may have come after all.
    let mark = mark(execution);
    let marked = |found: &amc::Execution| bears(found, &mark);
    if execution.submit_mode == SubmitMode::Inline && free.iter().any(marked) {
        return Ok(free.into_iter().filter(marked).collect());
    }
    let window = window(execution).map_err(|why| Failure::permanent(anyhow!(why)))?;
    let (sql, _, parameters) = filled(execution).map_err(|why| Failure::permanent(anyhow!(why)))?;
    let same_sql = |found: &amc::Execution| {
        found.sql_query.as_deref().and_then(|text| Sql::normalise(text).ok()).as_ref() == Some(&sql)
    };
    Ok(free
        .into_iter()
        .filter(|found| {
            let workflow = found.workflow_id.as_deref().unwrap_or_default();
            let same_query = match execution.submit_mode {
                SubmitMode::Saved => found.workflow_id.as_deref() == named(execution),
                // AMC may have given it a name of its own; one that bears another mark is not ours.
                SubmitMode::Inline => workflow.starts_with("transient_") && same_sql(found),
            };
            same_query && found.covers(&window) && found.parameter_values == parameters
        })
        .collect())
}

/// The workflow that the request named, whatever has become of its copy since.
fn named(execution: &Execution) -> Option<&str> {
    execution.request_body.as_ref()?.get("workflowId")?.as_str()
}

/// Looks come after an eighth, three eighths and all of the time in which AMC must have shown it.
pub fn next_look(tools: &Tools, silent: Duration) -> Duration {
    let whole = tools.polling.lookup;
    let looks = [whole / 8, whole * 3 / 8, whole];
    let next = looks.into_iter().find(|look| *look > silent).unwrap_or(whole);
    next.saturating_sub(silent)
}
