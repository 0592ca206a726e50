//! What a person does once with a new installation, done for the demonstration.

use super::folder::{Folder, Unfinished};
use crate::backfill::cut::Cut;
use crate::backfill::plan::{LAG_DAYS_DEFAULT, PlanRequest};
use crate::backfill::request::Request;
use crate::backfill::select::Mode;
use crate::backfill::start::{self, Made};
use crate::commands::simulate;
use crate::config::{Database, Keys, Limits};
use crate::jobs::feed;
use crate::queue::Queue;
use crate::register::accounts::{self, NewAccount};
use crate::register::instances::{self, NewInstance};
use crate::register::users::{self, NewUser};
use crate::register::workflows::{self, NewWorkflow, Wording};
use crate::simulator::{Settings, Simulator};
use crate::steering::Because;
use crate::store::Region;
use crate::store::collections::Rules;
use anyhow::{Context, Result};
use chrono::Weekday;
use chrono_tz::Tz;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeSet;

/// Who collects.
const EMAIL: &str = "ada@example.com";
/// Who makes the installation, for those who look into its journal.
const DEMO: Because<'_> = Because { by: "demo", why: None };
/// What is collected, by its public id.
const WORKFLOW: &str = "campaigns";

/// What is asked of AMC for every week.
const SQL: &str = r"-- What each campaign cost and brought.
select
    campaign_id,
    campaign,
    ad_product_type,
    sum(impressions) as impressions,
    sum(clicks) as clicks,
    sum(conversions) as conversions,
    sum(total_units_sold) as units_sold,
    sum(spend) / 100000000 as spend,
    sum(total_product_sales) as sales,
    sum(new_to_brand) as new_to_brand
from amazon_attributed_events_by_traffic_time
group by campaign_id, campaign, ad_product_type";

/// The settings of the processes: pauses fit the simulator's pace.
pub fn environment(
    folder: &Folder,
    database: &Database,
    amazon: &Simulator,
) -> Result<Vec<(&'static str, String)>> {
    let mut environment = simulate::environment(amazon).to_vec();
    environment.extend([
        ("DATABASE_URL", database.url.expose_secret().to_owned()),
        ("RECOMAMP_ENCRYPTION_KEYS_FILE", folder.keys()?.display().to_string()),
        ("RECOMAMP_RESULTS_URL", folder.results().display().to_string()),
        ("RECOMAMP_HTTP_ADDR", "127.0.0.1:0".to_owned()),
        ("RECOMAMP_POLL_FIRST", "200ms".to_owned()),
        ("RECOMAMP_POLL_MAX", "1s".to_owned()),
        ("RECOMAMP_SUBMIT_LOOKUP", "3s".to_owned()),
        ("RECOMAMP_SHUTDOWN_GRACE", "5s".to_owned()),
    ]);
    Ok(environment)
}

/// Makes the installation and asks for the weeks.
pub async fn begin(
    db: &PgPool,
    folder: &Folder,
    amazon: &Simulator,
    (keys, limits): (&Keys, &Limits),
    weeks: u32,
    storm: bool,
) -> Result<String> {
    let mut transaction = crate::transaction::begin(db).await?;
    installation(&mut transaction, &amazon.settings(), keys, limits).await?;
    let made = backfill(&mut transaction, weeks, limits).await?;
    transaction.commit().await?;
    let collection_id = made.collection_id;
    folder.begun(&Unfinished { collection_id: collection_id.clone(), weeks, storm })?;
    Ok(collection_id)
}

/// Adds a user with a refresh token, an account, an instance with its limits, and a workflow: all
/// or nothing.
async fn installation(
    transaction: &mut PgConnection,
    amazon: &Settings,
    keys: &Keys,
    limits: &Limits,
) -> Result<()> {
    let login = amazon.users.first().context("nobody has granted the simulator a token")?;
    let place = amazon.accounts.first().context("the simulator has no account")?;
    let there = place.instances.first().context("the simulator's account has no instance")?;

    let token = SecretString::from(login.refresh_token.clone());
    let user = NewUser { email: EMAIL, name: "Ada", region: Region::Na, token: &token };
    users::add(transaction, keys, &user, &DEMO).await?;
    let account = NewAccount {
        account_id: place.account_id.parse()?,
        name: place.name.clone(),
        marketplace: place.marketplace_id.parse()?,
        region: Some(Region::Na),
        user: EMAIL.to_owned(),
    };
    accounts::add(transaction, &account, &DEMO).await?;
    let instance = NewInstance {
        instance_id: there.instance_id.parse()?,
        name: there.name.clone(),
        account_id: account.account_id,
        endpoint_url: None,
    };
    instances::add(transaction, &Queue::new(), &instance, limits, &DEMO).await?;
    let workflow = NewWorkflow {
        workflow_id: WORKFLOW.parse()?,
        name: "Weekly campaigns".to_owned(),
        instance_id: there.instance_id.clone(),
        user: EMAIL.to_owned(),
    };
    let wording = Wording::read(SQL, json!([]), false)?;
    workflows::add(transaction, &workflow, &wording, &DEMO).await?;
    Ok(())
}

/// Creates the collection of the last weeks and its jobs: all or nothing.
async fn backfill(transaction: &mut PgConnection, weeks: u32, limits: &Limits) -> Result<Made> {
    let request = Request {
        workflows: BTreeSet::from([WORKFLOW.to_owned()]),
        instances: BTreeSet::new(),
        slices: PlanRequest::Last(weeks),
        cut: Cut::Weeks(Weekday::Mon),
        mode: Mode::All,
        rules: Rules::default(),
        zone: Tz::UTC,
        lag_days: LAG_DAYS_DEFAULT,
        parameters: json!({}),
        name: None,
        max_attempts_per_week: i32::try_from(limits.week_attempts).unwrap_or(i32::MAX),
        actor: DEMO.by.to_owned(),
    };
    let created = start::create(transaction, &request).await?;
    feed::begin(&Queue::new(), transaction, &created).await?;
    created.collections.into_iter().next().context("nothing was created")
}
