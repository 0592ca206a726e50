//! `/v1/resources`: outside things, queues and kinds with their gates, looked at, set and paused.

use super::Api;
use super::asked::Asked;
use super::error::Problem;
use super::fields::Fields;
use super::query::{Given, Parameters};
use crate::config;
use crate::given;
use crate::queue::Error;
use crate::queue::gate::Rule;
use crate::queue::gate::breaker;
use crate::queue::gate::invalid::Invalid;
use crate::queue::gate::quota::Quota;
use crate::queue::gate::rate::Rate;
use crate::queue::postgres::inspect::gates::{self, GatesRow, WholeGates};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use std::time::Duration;

/// As long as any real name, and short enough for an index.
const NAME_MAX: usize = 512;

/// Which resource, who asks, and why: a gate that says nothing is a riddle at night.
struct Told {
    name: String,
    by: String,
    why: String,
}

/// A page of resources.
#[derive(Debug, Serialize)]
pub struct Page {
    /// In the order of their names.
    resources: Vec<GatesRow>,
    /// What to give as `after` for the next page; null when this is the last one.
    next_after: Option<String>,
}

/// The resources that have a gate.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Page>, Problem> {
    let mut parameters = Parameters::of(query)?;
    let after: Option<String> = parameters.optional("after", "the name of a resource")?;
    let limit = parameters.limit()?;
    parameters.end()?;
    let mut connection = api.db.acquire().await?;
    let resources = gates::list(&mut connection, after.as_deref(), limit).await?;
    let is_full = i64::try_from(resources.len()).is_ok_and(|count| count == limit);
    let next_after = resources.last().map(|row| row.name.clone()).filter(|_| is_full);
    Ok(Json(Page { resources, next_after }))
}

/// One resource with all that hangs on it.
pub async fn show(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<WholeGates>, Problem> {
    let Path(name) = name.map_err(|_| Problem::not_found("the name is not text"))?;
    found(&api, &resource(name)?).await
}

/// Stops the jobs that use it from starting.
pub async fn pause(State(api): State<Api>, mut asked: Asked) -> Result<Json<WholeGates>, Problem> {
    let lasts = duration(&mut asked.fields, "for")?;
    let Told { name, by, why } = told(asked)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    api.queue.pause(&mut tx, &name, &by, &why, lasts).await?;
    tx.commit().await?;
    tracing::info!(resource = name, by, why, "paused");
    found(&api, &name).await
}

/// Opens its breaker until it is resumed. Then probes ask first whether it is back.
pub async fn trip(State(api): State<Api>, asked: Asked) -> Result<Json<WholeGates>, Problem> {
    let Told { name, by, why } = told(asked)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    api.queue.trip(&mut tx, &name, &by, &why).await?;
    tx.commit().await?;
    tracing::info!(resource = name, by, why, "tripped");
    found(&api, &name).await
}

/// Ends a pause, and lets an open breaker ask whether it is back.
pub async fn resume(State(api): State<Api>, asked: Asked) -> Result<Json<WholeGates>, Problem> {
    let Told { name, by, why } = told(asked)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    if !api.queue.resume_because(&mut tx, &name, &by, &why).await? {
        let detail = format!("{name} is neither paused nor is its breaker open");
        return Err(Problem::conflict(detail).with_remedy("there is nothing to resume"));
    }
    tx.commit().await?;
    tracing::info!(resource = name, by, why, "resumed");
    found(&api, &name).await
}

/// Gives it exactly these gates; one that is null or missing is taken away.
pub async fn set_gates(
    State(api): State<Api>,
    mut asked: Asked,
) -> Result<Json<WholeGates>, Problem> {
    let rules = rules(&mut asked.fields)?;
    let Told { name, by, why } = told(asked)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    for rule in rules {
        let set = api.queue.set_gate_by(&mut tx, &name, rule, &by, &why).await;
        set.map_err(|error| match error {
            Error::Invalid(invalid) => refused(&invalid),
            other => other.into(),
        })?;
    }
    tx.commit().await?;
    tracing::info!(resource = name, by, why, "gates set");
    found(&api, &name).await
}

fn rules(fields: &mut Fields) -> Result<Vec<Rule>, Problem> {
    const RULE: &str =
        "a breaker's rule: an object with trips, counts, probes, cool_downs_s, manual";
    Ok(vec![
        Rule::Running(fields.number("running", 0..=i32::MAX)?),
        Rule::Holds(fields.number("holds", 0..=i32::MAX)?),
        Rule::Rate(rate(fields)?),
        Rule::Quota(quota(fields)?),
        Rule::Breaker(fields.optional::<breaker::Rule>("breaker", RULE)?),
        Rule::Weight(fields.number("weight", 1..=1000)?.unwrap_or(1)),
    ])
}

fn rate(fields: &mut Fields) -> Result<Option<Rate>, Problem> {
    let Some(mut given) = fields.object("rate")? else { return Ok(None) };
    // What 0 would do is said by the rule itself.
    let tokens = given.required_number("tokens", 0..=u32::MAX)?;
    let period = duration(&mut given, "period")?;
    let burst = given.number("burst", 0..=u32::MAX)?;
    given.end()?;
    let period = period.ok_or_else(|| {
        Problem::invalid("rate.period", "rate.period is missing")
            .with_remedy("give a time as in 1s")
    })?;
    let rate = Rate::new(tokens, period);
    let rate = rate.and_then(|rate| match burst {
        Some(burst) => rate.with_burst(burst),
        None => Ok(rate),
    });
    rate.map(Some).map_err(|invalid| refused(&invalid))
}

fn quota(fields: &mut Fields) -> Result<Option<Quota>, Problem> {
    let Some(mut given) = fields.object("quota")? else { return Ok(None) };
    let limit = given.required_number("limit", 0..=u32::MAX)?;
    let zone = given.required_text("zone", "an IANA zone such as Europe/Berlin", given::zone)?;
    given.end()?;
    Quota::new(limit, zone.name()).map(Some).map_err(|invalid| refused(&invalid))
}

fn duration(fields: &mut Fields, name: &'static str) -> Result<Option<Duration>, Problem> {
    const MUST_BE: &str = "a time such as 30s or 30m";
    let Some(text) = fields.optional::<String>(name, MUST_BE)? else { return Ok(None) };
    config::duration(&text).map(Some).map_err(|_| {
        Problem::invalid(name, format!("{name} is not {MUST_BE}"))
            .with_remedy(format!("give {MUST_BE}"))
    })
}

fn refused(invalid: &Invalid) -> Problem {
    Problem::invalid(invalid.field, format!("{} is not accepted", invalid.field))
        .with_remedy(&*invalid.remedy)
}

/// Reads what every verb is told. Any other field is refused.
fn told(mut asked: Asked) -> Result<Told, Problem> {
    let name = resource(asked.id)?;
    let why = asked.fields.required_text("why", "a sentence", given::sentence)?;
    let by = asked.fields.who()?;
    asked.fields.end()?;
    Ok(Told { name, by, why })
}

fn resource(name: String) -> Result<String, Problem> {
    if name.contains(char::is_control) || name.len() > NAME_MAX {
        return Err(Problem::not_found("no resource has a name like that"));
    }
    Ok(name)
}

async fn found(api: &Api, name: &str) -> Result<Json<WholeGates>, Problem> {
    let mut connection = api.db.acquire().await?;
    let found = gates::whole(&mut connection, name).await?;
    found.map(Json).ok_or_else(|| {
        Problem::not_found(format!("no job has ever used a resource {name:?}, and it has no gate"))
    })
}
