//! JSON over HTTP, for programs.
//!
//! | route | what |
//! |---|---|
//! | `GET /healthz` | the process turns |
//! | `GET /readyz` | it can do its work; 503 and the reason when not |
//! | `GET /metrics` | for Prometheus |
//! | `GET /v1/collections`, `/v1/collections/{id}` | the newest; how far one is, week by week |
//! | `POST /v1/collections/{id}/pause`, `/resume`, `/cancel` | what the word says: `why`, `by`, `until` |
//! | `POST /v1/collections/{id}/retry`, `/recollect` | once more: the failed `week`s, the last `weeks` |
//! | `POST /v1/collections/{id}/widen`, `/shrink` | more weeks or fewer: `from`, `until` |
//! | `POST /v1/collections` | starts a backfill, a plan when it is for several; `dry_run` shows what it would do |
//! | `GET /v1/plans`, `/v1/plans/{id}` | collections that were asked for together, and how far they are |
//! | `POST /v1/plans/{id}/pause`, `/resume`, `/cancel`, `/retry` | what the word says, to each of them: `why`, `by`, `until` |
//! | `GET /v1/collections/{id}/report` | the proof that it has every day once, or what it lacks |
//! | `GET`, `POST /v1/batches`, `GET /v1/batches/{id}` | one workflow on many instances: `instances`, `start`, `end`, `parameters`, `parameters_for` |
//! | `POST /v1/batches/{id}/cancel`, `/retry` | what the word says: `why`, `by` |
//! | `GET`, `POST /v1/schedules` | what runs by itself; adds to it |
//! | `GET /v1/schedules/{id}`, `/preview`, `/runs` | how it stands; when it is due next: `count`; its newest runs: `limit` |
//! | `PATCH /v1/schedules/{id}` | what is missing stays: whatever `POST` takes but its id and its workflow; null for no bound: `keep_runs`, `notify` |
//! | `POST /v1/schedules/{id}/trigger`, `/pause`, `/resume`, `/cancel` | what the word says, to one schedule; `cancel` means its unfinished runs |
//! | `DELETE /v1/schedules/{id}` | takes it away, and cancels its unfinished runs |
//! | `GET`, `POST /v1/users` | in whose name the engine works: `email`, `name`, `region`, `refresh_token` |
//! | `POST /v1/users/{email}/authorise` | another token: `refresh_token`, `region`; starts again what waited for it |
//! | `POST /v1/users/resume` | tries every token again that was refused because of our client |
//! | `GET`, `POST /v1/accounts` | Amazon's accounts: `account_id`, `name`, `marketplace`, `region`, `user` |
//! | `GET`, `POST /v1/instances` | AMC's instances: `instance_id`, `name`, `account` |
//! | `POST /v1/instances/sync` | has AMC asked which there are, with the token of `user` or with all |
//! | `POST /v1/instances/{id}/unblock`, `/limit` | starts its work again; at most `max_open` executions at once |
//! | `GET`, `POST /v1/webhooks` | who is told of what happens: `url`, `events`, `format`, `secret` |
//! | `GET`, `DELETE /v1/webhooks/{id}` | one with its log; takes it away with its log |
//! | `GET /v1/webhooks/{id}/deliveries` | its log, every attempt: `limit` |
//! | `POST /v1/webhooks/{id}/test`, `/disable`, `/enable` | a test event; tells it nothing more, tells it again |
//! | `GET`, `POST /v1/workflows` | the queries: `workflow_id`, `name`, `instance`, `user`, `sql`, `parameters`, `saved` |
//! | `GET /v1/workflows/{id}` | one with its versions and what AMC said of them |
//! | `PATCH /v1/workflows/{id}` | what is missing stays: `sql`, `parameters`, `saved` |
//! | `POST /v1/workflows/{id}/sync`, `/recheck` | has it saved at AMC; forgets what AMC refused |
//! | `GET /v1/events` | the journal, page by page, the newest first: `entity`, `id`, `since`, `before`, `limit` |
//! | `GET /v1/jobs` | jobs, page by page: `queue`, `kind`, `state`, `after`, `limit` |
//! | `GET /v1/jobs/{id}` | one with everything that is known of it |
//! | `GET /v1/jobs/{id}/explain` | why it is not running |
//! | `GET /v1/resources` | what has gates: `after`, `limit` |
//! | `GET /v1/resources/{name}` | one with who is in, who waits and what happened |
//! | `POST /v1/resources/{name}/pause` | stops the jobs that use it: `why`, `for`, `by` |
//! | `POST /v1/resources/{name}/trip` | opens its breaker until it is resumed: `why`, `by` |
//! | `POST /v1/resources/{name}/resume` | lets them go on: `why`, `by` |
//! | `PUT /v1/resources/{name}/gates` | gives it exactly these gates: `running`, `holds`, `rate`, `quota`, `breaker`, `weight`, and `why`, `by` |
//! | `POST /v1/jobs/{id}/cancel`, `/discard`, `/replay` | what the word says, to one job |
//! | `PATCH /v1/jobs/{id}` | when it runs, and before or after which others |
//! | `POST /v1/jobs/cancel`, `/v1/jobs/discard`, `/v1/jobs/replay` | the same to all of a choice; `dry_run` counts them |
//!
//! Whatever changes something takes `by` and, unless it starts collections or batches, `why`: a `DELETE` in
//! its address, as it has no body. The journal keeps both.
//!
//! What takes a secret (a token, what signs a webhook) needs `serve` to have the keys that encrypt it.
//!
//! Nobody has to say who they are yet, so `serve` listens on the machine itself by default. To let
//! others in, put something in front that knows them.
//!
//! Errors are [problem documents](https://www.rfc-editor.org/rfc/rfc9457), see [`error`].

