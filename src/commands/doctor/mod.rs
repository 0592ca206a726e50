//! `recomamp doctor`: looks at everything the engine stands on, and names a remedy for what is wrong.

mod access;
mod database;
mod product;

use super::{Exit, connect, output};
use crate::config::{
    AmcHosts, Database, Errors, Keys, Limits, Logging, Lwa, Polling, Process, Results, Retention,
    Serve, Settings, Submitting, Timeouts, Webhooks, Worker,
};
use crate::plural::counted;
use crate::telemetry::{self, Mode};
use crate::webhooks::Allowed;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::env;

/// Looks at everything the engine stands on, and names a remedy for what is wrong.
///
/// Changes nothing, but for a small file where results are kept. Exit code 3 when a check fails.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  recomamp doctor\n  recomamp doctor --json | jq '.checks[] | select(.verdict != \"ok\")'"
)]
pub struct Doctor {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    detail: String,
    remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, detail: detail.into(), remedy: None }
    }

    fn warn(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (detail, remedy) = (detail.into(), Some(remedy.into()));
        Self { name, verdict: Verdict::Warn, detail, remedy }
    }

    fn fail(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(name, detail, remedy) }
    }

    /// A check that could not be made.
    fn broken(name: &'static str, error: impl std::fmt::Display) -> Self {
        Self::fail(name, format!("could not be checked: {error}"), "settle what the message says")
    }
}

#[derive(Debug, Serialize)]
struct Report {
    healthy: bool,
    checks: Vec<Check>,
}

/// Everything that some command reads of the environment.
type Everything = (
    Logging,
    (Database, Keys, Lwa, AmcHosts, Timeouts),
    (Results, Polling, Submitting, Limits, Worker),
    (Retention, Serve, Process),
);

impl Doctor {
    /// Runs it.
    pub async fn run(self) -> Result<Exit> {
        telemetry::init(Mode::Command, &Logging { filter: "warn".to_owned() })?;
        let mut checks = settings();
        // What can be looked at is looked at, whatever else is wrong with the settings.
        if let Ok(database) = Database::load(&environment) {
            checks.extend(stored(&database).await);
        }
        if let Ok(results) = Results::load(&environment) {
            checks.push(product::results(&results).await);
        }
        let healthy = checks.iter().all(|check| check.verdict < Verdict::Fail);
        let report = Report { healthy, checks };
        if self.json {
            output::json(&report)?;
        } else {
            print(&report)?;
        }
        Ok(if healthy { Exit::Done } else { Exit::Unhealthy })
    }
}

fn environment(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn settings() -> Vec<Check> {
    let allowed = Webhooks::from_env().map(|read| read.allow.parse::<Allowed>());
    if let Ok(Err(error)) = allowed {
        let what = format!("RECOMAMP_WEBHOOK_ALLOW: {error}");
        return vec![Check::fail("settings", what, "correct the environment")];
    }
    match Everything::from_env() {
        Ok(_) => vec![Check::ok("settings", "every setting can be read")],
        Err(Errors(problems)) => problems
            .iter()
            .map(|problem| Check::fail("settings", problem.to_string(), "correct the environment"))
            .collect(),
    }
}

/// Everything that is looked at through the database.
async fn stored(settings: &Database) -> Vec<Check> {
    let db = match connect::database(settings, 2).await {
        Ok(db) => db,
        Err(error) => {
            return vec![Check::fail(
                "database",
                error.to_string(),
                "settle what the message says",
            )];
        }
    };
    let mut checks = vec![
        database::server(&db).await,
        database::schema(&db).await,
        database::clock(&db).await,
        database::listen(&db, settings).await,
        database::oldest_transaction(&db).await,
        database::invalid_indexes(&db).await,
    ];
    if checks[1].verdict == Verdict::Ok {
        checks.push(database::partitions(&db).await);
        checks.push(product::sessions(&db).await);
        checks.push(product::scheduler(&db).await);
        checks.push(product::schedules(&db).await);
        checks.push(access::secrets(&db, Keys::load(&environment).ok().as_ref()).await);
        checks.push(access::credentials(&db).await);
        checks.push(access::instances(&db).await);
        checks.push(product::paused(&db).await);
        checks.push(product::gates(&db).await);
        checks.push(product::webhooks(&db).await);
    }
    checks
}

fn print(report: &Report) -> Result<()> {
    for check in &report.checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        output::line(format!("{verdict:<5} {:<19} {}", check.name, check.detail))?;
        if let Some(remedy) = &check.remedy {
            output::line(format!("{:25} → {remedy}", ""))?;
        }
    }
    let count = |verdict| report.checks.iter().filter(|check| check.verdict == verdict).count();
    let (failed, warned) = (count(Verdict::Fail), count(Verdict::Warn));
    let checks = counted(report.checks.len(), "check", "checks");
    let warnings = counted(warned, "warning", "warnings");
    output::line(format!("{checks}, {failed} failed, {warnings}"))
}
