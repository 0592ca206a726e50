//! `/v1/jobs/{id}/…` steers one job; `/v1/jobs/cancel`, `/discard` and `/replay` those of a choice.
//!
//! Every body says why, and may say who (`by`). What became of one job is `{"id", "result", "detail"}`:
//! a job that had ended already, or has been asked before, is an answer. What cannot be done is a
//! conflict, and says what to do instead.

use crate::api::Api;
use crate::api::collections::body::halves;
use crate::api::error::Problem;
use crate::api::fields::Fields;
use crate::jobs::wanted;
use crate::queue::State as JobState;
use crate::queue::steer::{
    Because, Cancelled, Discarded, Edit, Edited, Finished, Replay, Replayed, RunAt, Unfinished,
};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

type Body = Result<Bytes, BytesRejection>;
type Id = Result<Path<i64>, PathRejection>;

const TIME: &str = "a time such as 2026-01-31T08:00:00Z";

/// What became of one job.
#[derive(Debug, Serialize)]
struct Answer<T> {
    id: i64,
    #[serde(flatten)]
    answer: T,
}

/// Who asks, and why.
struct Asked {
    by: String,
    why: String,
}

impl Asked {
    fn read(fields: &mut Fields) -> Result<Self, Problem> {
        Ok(Self { by: fields.who()?, why: fields.why()? })
    }

    fn because(&self) -> Because<'_> {
        Because { by: &self.by, why: &self.why }
    }
}

/// A choice of unfinished jobs, and who asks for what becomes of them.
struct Choice {
    filter: Unfinished,
    dry_run: bool,
    asked: Asked,
}

impl Choice {
    fn read(headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        let mut fields = Fields::from_request(headers, body)?;
        let filter = Unfinished {
            queue: fields.optional("queue", "the name of a queue")?,
            kind: fields.optional("kind", "the name of a kind")?,
            share: fields.optional("share", "live, backfill or maintenance")?,
            resource: fields.optional("resource", "the name of a resource")?,
            state: fields.optional("state", "waiting or running")?,
            created_after: fields.optional("created_after", TIME)?,
            created_before: fields.optional("created_before", TIME)?,
        };
        let dry_run = flag(&mut fields, "dry_run")?;
        let asked = Asked::read(&mut fields)?;
        fields.end()?;
        Ok(Self { filter, dry_run, asked })
    }
}

fn refused(refusal: &str) -> Problem {
    let (detail, remedy) = halves(refusal);
    Problem::conflict(detail).with_remedy(remedy)
}

/// `POST /v1/jobs/{id}/cancel`
pub async fn cancel(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (id, mut fields) = (read_id(id)?, Fields::from_request(&headers, body)?);
    let asked = Asked::read(&mut fields)?;
    fields.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    if let Some((id, command)) = wanted::by(&mut tx, &[id]).await?.first() {
        return Err(refused(&wanted::refusal(*id, command)));
    }
    let answers = api.queue.cancel(&mut tx, &[id], &asked.because()).await?;
    tx.commit().await?;
    match answers.into_iter().next() {
        None | Some(Cancelled::Unknown) => Err(unknown(id)),
        Some(answer) => Ok(Json(Answer { id, answer }).into_response()),
    }
}

/// `POST /v1/jobs/{id}/discard`
pub async fn discard(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (id, mut fields) = (read_id(id)?, Fields::from_request(&headers, body)?);
    let asked = Asked::read(&mut fields)?;
    fields.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let answers = api.queue.discard(&mut tx, &[id], &asked.because()).await?;
    tx.commit().await?;
    match answers.into_iter().next() {
        None | Some(Discarded::Unknown) => Err(unknown(id)),
        Some(Discarded::Running) => {
            Err(Problem::conflict(format!("job {id} is running")).with_remedy("cancel it instead"))
        }
        Some(answer) => Ok(Json(Answer { id, answer }).into_response()),
    }
}

/// `PATCH /v1/jobs/{id}`
pub async fn edit(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (id, mut fields) = (read_id(id)?, Fields::from_request(&headers, body)?);
    let change = Edit {
        run_at: run_at(&mut fields)?,
        priority: fields.optional("priority", "urgent, live, normal or low")?,
    };
    let asked = Asked::read(&mut fields)?;
    fields.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let answers = api.queue.edit(&mut tx, &[id], &change, &asked.because()).await?;
    tx.commit().await?;
    match answers.into_iter().next() {
        None | Some(Edited::Unknown) => Err(unknown(id)),
        Some(Edited::Running) => {
            Err(stands(id, JobState::Running)
                .with_remedy("wait until it waits again, or cancel it"))
        }
        Some(Edited::AlreadyFinished(state)) => {
            Err(stands(id, state).with_remedy("replay it, if it is to be done again"))
        }
        Some(answer) => Ok(Json(Answer { id, answer }).into_response()),
    }
}

