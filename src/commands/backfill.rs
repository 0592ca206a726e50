//! `recomamp backfill`: collects many slices of one report or of several.

mod preview;

use super::person::Person;
use super::values::Values;
use super::watch::{self, Followed};
use super::{Exit, connect, output, wrong};
use crate::backfill::cut::Cut;
use crate::backfill::estimate::Curve;
use crate::backfill::plan::{LAG_DAYS_DEFAULT, PlanRequest};
use crate::backfill::request::Request;
use crate::backfill::select::{MODES, Mode};
use crate::backfill::start::{self, Created, said};
use crate::backfill::{plans, status};
use crate::config::{self, Database, Limits, Polling};
use crate::given;
use crate::jobs::feed;
use crate::queue::Queue;
use crate::queue::postgres::inspect;
use crate::store::collections::{FeedOrder, Rules};
use crate::telemetry::Mode as Telemetry;
use crate::tools::resources;
use anyhow::{Context, Result, bail};
use chrono::{NaiveDate, Weekday};
use chrono_tz::Tz;
use clap::Args;
use clap::builder::PossibleValuesParser;
use sqlx::{PgConnection, PgPool};
use std::time::Duration;

/// Collects many weeks of a report, the last complete ones or a range; days or months as well.
///
/// Prints the id of the new collection; its weeks and their jobs are created together or not at all.
/// Several workflows or instances make one collection for each workflow on each instance, and a plan
/// that holds them together: then it prints the plan's id.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp backfill --workflow campaigns --weeks 52 --dry-run
  recomamp backfill --workflow campaigns --weeks 52 --watch
  recomamp backfill --workflow campaigns --from 2025-01-06 --until 2025-03-31 --param brand=Acme
  recomamp backfill --workflow campaigns --workflow audiences --instance amcacme --instance amcshop
  recomamp backfill --workflow campaigns --grain day --last 90 --mode missing")]
pub struct Backfill {
    /// The workflow to run. May be given several times.
    #[arg(long = "workflow", value_name = "WORKFLOW", required = true)]
    workflows: Vec<String>,
    /// The AMC instance to run it on; the workflow's own when not given. May be given several times.
    #[arg(long = "instance", value_name = "INSTANCE")]
    instances: Vec<String>,
    /// How many weeks, ending with the last one that is complete and old enough; with another grain so
    /// many days or months.
    #[arg(long, visible_alias = "last", default_value_t = 52, conflicts_with_all = ["from", "until"])]
    weeks: u32,
    /// The first day of the first week.
    #[arg(long, value_name = "DATE", requires = "until", value_parser = given::date)]
    from: Option<NaiveDate>,
    /// The day after the last week.
    #[arg(long, value_name = "DATE", requires = "from", value_parser = given::date)]
    until: Option<NaiveDate>,
    /// How long each slice is.
    #[arg(long, default_value = "week", value_parser = PossibleValuesParser::new(["day", "week", "month"]))]
    grain: String,
    /// Which slices AMC is asked for: all of them; those that no collection has; those whose last try
    /// failed; or those that were collected longer ago than --older-than.
    #[arg(long, default_value = "all", value_parser = PossibleValuesParser::new(MODES))]
    mode: String,
    /// How old the rows are that the mode stale collects anew, as in 30d.
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    older_than: Option<Duration>,
    /// Which slices have their turn first: `oldest_first`, `newest_first`, or `interleaved`, from both ends.
    #[arg(long, default_value_t = FeedOrder::OldestFirst)]
    order: FeedOrder,
    /// How many failed slices pause the collection; 3 when neither this nor a share is given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    max_failed_weeks: Option<i32>,
    /// How many percent of the slices that are asked for pause it when they failed.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(i32).range(1..=100))]
    max_failed_percent: Option<i32>,
    /// The zone in which days begin.
    #[arg(long, default_value_t = Tz::UTC, value_parser = given::zone)]
    timezone: Tz,
    /// How many days ago a week has to have ended, so that its numbers no longer change.
    #[arg(long, default_value_t = LAG_DAYS_DEFAULT)]
    lag_days: u16,
    /// The first day of every week; monday when not given.
    #[arg(long, value_name = "WEEKDAY", value_parser = given::weekday)]
    week_starts_on: Option<Weekday>,
    #[command(flatten)]
    parameters: Values,
    /// What to call the collection on a page.
    #[arg(long, value_parser = given::name)]
    name: Option<String>,
    /// Create nothing; show the weeks, what they ask of AMC and how long that may take.
    #[arg(long, conflicts_with = "watch")]
    dry_run: bool,
    /// Follow it to its end; Ctrl-C stops watching, not the backfill.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Backfill {
    /// Runs it.
    pub async fn run(self) -> Result<Exit> {
        let (database, limits, polling): (Database, Limits, Polling) =
            super::settings(Telemetry::Command)?;
        let request = self.request(limits)?;
        let db = connect::ready(&database, 2).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        if self.dry_run {
            let curve = Curve { first: polling.first, max: polling.max };
            let names = resources::NAMES;
            let preview =
                crate::backfill::preview::preview(&mut tx, &request, names, curve).await?;
            return preview::show(&preview, self.json).map(Exit::done);
        }
        let created = start::create(&mut tx, &request).await?;
        feed::begin(&Queue::new(), &mut tx, &created).await?;
        tx.commit().await?;
        self.tell(&db, &created).await
    }

