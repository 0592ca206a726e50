//! What AMC is sent of a query with parameters.

use super::site::{Site, quick};
use chrono::Weekday;
use recomamp::backfill::cut::Cut;
use recomamp::backfill::plan::PlanRequest;
use recomamp::backfill::request::Request;
use recomamp::backfill::select::Mode;
use recomamp::backfill::start;
use recomamp::jobs::feed;
use recomamp::store::collections::{CollectionStatus, Rules};
use recomamp::store::executions::SubmitMode;
use recomamp::store::{CollectionUuid, versions, workflows};
use serde_json::{Value, json};
use std::collections::BTreeSet;

impl Site {
    /// Asks for weeks of a query with parameters, as a command does.
    pub async fn ask_with(&self, sql: &str, declared: &Value, parameters: Value) -> CollectionUuid {
        self.ask_as(SubmitMode::Inline, sql, declared, parameters).await
    }

    /// The same with a query that reaches AMC in this way.
    pub async fn ask_as(
        &self,
        mode: SubmitMode,
        sql: &str,
        declared: &Value,
        parameters: Value,
    ) -> CollectionUuid {
        let mut tx = self.db.pool().begin().await.expect("begun");
        let workflow = workflows::by_workflow_id(&mut *tx, "weekly-campaigns").await;
        let workflow = workflow.expect("the store answers").expect("there is one");
        versions::add(&mut *tx, workflow.id, sql, declared, mode).await.expect("added");
        let request = Request {
            workflows: BTreeSet::from([workflow.workflow_id]),
            instances: BTreeSet::new(),
            slices: PlanRequest::Last(2),
            cut: Cut::Weeks(Weekday::Mon),
            mode: Mode::All,
            rules: Rules { max_failed_weeks: None, max_failed_percent: None, ..Rules::default() },
            zone: chrono_tz::America::New_York,
            lag_days: 14,
            parameters,
            name: None,
            max_attempts_per_week: 3,
            actor: "a test".to_owned(),
        };
        let created = start::create(&mut tx, &request).await.expect("it can be asked for");
        let queue = &self.tools.queue;
        feed::begin(queue, &mut tx, &created).await.expect("begun");
        tx.commit().await.expect("committed");
        created.collections[0].collection
    }

    /// The bodies of the submits, the earliest window first.
    pub fn submitted(&self) -> Vec<Value> {
        let exchanges = self.amc.exchanges().into_iter();
        let submits = exchanges
            .filter(|one| one.method == "POST" && one.path.ends_with("/workflowExecutions"));
        let mut bodies: Vec<Value> = submits.filter_map(|one| one.request).collect();
        bodies.sort_by_key(|body| body["timeWindowStart"].to_string());
        bodies
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_week_is_sent_with_its_own_days_and_with_nothing_left_to_fill_in() {
    let site = Site::new(quick()).await;
    let sql = "select campaign, sum(impressions) as impressions from dsp_impressions
        where asin in ({{asins}}) and brand = CUSTOM_PARAMETER('brand') and note <> '@brand' -- {{x}}
          and day between @startDate and {{week_end}} group by campaign";
    let declared = json!([
        {"name": "asins", "type": "asin_list"},
        {"name": "brand", "dataType": "STRING"},
    ]);
    let parameters = json!({"asins": ["B000000001", "B000000002"], "brand": "O'Neill"});
    let collection = site.ask_with(sql, &declared, parameters).await;
    let working = site.work();
    site.assert_complete(collection, 2).await;
    working.stop().await;

    for body in site.submitted() {
        let start = &body["timeWindowStart"].as_str().expect("a time")[..10];
        let end: chrono::NaiveDate =
            body["timeWindowEnd"].as_str().expect("a time")[..10].parse().expect("a day");
        let last = end.pred_opt().expect("a day");
        let expected = format!(
            "select campaign, sum(impressions) as impressions from dsp_impressions \
            where asin in ('B000000001','B000000002') and brand = CUSTOM_PARAMETER('brand') \
            and note <> '@brand' and day between '{start}' and '{last}' group by campaign"
        );
        assert_eq!(body["workflow"]["sqlQuery"], expected);
        let inputs = json!([{"name": "brand", "dataType": "STRING"}]);
        assert_eq!(body["workflow"]["inputParameters"], inputs);
        assert_eq!(body["parameterValues"], json!({"brand": "O'Neill"}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_before_anybody_checked_it_is_not_sent() {
    let site = Site::new(quick()).await;
    // As an importer or an older program would have left it.
    let sql = "select {{brand}} from t";
    let collection = site.ask(&super::site::Wish { sql, ..site.wish(2) }).await;
    let working = site.work();
    let progress = site.ended(collection).await;
    site.assert_nothing_is_left().await;
    working.stop().await;
    assert_eq!(progress.status, CollectionStatus::Failed);
    assert_eq!(site.submitted(), Vec::<Value>::new());
    let why = site.text("select distinct error_message from workflow_executions").await;
    assert!(why.starts_with("parameter brand stands in the query and is not declared"), "{why}");
}
