//! How a request is begun, and what becomes of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use crate::store::ids::ExecutionUuid;
use crate::store::text;
use crate::store::words::Sha256;

/// What is about to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// What the execution is called in the request; another one for each request.
    pub client_ref: &'a str,
    /// Over what makes the request this one and no other.
    pub fingerprint: Sha256,
    /// The body.
    pub body: &'a Value,
}

/// What AMC said when it took an execution, or when one was found there.
#[derive(Debug, Clone, Copy)]
pub struct Accepted<'a> {
    /// AMC's id of it.
    pub amc_execution_id: &'a str,
    /// AMC's word for where it stands, as it came.
    pub amc_status: &'a str,
    /// When AMC took it, by AMC's clock.
    pub amc_created_at: Option<DateTime<Utc>>,
    /// How long it may wait at AMC, from now.
    pub may_wait: Duration,
    /// Amazon's `x-amzn-RequestId` of the answer.
    pub request_id: Option<&'a str>,
}

/// What is known of a request that AMC did not clearly take.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The status of the answer; none when there was none.
    pub http_status: Option<u16>,
    /// Amazon's `x-amzn-RequestId` of the answer.
    pub request_id: Option<&'a str>,
    /// What the answer or the trouble said.
    pub detail: &'a str,
}

/// queued → submitting: writes the intent down. Commit it, then send the request once.
///
/// Returns the time of the intent by the store's clock; AMC cannot have made the execution before.
/// None when it is not queued: it has been sent, or may have been, or has ended; and when it is not wanted
/// now: somebody asked for it to be stopped, or its collection is paused or has ended.
pub async fn begin(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
    intent: &Intent<'_>,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- submits_begin
        with begun as (
            update workflow_executions
            set status = 'submitting',
                client_ref = $2,
                request_fingerprint = $3,
                request_body = $4,
                submit_started_at = (select engine.now())
            where id = $1
              and status = 'queued'
              and cancel_requested_at is null
              and not exists (
                  select
                  from report_data_weeks week
                  join report_data_collections collection on collection.id = week.collection_id
                  where week.id = week_id
                    and collection.status not in ('pending', 'running')
              )
            returning id, client_ref, submit_started_at
        )
        insert into submit_attempts (execution_id, n, client_ref, started_at)
        select id, 1 + (select count(*) from submit_attempts where execution_id = $1), client_ref, submit_started_at
        from begun
        returning started_at",
    )
    .bind(execution)
    .bind(intent.client_ref)
    .bind(intent.fingerprint)
    .bind(intent.body)
    .fetch_optional(db)
    .await
}

/// submitting, `submit_unknown` → pending: AMC has it.
///
/// An id of AMC that another execution has is a unique violation.
pub async fn accepted(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
    accepted: &Accepted<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- submits_accepted
        with execution as (
            update workflow_executions
            set status = 'pending',
                amc_execution_id = $2,
                amc_status = $3,
                amc_created_at = $4,
                submitted_at = (select engine.now()),
                deadline_at = (select engine.now()) + make_interval(secs => $5)
            where id = $1
              and status in ('submitting', 'submit_unknown')
            returning id
        )
        update submit_attempts
        set outcome = case when outcome is null then 'accepted' else 'reconciled_found' end::submit_outcome,
            ended_at = (select engine.now()),
            request_id = coalesce($6, request_id)
        from execution
        where execution_id = execution.id
          and n = (select max(n) from submit_attempts where execution_id = $1)",
    )
    .bind(execution)
    .bind(accepted.amc_execution_id)
    .bind(text::message(accepted.amc_status))
    .bind(accepted.amc_created_at)
    .bind(accepted.may_wait.as_secs_f64())
    .bind(accepted.request_id)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// submitting → `submit_unknown`: nobody knows whether AMC has it.
pub async fn unknown(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
    answer: &Answer<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- submits_unknown
        with execution as (
            update workflow_executions
            set status = 'submit_unknown'
            where id = $1
              and status = 'submitting'
            returning id
        )
        update submit_attempts
        set outcome = 'unknown',
            ended_at = (select engine.now()),
            http_status = $2,
            request_id = $3,
            detail = $4
        from execution
        where execution_id = execution.id
          and n = (select max(n) from submit_attempts where execution_id = $1)",
    )
    .bind(execution)
    .bind(answer.http_status.map(i32::from))
    .bind(answer.request_id)
    .bind(text::message(answer.detail))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// submitting → queued: AMC said that it did not take it, so it may be sent again.
