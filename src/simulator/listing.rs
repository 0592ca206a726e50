//! The list of executions: its filters, its order, its pages.

use super::answer::Answer;
use super::call::Call;
use super::execution::{Execution, Status};
use super::paging;
use super::window;
use super::world::World;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::Value;

/// Answers `GET …/workflowExecutions`.
pub(crate) fn list(world: &mut World, call: &Call) -> Result<Answer, Answer> {
    let (from, to) =
        (bound(world, call, "minCreationTime")?, bound(world, call, "maxCreationTime")?);
    let workflow_id = call.query("workflowId");
    if workflow_id.is_none() && from.is_none() {
        return Err(Answer::error(400, "Either workflowId or minCreationTime is required."));
    }
    let (limit, resume) = (call.limit()?, paging::resume(call)?);
    let delay = TimeDelta::seconds(world.settings.list_delay_seconds.into());
    let (now, cancelled) = (world.clock.now(), call.flag("includeCancelled"));
    let shows = |execution: &Execution| {
        execution.instance == call.instance
            && (cancelled || execution.status != Status::Cancelled)
            && workflow_id.is_none_or(|id| id == execution.workflow.id)
            && from.is_none_or(|from| from <= second(execution.created_at))
            && to.is_none_or(|to| second(execution.created_at) <= to)
            && execution.created_at + delay <= now
    };
    let all = world.executions.all();
    let places: Box<dyn Iterator<Item = usize>> = if call.flag("sortAscending") {
        Box::new(resume.unwrap_or(0)..all.len())
    } else {
        Box::new((0..resume.unwrap_or(all.len()).min(all.len())).rev())
    };
    let mut found = places.filter(|place| shows(&all[*place]));
    let page: Vec<usize> = found.by_ref().take(limit).collect();
    let next = match (found.next(), page.last()) {
        (Some(_), Some(last)) if call.flag("sortAscending") => Some(last + 1),
        (Some(_), Some(last)) => Some(*last),
        _ => None,
    };
    let with_sql = call.flag("includeWorkflow");
    let page = page.into_iter().map(|place| Value::Object(all[place].show(with_sql))).collect();
    Ok(paging::answer("executions", page, next))
}

/// A bound on the time of creation, in the zone that the query names.
fn bound(world: &mut World, call: &Call, name: &str) -> Result<Option<DateTime<Utc>>, Answer> {
    let Some(text) = call.query(name) else { return Ok(None) };
    if text.ends_with(['Z', 'z']) {
        world.witness.counts.trailing_z += 1;
        return Err(Answer::error(
            400,
            &format!("{name} must have the format yyyy-MM-dd'T'HH:mm:ss."),
        ));
    }
    let local = window::local(name, text).map_err(|details| Answer::error(400, &details))?;
    let zone: Tz = call
        .query("timeZone")
        .unwrap_or("UTC")
        .parse()
        .map_err(|_| Answer::error(400, "Unknown timeZone."))?;
    Ok(Some(window::utc(zone, local)))
}

/// Creation times have whole seconds.
fn second(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at)
}