pub mod accounts;
pub mod asked;
pub mod batches;
pub mod collections;
pub mod error;
pub mod events;
pub mod fields;
pub mod health;
pub mod instances;
pub mod jobs;
pub mod plans;
pub mod query;
pub mod register;
pub mod request;
pub mod resources;
pub mod schedules;
pub mod steering;
pub mod users;
pub mod webhooks;
pub mod workflows;

use crate::backfill::estimate::Curve;
use crate::config::{Keys, Limits};
use crate::queue::Queue;
use crate::shutdown::Shutdown;
use crate::webhooks::Allowed;
use axum::extract::{DefaultBodyLimit, Request};
use axum::routing::{get, post, put};
use axum::{Router, middleware};
use error::Problem;
use sqlx::PgPool;

/// The longest body that is read, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What the routes hold in their hands.
#[derive(Debug, Clone)]
pub struct Api {
    /// Everything that is stored.
    pub db: PgPool,
    /// Where jobs are asked for.
    pub queue: Queue,
    /// What new instances and new weeks may spend.
    pub limits: Limits,
    /// What encrypts secrets; without it none is taken.
    pub keys: Option<Keys>,
    /// Where webhooks may go.
    pub allowed: Allowed,
    /// When an execution is looked at, for those who ask how long a backfill may take.
    pub curve: Curve,
    /// Tells when the process stops.
    pub shutdown: Shutdown,
}

