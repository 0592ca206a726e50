//! What a backfill would do, before anything is created: a dry run.

use super::estimate::{Curve, Estimate, Load, MEASURED_MIN, RunTime, estimate};
use super::request::{Request, StartError, Target, prepare};
use super::select::{LeftOut, Selection, select};
use super::week::Week;
use crate::queue::postgres::inspect::gates;
use crate::store::accounts::{self, Account};
use crate::store::executions::{self, Pace};
use crate::store::{AccountUuid, InstanceUuid};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How the things that gates hang on are called, by Amazon's ids.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// An instance.
    pub instance: fn(&str) -> String,
    /// An account.
    pub account: fn(&str) -> String,
}

/// What a backfill would do.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// How long its slices are.
    pub grain: &'static str,
    /// The IANA zone in which days begin.
    pub timezone: &'static str,
    /// How many days ago a slice has to have ended.
    pub lag_days: u16,
    /// The first day of its weeks: 1 is Monday, 7 is Sunday.
    pub week_starts_on: u32,
    /// The values of the workflows' parameters.
    pub parameters: Value,
    /// What the person who asks should know.
    pub warning: Option<String>,
    /// One for each workflow on each instance.
    pub collections: Vec<One>,
    /// All of them together.
    pub total: Outlook,
    /// The slices, the same in every collection, the earliest first.
    pub weeks: Vec<Week>,
}

/// What one collection would do.
#[derive(Debug, Clone, Serialize)]
pub struct One {
    /// What it runs.
    pub workflow: String,
    /// Where: AMC's id of the instance.
    pub instance: String,
    /// How many executions may be open there; none for no limit.
    pub places: Option<u64>,
    /// How long its executions take.
    pub run_time: RunTime,
    /// What it comes to.
    #[serde(flatten)]
    pub outlook: Outlook,
}

/// What collections come to.
#[derive(Debug, Clone, Serialize)]
pub struct Outlook {
    /// Slices of the period.
    pub slices: u64,
    /// Slices that AMC is asked for.
    pub asked: u64,
    /// Slices whose rows another collection has, or is about to have: no call is made for them.
    pub reused: u64,
    /// Slices that are no part of the work, and why not.
    pub left_out: Vec<LeftOut>,
    /// Calls, days and time.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// Looks what a request would do. The estimate of the total knows that instances share an account.
pub async fn preview(
    connection: &mut PgConnection,
    request: &Request,
    names: Names,
    curve: Curve,
) -> Result<Preview, StartError> {
    let prepared = prepare(&mut *connection, request).await?;
    let facts = Facts::gather(&mut *connection, &prepared.targets, names).await?;
    let (mut collections, mut loads) = (Vec::new(), Vec::new());
    let mut whole = Selection::default();
    for target in &prepared.targets {
        let weeks = target.weeks(&prepared.plan, request);
        let selection = select(&mut *connection, request.mode, &weeks, prepared.now).await?;
        let load = facts.load(target, selection.asked, curve);
        collections.push(One {
            workflow: target.workflow.workflow_id.clone(),
            instance: load.instance.clone(),
            places: load.instance_places,
            run_time: load.run_time,
            outlook: Outlook::of(&selection, std::slice::from_ref(&load), curve),
        });
        loads.push(load);
        whole.asked += selection.asked;
        whole.reused += selection.reused;
        whole.left_out.extend(selection.left_out);
    }
    Ok(Preview {
        grain: request.cut.one(),
        timezone: request.zone.name(),
        lag_days: request.lag_days,
        week_starts_on: request.cut.week_starts_on().number_from_monday(),
        parameters: request.parameters.clone(),
        warning: prepared.plan.warning(),
        collections,
        total: Outlook::of(&whole, &loads, curve),
        weeks: prepared.plan.slices,
    })
}

impl Outlook {
    fn of(selection: &Selection, loads: &[Load], curve: Curve) -> Self {
        let left_out = selection.reasons();
        Self {
            slices: selection.taken() + left_out.iter().map(|one| one.slices).sum::<u64>(),
            asked: selection.asked,
            reused: selection.reused,
            left_out,
            estimate: estimate(loads, curve),
        }
    }
}

/// What the store knows of the places where a request would run.
struct Facts {
    accounts: HashMap<AccountUuid, Account>,
    paces: HashMap<InstanceUuid, Pace>,
    /// Places and starts a day, by the name of the resource.
    gates: BTreeMap<String, (Option<u64>, Option<u64>)>,
    names: Names,
}

impl Facts {
    async fn gather(
        connection: &mut PgConnection,
        targets: &[Target],
        names: Names,
    ) -> Result<Self, sqlx::Error> {
        let accounts = accounts::list(&mut *connection).await?;
        let accounts: HashMap<_, _> = accounts.into_iter().map(|one| (one.id, one)).collect();
        let instances: Vec<_> = targets.iter().map(|target| target.instance.id).collect();
        let paces = executions::paces(&mut *connection, &instances).await?;
        let paces = paces.into_iter().map(|pace| (pace.instance_id, pace)).collect();
        let mut gates = BTreeMap::new();
        for target in targets {
            let account = accounts.get(&target.instance.account_id);
            let account = account.map(|account| (names.account)(&account.account_id));
            for name in account.into_iter().chain([(names.instance)(&target.instance.instance_id)])
            {
                if gates.contains_key(&name) {
                    continue;
                }
                let row = gates::row(&mut *connection, &name).await?;
                let places = row.as_ref().and_then(|row| row.max_holds);
                let quota = row.and_then(|row| row.quota).map(|quota| u64::from(quota.limit()));
                gates.insert(name, (places.and_then(|places| u64::try_from(places).ok()), quota));
            }
        }
        Ok(Self { accounts, paces, gates, names })
    }

    fn load(&self, target: &Target, executions: u64, curve: Curve) -> Load {
        let instance = target.instance.instance_id.clone();
        let account = self.accounts.get(&target.instance.account_id);
        let account = account.map(|account| account.account_id.clone()).unwrap_or_default();
        let gate = |name: String| self.gates.get(&name).copied().unwrap_or_default();
        let (instance_places, per_day) = gate((self.names.instance)(&instance));
        let (account_places, _) = gate((self.names.account)(&account));
        let measured = self.paces.get(&target.instance.id).and_then(run_time);
        Load {
            instance,
            account,
            user: target.workflow.user_id.to_string(),
            executions,
            instance_places,
            account_places,
            per_day,
            run_time: measured.unwrap_or_else(|| RunTime::assumed(curve)),
        }
    }
}

/// What the last executions say, if they are enough to say anything.
fn run_time(pace: &Pace) -> Option<RunTime> {
    let executions = u64::try_from(pace.executions).ok().filter(|count| *count >= MEASURED_MIN)?;
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds.ceil()).ok();
    Some(RunTime::measured(seconds(pace.p50_seconds?)?, seconds(pace.p95_seconds?)?, executions))
}
