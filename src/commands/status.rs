//! `recomamp status`: what the engine does now, or where one collection stands.

use super::gates::list;
use super::watch::{self, Followed};
use super::{Exit, connect, output};
use crate::backfill::status::{self as standing, Detailed, Status as Backfill};
use crate::clock;
use crate::config::Database;
use crate::plural::counted;
use crate::queue::postgres::inspect::gates::{self, GatesRow};
use crate::queue::postgres::inspect::{self, Count, ResourceRow, SessionRow};
use crate::store::credentials::{self, TokenState};
use crate::store::instances::{self, InstanceStatus};
use crate::store::schedules::{self, ScheduleStatus};
use crate::store::{ExecutionUuid, submits, users};
use crate::telemetry::Mode;
use crate::tools::young;
use anyhow::{Context, Result};
use chrono::{DateTime, SubsecRound, Utc};
use clap::Args;
use serde::Serialize;
use sqlx::PgConnection;
use std::collections::HashMap;

/// The most that is listed of what grows without end.
const NEWEST: i64 = 10;
const UNKNOWN_MAX: i64 = 100;

/// Shows what the engine does now, or where one collection stands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp status
  recomamp status campaigns-20250917-3f9a2c1e --watch
  recomamp status --json | jq .jobs")]
pub struct Status {
    /// The collection to show, with its weeks; everything when not given.
    collection: Option<String>,
    /// Follow the collection to its end; exit code 5 when it did not complete.
    #[arg(long, requires = "collection")]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Overview {
    now: DateTime<Utc>,
    jobs: Vec<Count>,
    resources: Vec<ResourceRow>,
    gates: Vec<GatesRow>,
    sessions: Vec<SessionRow>,
    collections: Vec<Backfill>,
    auto_paused_schedules: Vec<PausedSchedule>,
    credentials: Vec<Credential>,
    blocked_instances: Vec<BlockedInstance>,
    unknown_submits: Vec<UnknownSubmit>,
}

#[derive(Debug, Serialize)]
struct Credential {
    user: String,
    token_state: TokenState,
    token_error: Option<String>,
    access_trouble: Option<String>,
    access_token_expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize)]
struct BlockedInstance {
    instance_id: String,
    block_reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct PausedSchedule {
    schedule_id: String,
    pause_reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct UnknownSubmit {
    execution_id: ExecutionUuid,
    instance_id: String,
    client_ref: Option<String>,
    since: Option<DateTime<Utc>>,
}

impl Status {
    /// Runs it.
    pub async fn run(self) -> Result<Exit> {
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 2).await?;
        let Some(collection) = &self.collection else {
            let overview = Overview::look(&mut *db.acquire().await?).await?;
            if self.json {
                output::json(&overview)?;
            } else {
                overview.print()?;
            }
            return Ok(Exit::Done);
        };
        let exit = if self.watch {
            watch::follow(&db, Followed::Collection(collection)).await?
        } else {
            Exit::Done
        };
        let detailed = standing::detailed(&mut *db.acquire().await?, collection).await?;
        let detailed = detailed.with_context(|| {
            format!("there is no collection {collection}: see `recomamp status`")
        })?;
        if self.json {
            output::json(&detailed)?;
        } else if !self.watch {
            print(&detailed)?;
        }
        Ok(exit)
    }
}

impl Overview {
    async fn look(connection: &mut PgConnection) -> Result<Self> {
        let users = users::list(&mut *connection).await?.into_iter();
        let emails: HashMap<_, _> = users.map(|user| (user.id, user.email)).collect();
        let credentials = credentials::list(&mut *connection).await?.into_iter();
        let instances = instances::list(&mut *connection).await?.into_iter();
        let schedules = schedules::list(&mut *connection).await?.into_iter();
        let unknown = submits::list_unknown(&mut *connection, UNKNOWN_MAX).await?.into_iter();
        Ok(Self {
            now: clock::now(&mut *connection).await?,
            jobs: inspect::counts(connection).await?,
            resources: inspect::resources(connection).await?,
            gates: gates::list(connection, None, list::LIMIT).await?,
            sessions: inspect::sessions(connection).await?,
            collections: standing::newest(connection, NEWEST).await?,
            auto_paused_schedules: schedules
                .filter(|schedule| schedule.status == ScheduleStatus::AutoPaused)
                .map(|schedule| PausedSchedule {
                    schedule_id: schedule.schedule_id,
                    pause_reason: schedule.pause_reason,
                })
                .collect(),
            credentials: credentials
                .map(|credential| Credential {
                    user: emails.get(&credential.user_id).cloned().unwrap_or_default(),
                    token_state: credential.token_state,
                    token_error: credential.token_error,
                    access_trouble: young::trouble(
                        credential.refused_young,
                        credential.seconds_since_refresh,
                    ),
                    access_token_expires_at: credential.access_token_expires_at,
                })
                .collect(),
            blocked_instances: instances
                .filter(|instance| instance.status == InstanceStatus::Blocked)
                .map(|instance| BlockedInstance {
                    instance_id: instance.instance_id,
                    block_reason: instance.block_reason,
                })
                .collect(),
            unknown_submits: unknown
                .map(|submit| UnknownSubmit {
                    execution_id: submit.execution_id,
                    instance_id: submit.instance_id,
                    client_ref: submit.client_ref,
                    since: submit.submit_started_at,
                })
                .collect(),
        })
    }

    fn print(&self) -> Result<()> {
        self.print_jobs()?;
        self.print_resources()?;
        self.print_sessions()?;
        self.print_collections()?;
        self.print_trouble()
    }

