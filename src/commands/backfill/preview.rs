//! What `recomamp backfill --dry-run` prints.

use crate::backfill::estimate::{AD_HOC_PER_DAY, RunTime};
use crate::backfill::preview::{Outlook, Preview};
use crate::backfill::progress::Span;
use crate::commands::output;
use crate::plural::counted;
use anyhow::Result;
use chrono_tz::Tz;
use std::collections::BTreeSet;

/// Prints it, for programs or for people.
pub fn show(preview: &Preview, json: bool) -> Result<()> {
    if json {
        return output::json(preview);
    }
    if preview.collections.len() == 1 {
        print_slices(preview)?;
        output::line("")?;
    }
    print_collections(preview)?;
    output::line("")?;
    print_calls(&preview.total)?;
    explain(preview);
    Ok(())
}

fn print_slices(preview: &Preview) -> Result<()> {
    let zone = preview.timezone.parse().unwrap_or(Tz::UTC);
    let rows = preview.weeks.iter().enumerate().map(|(index, week)| {
        let hours = week.hours(zone).to_string();
        [(index + 1).to_string(), week.start.to_string(), week.end.to_string(), hours]
    });
    let what = preview.grain.to_uppercase();
    output::table([what.as_str(), "FROM", "UNTIL", "HOURS"], rows)
}

fn print_collections(preview: &Preview) -> Result<()> {
    let total = (preview.collections.len() > 1)
        .then(|| row(["total", ""].map(str::to_owned), String::new(), &preview.total));
    let rows = preview.collections.iter().map(|one| {
        let places = one.places.map_or_else(|| "no limit".to_owned(), |places| places.to_string());
        row([one.workflow.clone(), one.instance.clone()], places, &one.outlook)
    });
    output::table(
        [
            "WORKFLOW", "INSTANCE", "SLICES", "ASKED", "REUSED", "LEFT OUT", "PLACES", "ROUNDS",
            "HALF BY", "95 % BY",
        ],
        rows.chain(total),
    )
}

fn row([workflow, instance]: [String; 2], places: String, outlook: &Outlook) -> [String; 10] {
    let left_out: u64 = outlook.left_out.iter().map(|one| one.slices).sum();
    let span = |seconds: Option<u64>| seconds.map_or("never".to_owned(), |s| Span(s).to_string());
    let estimate = &outlook.estimate;
    [
        workflow,
        instance,
        outlook.slices.to_string(),
        outlook.asked.to_string(),
        outlook.reused.to_string(),
        left_out.to_string(),
        places,
        estimate.rounds.map_or("never".to_owned(), |rounds| rounds.to_string()),
        span(estimate.eta_p50_seconds),
        span(estimate.eta_p95_seconds),
    ]
}

fn print_calls(total: &Outlook) -> Result<()> {
    let calls = &total.estimate.calls;
    let rows = [
        ("submits", calls.submits, "one for each slice that is asked for"),
        (
            "status",
            calls.status,
            "about: slow ones are looked at more often, and one list call answers for many",
        ),
        ("download addresses", calls.download_addresses, "one an execution"),
        ("files", calls.files, "at least one an execution"),
        ("access tokens", calls.tokens, "one an hour"),
    ];
    let rows =
        rows.map(|(kind, count, what)| [kind.to_owned(), count.to_string(), what.to_owned()]);
    output::table(["CALL", "COUNT", "WHAT"], rows)
}

/// What the figures rest on.
fn explain(preview: &Preview) {
    if let Some(warning) = &preview.warning {
        eprintln!("Warning: {warning}.");
    }
    let total = &preview.total;
    for left_out in &total.left_out {
        let slices = counted(left_out.slices, "slice", "slices");
        eprintln!("Left out: {slices}, because {}.", left_out.why);
    }
    let mut places: Vec<(RunTime, BTreeSet<&str>)> = Vec::new();
    for one in &preview.collections {
        match places.iter_mut().find(|(run_time, _)| *run_time == one.run_time) {
            Some((_, instances)) => {
                instances.insert(&one.instance);
            }
            None => places.push((one.run_time, BTreeSet::from([one.instance.as_str()]))),
        }
    }
    for (run_time, instances) in &places {
        eprintln!("{}", basis(*run_time, &said(instances, "instances")));
    }
    let days = total.estimate.ad_hoc_days;
    eprintln!(
        "If Amazon allowed {AD_HOC_PER_DAY} executions a day and instance it would take {}.",
        counted(days, "day", "days")
    );
    if let Some(days) = total.estimate.quota_days {
        eprintln!(
            "The daily quota of the instances spreads it over {}.",
            counted(days, "day", "days")
        );
    }
    let workflows = preview.collections.iter().map(|one| one.workflow.as_str()).collect();
    let instances = preview.collections.iter().map(|one| one.instance.as_str()).collect();
    eprintln!(
        "{} {}s of {} on {}. Nothing was created.",
        preview.weeks.len(),
        preview.grain,
        said(&workflows, "workflows"),
        said(&instances, "instances")
    );
}

fn basis(run: RunTime, instances: &str) -> String {
    let (p50, p95) = (Span(run.p50_seconds), Span(run.p95_seconds));
    let from = match run.measured_on {
        0 => "assumed, because too few have finished there".to_owned(),
        count => format!("measured on the last {count}"),
    };
    format!("On {instances} an execution takes {p50}, or {p95} when slow: {from}.")
}

/// One by its name, several by their number.
fn said(names: &BTreeSet<&str>, what: &str) -> String {
    match names.first() {
        Some(only) if names.len() == 1 => (*only).to_owned(),
        _ => format!("{} {what}", names.len()),
    }
}
