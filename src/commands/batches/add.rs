//! A batch is started.

use crate::backfill::batches;
use crate::commands::person::Person;
use crate::commands::values::{self, Values};
use crate::commands::{connect, output, settings, wrong};
use crate::config::{Database, Limits};
use crate::given;
use crate::queue::Queue;
use crate::steering::{BatchRequest, start_batch};
use crate::telemetry::Mode;
use anyhow::{Context, Result};
use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::Args;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Runs a workflow once on each of many instances, over the same days. Prints the id of the batch.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  recomamp batches add --workflow campaigns --instance amcacme --instance amcshop \\
      --from 2025-09-01 --until 2025-10-01 --param brand=Acme --param-for amcshop:brand=Shop")]
pub struct Add {
    /// The workflow to run.
    #[arg(long)]
    workflow: String,
    /// The AMC instance to run it on. May be given several times.
    #[arg(long = "instance", value_name = "INSTANCE", required = true)]
    instances: Vec<String>,
    /// The first day of the window.
    #[arg(long, value_name = "DATE", value_parser = given::date)]
    from: NaiveDate,
    /// The day after the last.
    #[arg(long, value_name = "DATE", value_parser = given::date)]
    until: NaiveDate,
    /// The zone in which days begin.
    #[arg(long, default_value_t = Tz::UTC, value_parser = given::zone)]
    timezone: Tz,
    #[command(flatten)]
    parameters: Values,
    /// The same for one instance alone. May be given several times.
    #[arg(long = "param-for", value_name = "INSTANCE:NAME=VALUE", value_parser = parameter_for)]
    parameters_for: Vec<(String, (String, String))>,
    /// What to call the batch on a page.
    #[arg(long, value_parser = given::name)]
    name: Option<String>,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Add {
    pub(super) async fn run(self) -> Result<()> {
        let (database, limits): (Database, Limits) = settings(Mode::Command)?;
        let request = self.request(limits)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let by = self.person.name();
        let batch_id = start_batch(&mut tx, &Queue::new(), &request, by).await?;
        tx.commit().await?;
        if self.json {
            let batch = batches::of(&mut *db.acquire().await?, &batch_id).await?;
            return output::json(&batch.context("the batch is gone")?);
        }
        output::line(&batch_id)?;
        eprintln!("Look at it with `recomamp batches show {batch_id}`.");
        Ok(())
    }

    fn request(&self, limits: Limits) -> Result<BatchRequest> {
        let mut instances: BTreeMap<String, Map<String, Value>> =
            self.instances.iter().map(|id| (id.clone(), Map::new())).collect();
        for (instance, (name, value)) in &self.parameters_for {
            let Some(own) = instances.get_mut(instance) else {
                return Err(wrong(format!("--param-for names {instance}, which is no --instance")));
            };
            let shown = format!("{instance}:{name}");
            values::put(own, name, value, "--param-for", &shown)?;
        }
        Ok(BatchRequest {
            workflow: self.workflow.clone(),
            instances,
            parameters: self.parameters.read()?,
            from: self.from,
            until: self.until,
            zone: self.timezone,
            name: self.name.clone(),
            max_attempts: i32::try_from(limits.week_attempts).unwrap_or(i32::MAX),
        })
    }
}

fn parameter_for(text: &str) -> Result<(String, (String, String)), &'static str> {
    let wrong = "give an instance, a name and a value, as in amcshop:brand=Shop";
    let (instance, rest) = text.split_once(':').ok_or(wrong)?;
    Ok((instance.to_owned(), values::pair(rest).map_err(|_| wrong)?))
}