    fn print_jobs(&self) -> Result<()> {
        let rows = self.jobs.iter().map(|count| {
            let late = count.oldest_due_at.map(|due| self.ago(due)).unwrap_or_default();
            [
                count.queue.clone(),
                count.kind.clone(),
                count.state.as_str().to_owned(),
                count.jobs.to_string(),
                count.blocked.to_string(),
                late,
            ]
        });
        output::table(["QUEUE", "JOB", "STATE", "COUNT", "NOT LET IN", "OLDEST DUE"], rows)
    }

    fn print_resources(&self) -> Result<()> {
        output::line("")?;
        list::print(&self.gates, self.now)?;
        let refused = self.resources.iter().filter(|resource| resource.blocked > 0);
        let rows: Vec<_> =
            refused.map(|refused| [refused.name.clone(), refused.blocked.to_string()]).collect();
        if rows.is_empty() {
            return Ok(());
        }
        output::line("")?;
        output::table(["NOT OPEN", "JOBS WAITING"], rows)
    }

    fn print_sessions(&self) -> Result<()> {
        let rows = self.sessions.iter().map(|session| {
            let process = format!("{}:{}", session.host, session.pid);
            let (since, seen) = (said(session.started_at), self.ago(session.seen_at));
            [process, session.version.clone(), since, seen, session.running.to_string()]
        });
        output::line("")?;
        output::table(["WORKER", "VERSION", "SINCE", "SEEN", "RUNNING"], rows)
    }

    fn print_collections(&self) -> Result<()> {
        output::line("")?;
        table_of_collections(&self.collections)
    }

    /// What needs a person.
    fn print_trouble(&self) -> Result<()> {
        let credentials = self.credentials.iter().filter_map(|credential| {
            let (status, why) = match (credential.token_state, &credential.access_trouble) {
                (TokenState::Active, trouble) => ("refused", trouble.clone()?),
                (state, _) => (state.as_str(), credential.token_error.clone().unwrap_or_default()),
            };
            Some([format!("token of {}", credential.user), status.to_owned(), why])
        });
        let instances = self.blocked_instances.iter().map(|instance| {
            let why = instance.block_reason.clone().unwrap_or_default();
            [format!("instance {}", instance.instance_id), "blocked".to_owned(), why]
        });
        let unknown = self.unknown_submits.iter().map(|submit| {
            let since = submit.since.map(said).unwrap_or_default();
            let what = format!("execution {}", submit.execution_id);
            [what, "submit_unknown".to_owned(), format!("on {} since {since}", submit.instance_id)]
        });
        let paused = self.collections.iter().filter(|collection| collection.auto_paused);
        let paused = paused.map(|collection| {
            let why = collection.pause_reason.clone().unwrap_or_default();
            [format!("collection {}", collection.collection_id), "auto-paused".to_owned(), why]
        });
        let schedules = self.auto_paused_schedules.iter().map(|schedule| {
            let why = schedule.pause_reason.clone().unwrap_or_default();
            [format!("schedule {}", schedule.schedule_id), "auto-paused".to_owned(), why]
        });
        let rows: Vec<_> =
            credentials.chain(instances).chain(unknown).chain(paused).chain(schedules).collect();
        if rows.is_empty() {
            return Ok(());
        }
        output::line("")?;
        output::table(["TROUBLE", "STATUS", "WHY"], rows)
    }

    fn ago(&self, time: DateTime<Utc>) -> String {
        format!("{} s ago", (self.now - time).num_seconds().max(0))
    }
}

/// Backfills, each in a line.
pub(super) fn table_of_collections(collections: &[Backfill]) -> Result<()> {
    let rows = collections.iter().map(|collection| {
        let status = standing_of(collection);
        [collection.collection_id.clone(), status.to_owned(), collection.progress.to_string()]
    });
    output::table(["COLLECTION", "STATUS", "PROGRESS"], rows)
}

/// Where it stands, and whether the engine has paused it by itself.
fn standing_of(collection: &Backfill) -> &'static str {
    if collection.auto_paused { "auto-paused" } else { collection.status.as_str() }
}

/// A backfill and its weeks.
pub(super) fn print(detailed: &Detailed) -> Result<()> {
    let status = &detailed.status;
    let (id, stands) = (&status.collection_id, standing_of(status));
    output::line(format!("{id} ({stands}): {}", status.progress))?;
    output::line(format!(
        "{} on {}, {} to {} ({}), {}",
        status.workflow,
        status.instance,
        status.start,
        status.end,
        status.timezone,
        counted(status.row_count, "row", "rows")
    ))?;
    if let Some(reason) = &status.pause_reason {
        let by = status.paused_by.as_deref().unwrap_or("somebody");
        output::line(format!("Paused by {by}: {reason}"))?;
    }
    if let Some(at) = status.resume_at {
        output::line(format!("It goes on at {}", said(at)))?;
    }
    if let Some(kept_out) = &status.kept_out {
        output::line(format!("It does not go on: {kept_out}"))?;
    }
    if let Some(error) = &status.last_error {
        output::line(format!("Last error: {error}"))?;
    }
    output::line("")?;
    let rows = detailed.weeks.iter().map(|week| {
        [
            week.start.to_string(),
            week.status.to_string(),
            week.attempts.to_string(),
            week.row_count.map(|rows| rows.to_string()).unwrap_or_default(),
            week.error.clone().unwrap_or_default(),
        ]
    });
    output::table(["WEEK", "STATUS", "EXECUTIONS", "ROWS", "WHY"], rows)
}

fn said(time: DateTime<Utc>) -> String {
    time.trunc_subsecs(0).format("%Y-%m-%d %H:%M:%SZ").to_string()
}
