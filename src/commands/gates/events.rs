//! `recomamp gates events`: what happened to gates, and who did it.

use crate::commands::{connect, output};
use crate::config::Database;
use crate::queue::postgres::inspect::gates;
use crate::telemetry::Mode;
use anyhow::Result;
use clap::Args;

/// Lists what happened to gates, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp gates events
  recomamp gates events amc_instance:amcacme --limit 5")]
pub struct Events {
    /// Only of this resource.
    resource: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
    /// The page after the one that ended with this event.
    #[arg(long, value_name = "ID")]
    after: Option<i64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Events {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = crate::commands::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut connection = db.acquire().await?;
        let resource = self.resource.as_deref();
        let events = gates::events(&mut connection, resource, self.after, self.limit).await?;
        if self.json {
            return output::json(&events);
        }
        let rows = events.into_iter().map(|event| {
            [
                event.id.to_string(),
                output::time(event.at),
                event.resource,
                event.what,
                event.by,
                event.why,
            ]
        });
        output::table(["EVENT", "WHEN", "RESOURCE", "WHAT", "BY", "WHY"], rows)
    }
}
