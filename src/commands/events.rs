//! `recomamp events`: the journal, which says what happened to collections, schedules, instances, users.

use super::{connect, output, settings};
use crate::config::Database;
use crate::given;
use crate::store::events::{self, Event, Filter, Of, entity};
use crate::telemetry::Mode;
use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;

/// Lists what happened, the newest first: who or what moved which thing from where to where, and why.
///
/// What happened to gates is under `gates events`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp events
  recomamp events --entity schedule --id monday
  recomamp events --entity user --id ada@example.com --since 2026-01-31T08:00:00Z --json")]
pub struct Events {
    /// Only of such things: `account`, `batch`, `collection`, `execution`, `instance`, `plan`,
    /// `resource`, `schedule`, `schedule_run`, `user`, `webhook`, `workflow`, `workflow_version`.
    #[arg(long, value_parser = entity)]
    entity: Option<String>,
    /// Only of this one of them; a user's id may also be their email.
    #[arg(long, requires = "entity", value_parser = given::any_id)]
    id: Option<String>,
    /// Only from this moment on.
    #[arg(long, value_name = "TIME", value_parser = given::time)]
    since: Option<DateTime<Utc>>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Events {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let of = self.entity.map(|entity| Of { entity, id: self.id });
        let filter = Filter { of, since: self.since, before: None, limit: self.limit };
        let events = events::page(&db, &filter).await?;
        if self.json {
            return output::json(&events);
        }
        let headings = ["AT", "ENTITY", "ID", "FROM", "TO", "WHO", "WHY"];
        output::table(headings, events.into_iter().map(cells))
    }
}

fn cells(event: Event) -> [String; 7] {
    let at = output::time(event.at);
    let (from, to) = (event.from_status.unwrap_or_default(), event.to_status.unwrap_or_default());
    // One line each, whatever stands in the words of others.
    let why = event.reason.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    [at, event.entity, event.entity_id, from, to, event.actor, why]
}
