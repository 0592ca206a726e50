//! `recomamp jobs explain`: why a job is not running, for somebody who was woken up by it.

use crate::commands::{connect, output};
use crate::config::Database;
use crate::jobs;
use crate::plural::counted;
use crate::queue::Queue;
use crate::queue::explain::{Explanation, Reason, What};
use crate::telemetry::Mode;
use crate::tools::resources;
use anyhow::{Context, Result};
use clap::Args;

/// Says why a job is not running: everything that holds it, in order, and what to do about it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp jobs explain 4711")]
pub struct Explain {
    /// The job.
    id: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = crate::commands::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let explanation = Queue::new().explain(&db, self.id).await?;
        let mut explanation = explanation
            .with_context(|| format!("there is no job {}: see `recomamp jobs list`", self.id))?;
        jobs::explain::explain(&db, &mut explanation).await?;
        if self.json { output::json(&explanation) } else { output::line(told(&explanation)) }
    }
}

/// The whole text.
fn told(explanation: &Explanation) -> String {
    let Explanation { job_id, kind, queue, state, reasons, .. } = explanation;
    let count = match (explanation.is_held(), reasons.len()) {
        (false, _) => String::new(),
        (true, 1) => ", held by one thing".to_owned(),
        (true, many) => format!(", held by {many} things"),
    };
    let mut lines =
        vec![format!("Job {job_id} ({kind}, queue {queue}) is {}{count}.", state.as_str())];
    for (index, reason) in reasons.iter().enumerate() {
        lines.push(format!("{}. {}.", index + 1, reason.text.trim_end_matches('.')));
        lines.extend(remedy(reason).map(|remedy| format!("   {remedy}")));
    }
    if let (true, Some(rank)) = (explanation.is_held(), &explanation.rank) {
        let slots = match (rank.free(), rank.slots) {
            (Some(free), Some(slots)) => format!("; {free} of {slots} slots are free"),
            _ => String::new(),
        };
        lines.push(format!(
            "After that: {} of its lane first, in turn with {}{slots}.",
            counted(rank.ahead, "job", "jobs"),
            counted(rank.lanes, "other lane", "other lanes")
        ));
    }
    lines.join("\n")
}

/// What a person can do about it.
fn remedy(reason: &Reason) -> Option<String> {
    let resource = reason.resource.as_deref().unwrap_or_default();
    let set = |what: &str| Some(format!("To change it: recomamp gates set {resource} --{what}"));
    match reason.what {
        What::Paused | What::Breaker => {
            Some(format!("To end it: recomamp gates resume {resource}"))
        }
        What::Limit => set("running N"),
        What::Rate => set("rate N/1s"),
        What::Quota => set("quota N@ZONE"),
        What::Hold => match resource.strip_prefix("amc_instance:") {
            Some(id) => Some(format!("To change it: recomamp instances limit {id} N")),
            None => set("holds N"),
        },
        What::NoProcess => Some("To see who works: recomamp status".to_owned()),
        What::Credential if resources::instance_of_access(resource).is_some() => {
            Some("To see the instances: recomamp instances list".to_owned())
        }
        What::Credential => Some("To see the tokens: recomamp users list".to_owned()),
        What::NotBefore
        | What::NotDue
        | What::Lane
        | What::Turn
        | What::Running
        | What::Finished => None,
    }
}