    /// Says what was created, and follows it if that was asked for.
    async fn tell(&self, db: &PgPool, created: &Created) -> Result<Exit> {
        if let Some(warning) = &created.warning {
            eprintln!("Warning: {warning}.");
        }
        if !created.left_out.is_empty() {
            eprintln!("Slices: {}.", said(&created.left_out));
        }
        let mut connection = db.acquire().await?;
        say_who_works(&mut connection).await?;
        let followed = match (&created.plan_id, created.collections.as_slice()) {
            (Some(plan), _) => Followed::Plan(plan),
            (None, [made, ..]) => Followed::Collection(&made.collection_id),
            (None, []) => bail!("nothing was created"),
        };
        if !self.json {
            output::line(followed.id())?;
        }
        let exit = if self.watch {
            watch::follow(db, followed).await?
        } else {
            if !self.json {
                eprintln!("Follow it with `{}`.", followed.again());
            }
            Exit::Done
        };
        match followed {
            _ if !self.json => {}
            Followed::Plan(id) => {
                output::json(&plans::of(&mut connection, id).await?.context("the plan is gone")?)?;
            }
            Followed::Collection(id) => {
                let status = status::of(&mut connection, id).await?;
                output::json(&status.context("the collection is gone")?)?;
            }
        }
        Ok(exit)
    }

    fn request(&self, limits: Limits) -> Result<Request> {
        let slices = match (self.from, self.until) {
            (Some(from), Some(until)) => PlanRequest::Range { from, until },
            _ => PlanRequest::Last(self.weeks),
        };
        Ok(Request {
            workflows: self.workflows.iter().cloned().collect(),
            instances: self.instances.iter().cloned().collect(),
            slices,
            cut: self.cut()?,
            mode: self.mode()?,
            rules: self.rules(),
            zone: self.timezone,
            lag_days: self.lag_days,
            parameters: self.parameters.read()?.into(),
            name: self.name.clone(),
            max_attempts_per_week: i32::try_from(limits.week_attempts).unwrap_or(i32::MAX),
            actor: self.person.name().to_owned(),
        })
    }

    fn cut(&self) -> Result<Cut> {
        match (self.grain.as_str(), self.week_starts_on) {
            ("day", None) => Ok(Cut::Days),
            ("month", None) => Ok(Cut::Months),
            ("day" | "month", Some(_)) => {
                Err(wrong("--week-starts-on is for --grain week alone: leave it out"))
            }
            (_, weekday) => Ok(Cut::Weeks(weekday.unwrap_or(Weekday::Mon))),
        }
    }

    fn rules(&self) -> Rules {
        let usual = Rules { feed_order: self.order, ..Rules::default() };
        usual.with_budget(self.max_failed_weeks, self.max_failed_percent)
    }

    fn mode(&self) -> Result<Mode> {
        Mode::named(&self.mode, self.older_than).ok_or_else(|| {
            wrong("--older-than belongs to --mode stale: give both, as in 30d, or neither")
        })
    }
}

/// A backfill without a worker looks like one that hangs.
async fn say_who_works(connection: &mut PgConnection) -> Result<()> {
    if inspect::sessions(connection).await?.is_empty() {
        eprintln!("No worker is running: the backfill begins when one does (`recomamp work`).");
    }
    Ok(())
}