/// Every route there is.
pub fn router(api: Api) -> Router {
    let v1 = Router::new()
        .route("/v1/collections", get(steering::list).post(collections::create))
        .route("/v1/collections/{id}", get(collections::show))
        .route("/v1/collections/{id}/pause", post(steering::pause))
        .route("/v1/collections/{id}/resume", post(steering::resume))
        .route("/v1/collections/{id}/cancel", post(steering::cancel))
        .route("/v1/collections/{id}/retry", post(steering::retry))
        .route("/v1/collections/{id}/recollect", post(steering::recollect))
        .route("/v1/collections/{id}/widen", post(steering::widen))
        .route("/v1/collections/{id}/shrink", post(steering::shrink))
        .route("/v1/collections/{id}/report", get(collections::report))
        .route("/v1/plans", get(plans::list))
        .route("/v1/plans/{id}", get(plans::show))
        .route("/v1/plans/{id}/pause", post(plans::pause))
        .route("/v1/plans/{id}/resume", post(plans::resume))
        .route("/v1/plans/{id}/cancel", post(plans::cancel))
        .route("/v1/plans/{id}/retry", post(plans::retry))
        .route("/v1/batches", get(batches::list).post(batches::create))
        .route("/v1/batches/{id}", get(batches::show))
        .route("/v1/batches/{id}/cancel", post(batches::cancel))
        .route("/v1/batches/{id}/retry", post(batches::retry))
        .route("/v1/schedules", get(schedules::list).post(schedules::create))
        .route(
            "/v1/schedules/{id}",
            get(schedules::show).patch(schedules::change).delete(schedules::remove),
        )
        .route("/v1/schedules/{id}/preview", get(schedules::preview))
        .route("/v1/schedules/{id}/trigger", post(schedules::trigger))
        .route("/v1/schedules/{id}/pause", post(schedules::pause))
        .route("/v1/schedules/{id}/resume", post(schedules::resume))
        .route("/v1/schedules/{id}/runs", get(schedules::runs))
        .route("/v1/schedules/{id}/cancel", post(schedules::cancel))
        .route("/v1/users", get(users::list).post(users::add))
        .route("/v1/users/resume", post(users::resume))
        .route("/v1/users/{email}/authorise", post(users::authorise))
        .route("/v1/accounts", get(accounts::list).post(accounts::add))
        .route("/v1/instances", get(instances::list).post(instances::add))
        .route("/v1/instances/sync", post(instances::sync))
        .route("/v1/instances/{id}/unblock", post(instances::unblock))
        .route("/v1/instances/{id}/limit", post(instances::limit))
        .route("/v1/webhooks", get(webhooks::list).post(webhooks::add))
        .route("/v1/webhooks/{id}", get(webhooks::show).delete(webhooks::remove))
        .route("/v1/webhooks/{id}/deliveries", get(webhooks::deliveries))
        .route("/v1/webhooks/{id}/test", post(webhooks::test))
        .route("/v1/webhooks/{id}/disable", post(webhooks::disable))
        .route("/v1/webhooks/{id}/enable", post(webhooks::enable))
        .route("/v1/workflows", get(workflows::list).post(workflows::add))
        .route("/v1/workflows/{id}", get(workflows::show).patch(workflows::update))
        .route("/v1/workflows/{id}/sync", post(workflows::sync))
        .route("/v1/workflows/{id}/recheck", post(workflows::recheck))
        .route("/v1/events", get(events::list))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/jobs/{id}/explain", get(jobs::explain))
        .route("/v1/resources", get(resources::list))
        .route("/v1/resources/{name}", get(resources::show))
        .route("/v1/resources/{name}/pause", post(resources::pause))
        .route("/v1/resources/{name}/resume", post(resources::resume))
        .route("/v1/resources/{name}/trip", post(resources::trip))
        .route("/v1/resources/{name}/gates", put(resources::set_gates))
        .route("/v1/jobs/cancel", post(jobs::steer::cancel_all))
        .route("/v1/jobs/discard", post(jobs::steer::discard_all))
        .route("/v1/jobs/replay", post(jobs::steer::replay_all))
        .route("/v1/jobs/{id}", get(jobs::show).patch(jobs::steer::edit))
        .route("/v1/jobs/{id}/cancel", post(jobs::steer::cancel))
        .route("/v1/jobs/{id}/discard", post(jobs::steer::discard))
        .route("/v1/jobs/{id}/replay", post(jobs::steer::replay))
        // Who asks and what they may is to be decided here, for /v1 alone.
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(api.clone());
    probes(api.db, api.shutdown)
        .merge(v1)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(request::watched))
}

/// What shows a process from outside: `/healthz`, `/readyz` and `/metrics`.
pub fn probes(db: PgPool, shutdown: Shutdown) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .with_state(health::Probed { db, shutdown })
}

async fn unknown_path(request: Request) -> Problem {
    Problem::not_found(format!("there is nothing at {}", request.uri().path()))
}

async fn wrong_method(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::method_not_allowed(format!("{path} does not understand {method}"))
}