/// `POST /v1/jobs/{id}/replay`
pub async fn replay(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (id, mut fields) = (read_id(id)?, Fields::from_request(&headers, body)?);
    let mut how = how(&mut fields)?;
    how.done = flag(&mut fields, "done")?;
    let asked = Asked::read(&mut fields)?;
    fields.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let answer = api.queue.replay(&mut tx, id, &how, &asked.because()).await?;
    tx.commit().await?;
    match answer {
        Replayed::Unknown => Err(unknown(id)),
        Replayed::Unfinished(state) => Err(stands(id, state)),
        Replayed::Done => Err(stands(id, JobState::Done).with_remedy("say done: true")),
        Replayed::Poison => Err(Problem::conflict(format!("job {id} killed its processes"))
            .with_remedy("say force: true, once you know why")),
        answer => Ok(Json(Answer { id, answer }).into_response()),
    }
}

/// `POST /v1/jobs/cancel`
pub async fn cancel_all(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let Choice { filter, dry_run, asked } = Choice::read(&headers, body)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let chosen = if dry_run {
        api.queue.count(&mut tx, &filter).await?
    } else if let Some(refusal) = filter.kind.as_deref().and_then(wanted::refusal_of_kind) {
        return Err(refused(&refusal));
    } else {
        api.queue.cancel_all(&mut tx, &filter, &asked.because()).await?
    };
    tx.commit().await?;
    Ok(Json(json!({
        "dry_run": dry_run, "waiting": chosen.waiting, "running": chosen.running,
    })))
}

/// `POST /v1/jobs/discard`
pub async fn discard_all(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let Choice { filter, dry_run, asked } = Choice::read(&headers, body)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let waiting = if dry_run {
        api.queue.count(&mut tx, &filter).await?.waiting
    } else {
        api.queue.discard_all(&mut tx, &filter, &asked.because()).await?
    };
    tx.commit().await?;
    Ok(Json(json!({ "dry_run": dry_run, "waiting": waiting })))
}

/// `POST /v1/jobs/replay`
pub async fn replay_all(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let mut fields = Fields::from_request(&headers, body)?;
    let filter = Finished {
        state: fields.optional("state", "discarded, cancelled or done")?,
        queue: fields.optional("queue", "the name of a queue")?,
        kind: fields.optional("kind", "the name of a kind")?,
        finished_after: fields.optional("finished_after", TIME)?,
        finished_before: fields.optional("finished_before", TIME)?,
        error: fields.optional("error", "a part of the last error, as text")?,
    };
    let how = how(&mut fields)?;
    let dry_run = flag(&mut fields, "dry_run")?;
    let asked = Asked::read(&mut fields)?;
    fields.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let answer = if dry_run {
        let count = api.queue.replayable(&mut tx, &filter, &how).await?;
        json!({
            "dry_run": true, "jobs": count.jobs, "poison": count.poison, "already": count.already,
        })
    } else {
        let replays = api.queue.replay_all(&mut tx, &filter, &how, &asked.because()).await?;
        let pair = |(old, new): &(i64, i64)| json!({"id": old, "replayed_as": new});
        json!({
            "dry_run": false,
            "replayed": replays.replayed.iter().map(pair).collect::<Vec<_>>(),
            "existing": replays.existing,
        })
    };
    tx.commit().await?;
    Ok(Json(answer))
}

fn read_id(id: Id) -> Result<i64, Problem> {
    id.map(|Path(id)| id).map_err(|_| Problem::not_found("a job's id is a number"))
}

fn flag(fields: &mut Fields, name: &'static str) -> Result<bool, Problem> {
    Ok(fields.optional(name, "true or false")?.unwrap_or(false))
}

fn how(fields: &mut Fields) -> Result<Replay, Problem> {
    Ok(Replay {
        patch: fields.optional("patch", "an object (RFC 7396)")?,
        per_second: fields.optional("per_second", "a number above 0")?,
        force: flag(fields, "force")?,
        done: false,
    })
}

fn run_at(fields: &mut Fields) -> Result<Option<RunAt>, Problem> {
    const MUST_BE: &str = "now, or a time such as 2026-01-31T08:00:00Z";
    let Some(text) = fields.optional::<String>("run_at", MUST_BE)? else { return Ok(None) };
    if text == "now" {
        return Ok(Some(RunAt::Now));
    }
    text.parse().map(|at| Some(RunAt::At(at))).map_err(|_| {
        Problem::invalid("run_at", format!("run_at is not {MUST_BE}"))
            .with_remedy(format!("give {MUST_BE}"))
    })
}

fn unknown(id: i64) -> Problem {
    Problem::not_found(format!("there is no job {id}"))
}

fn stands(id: i64, state: JobState) -> Problem {
    Problem::conflict(format!("job {id} is {}", state.as_str()))
}