///
/// `intent` is the time that [`begin`] gave: a refusal of an earlier request than the last says
/// nothing about the last. When it is hopeless to send it again, finish it unsuccessfully.
pub async fn refused(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
    intent: DateTime<Utc>,
    answer: &Answer<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- submits_refused
        with execution as (
            update workflow_executions
            set status = 'queued'
            where id = $1
              and status = 'submitting'
              and submit_started_at = $5
            returning id
        )
        update submit_attempts
        set outcome = 'refused',
            ended_at = (select engine.now()),
            http_status = $2,
            request_id = $3,
            detail = $4
        from execution
        where execution_id = execution.id
          and n = (select max(n) from submit_attempts where execution_id = $1)",
    )
    .bind(execution)
    .bind(answer.http_status.map(i32::from))
    .bind(answer.request_id)
    .bind(text::message(answer.detail))
    .bind(intent)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// `submit_unknown` → queued: AMC is proven not to have what was sent at `intent`, so it may be sent again.
/// Refused when something was sent since, of which nothing is proven.
pub async fn proven_absent(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
    intent: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- submits_proven_absent
        with execution as (
            update workflow_executions
            set status = 'queued'
            where id = $1
              and status = 'submit_unknown'
              and submit_started_at = $2
            returning id
        )
        update submit_attempts
        set outcome = 'reconciled_absent', ended_at = (select engine.now())
        from execution
        where execution_id = execution.id
          and n = (select max(n) from submit_attempts where execution_id = $1)",
    )
    .bind(execution)
    .bind(intent)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::store::executions::ExecutionStatus;
    use crate::store::fixture::{House, accepted as accepted_as, intent};
    use crate::store::submits::{SubmitOutcome, list};

    const LOST: Answer<'_> =
        Answer { http_status: None, request_id: None, detail: "reset by peer" };

    async fn outcomes(house: &House, execution: ExecutionUuid) -> Vec<Option<SubmitOutcome>> {
        list(house.db(), execution).await.unwrap().iter().map(|attempt| attempt.outcome).collect()
    }

    #[tokio::test]
    async fn of_many_who_begin_a_submit_exactly_one_may_send_it() {
        let house = House::new().await;
        let execution = house.manual().await;
        let begins = (0..10).map(|n| {
            let db = house.db();
            async move { begin(db, execution, &intent(&format!("ref-{n}"))).await.unwrap() }
        });
        let begun: Vec<_> = join_all(begins).await.into_iter().flatten().collect();
        let read = house.execution(execution).await;
        assert_eq!((begun.len(), read.status), (1, ExecutionStatus::Submitting));
        assert_eq!(read.submit_started_at, Some(begun[0]));
        assert_eq!(outcomes(&house, execution).await, [None]);
    }

    #[tokio::test]
    async fn what_may_be_at_amc_is_never_begun_again() {
        let house = House::new().await;
        let execution = house.manual().await;
        house.begin(execution).await;
        assert_eq!(begin(house.db(), execution, &intent("again")).await.unwrap(), None);
        assert!(unknown(house.db(), execution, &LOST).await.unwrap());
        assert_eq!(begin(house.db(), execution, &intent("again")).await.unwrap(), None);
        assert!(accepted(house.db(), execution, &accepted_as("amc-1")).await.unwrap());
        assert_eq!(begin(house.db(), execution, &intent("again")).await.unwrap(), None);
        house.finish(execution).await;
        assert_eq!(begin(house.db(), execution, &intent("again")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_lost_submit_that_is_found_is_adopted() {
        let house = House::new().await;
        let execution = house.manual().await;
        house.begin(execution).await;
        assert!(unknown(house.db(), execution, &LOST).await.unwrap());
        assert!(!unknown(house.db(), execution, &LOST).await.unwrap());
        assert!(accepted(house.db(), execution, &accepted_as("amc-1")).await.unwrap());
        let at = house.sent_at(execution).await;
        assert!(!proven_absent(house.db(), execution, at).await.unwrap());
        assert_eq!(house.status(execution).await, ExecutionStatus::Pending);
        assert_eq!(outcomes(&house, execution).await, [Some(SubmitOutcome::ReconciledFound)]);
    }

    #[tokio::test]
    async fn a_lost_submit_that_is_proven_absent_is_sent_under_another_name() {
        let house = House::new().await;
        let execution = house.manual().await;
        house.begin(execution).await;
        let first = house.sent_at(execution).await;
        assert!(
            !proven_absent(house.db(), execution, first).await.unwrap(),
            "it may be on the wire"
        );
        unknown(house.db(), execution, &LOST).await.unwrap();
        assert!(proven_absent(house.db(), execution, first).await.unwrap());
        assert!(begin(house.db(), execution, &intent("second")).await.unwrap().is_some());
        assert!(accepted(house.db(), execution, &accepted_as("amc-1")).await.unwrap());
        assert_eq!(house.execution(execution).await.client_ref.as_deref(), Some("second"));
        let absent_then_accepted =
            [Some(SubmitOutcome::ReconciledAbsent), Some(SubmitOutcome::Accepted)];
        assert_eq!(outcomes(&house, execution).await, absent_then_accepted);
    }

    #[tokio::test]
    async fn a_refused_submit_waits_to_be_sent_again() {
        let house = House::new().await;
        let (db, execution) = (house.db(), house.manual().await);
        let intent_at = begin(db, execution, &intent("first")).await.unwrap().expect("queued");
        let busy = Answer { http_status: Some(429), request_id: Some("r-1"), detail: "slow\0down" };
        assert!(refused(db, execution, intent_at, &busy).await.unwrap());
        assert!(!refused(db, execution, intent_at, &busy).await.unwrap());
        assert_eq!(house.status(execution).await, ExecutionStatus::Queued);
        let attempt = list(db, execution).await.unwrap().remove(0);
        assert_eq!((attempt.n, attempt.http_status), (1, Some(429)));
        assert_eq!(attempt.request_id.as_deref(), Some("r-1"));
        assert_eq!(attempt.detail.as_deref(), Some("slow down"));
        assert!(begin(db, execution, &intent("second")).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_refusal_that_comes_after_the_next_request_was_sent_changes_nothing() {
        let house = House::new().await;
        let (db, execution) = (house.db(), house.manual().await);
        let first = begin(db, execution, &intent("first")).await.unwrap().expect("queued");
        unknown(db, execution, &LOST).await.unwrap();
        proven_absent(db, execution, first).await.unwrap();
        begin(db, execution, &intent("second")).await.unwrap().expect("queued again");
        let late = Answer { http_status: Some(400), request_id: None, detail: "no" };
        assert!(!refused(db, execution, first, &late).await.unwrap());
        assert_eq!(house.status(execution).await, ExecutionStatus::Submitting);
        let second_is_open = [Some(SubmitOutcome::ReconciledAbsent), None];
        assert_eq!(outcomes(&house, execution).await, second_is_open);
    }

    #[tokio::test]
    async fn a_proof_that_comes_after_the_next_request_was_sent_proves_nothing_of_that() {
        let house = House::new().await;
        let (db, execution) = (house.db(), house.manual().await);
        let first = begin(db, execution, &intent("first")).await.unwrap().expect("queued");
        unknown(db, execution, &LOST).await.unwrap();
        proven_absent(db, execution, first).await.unwrap();
        begin(db, execution, &intent("second")).await.unwrap().expect("queued again");
        unknown(db, execution, &LOST).await.unwrap();
        assert!(!proven_absent(db, execution, first).await.unwrap());
        assert_eq!(house.status(execution).await, ExecutionStatus::SubmitUnknown);
    }

    #[tokio::test]
    async fn two_executions_never_share_one_of_amcs() {
        let house = House::new().await;
        let (first, second) = (house.manual().await, house.manual().await);
        house.begin(first).await;
        house.begin(second).await;
        assert!(accepted(house.db(), first, &accepted_as("amc-1")).await.unwrap());
        let error = accepted(house.db(), second, &accepted_as("amc-1")).await.unwrap_err();
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(constraint, Some("workflow_executions_amc_execution_id_key"));
        assert_eq!(house.status(second).await, ExecutionStatus::Submitting);
    }
}
