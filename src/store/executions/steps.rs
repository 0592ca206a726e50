//! How an execution moves on once AMC has it, and how it ends.

use std::time::Duration;

use sqlx::PgExecutor;

use super::row::ExecutionStatus;
use crate::store::ids::ExecutionUuid;
use crate::store::text;

/// What AMC said about an execution that has not ended there.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// AMC's word, as it came.
    pub amc_status: &'a str,
    /// What AMC said about it.
    pub reason: Option<&'a str>,
    /// Whether the word means that AMC runs it. A word nobody knows does not.
    pub running: bool,
    /// How long it may run, from now; counts when it was not known to run before.
    pub may_run: Duration,
}

/// How an execution ended that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// AMC or we could not do it.
    Failed,
    /// AMC refused it after it had taken it.
    Rejected,
    /// Stopped by a person, here or at AMC.
    Cancelled,
    /// Past its deadline.
    TimedOut,
}

impl Ending {
    /// The status it leads to.
    pub fn status(self) -> ExecutionStatus {
        match self {
            Self::Failed => ExecutionStatus::Failed,
            Self::Rejected => ExecutionStatus::Rejected,
            Self::Cancelled => ExecutionStatus::Cancelled,
            Self::TimedOut => ExecutionStatus::TimedOut,
        }
    }
}

/// Why an execution did not succeed.
#[derive(Debug, Clone, Copy)]
pub struct Trouble<'a> {
    /// How it ended.
    pub ending: Ending,
    /// What kind of trouble it was.
    pub class: &'a str,
    /// The code that came with it.
    pub code: Option<&'a str>,
    /// What it was.
    pub message: &'a str,
    /// AMC's word, when it was AMC that ended it.
    pub amc_status: Option<&'a str>,
}

/// pending → running, or as it was: what AMC said is kept, and when it was asked. An hour or more in which
/// nobody could ask, because AMC or we were down, does not count towards its deadline.
///
/// Returns where the execution stands now; none when it is not at AMC (any more).
pub async fn observe(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
    observation: &Observation<'_>,
) -> Result<Option<ExecutionStatus>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- executions_observe
        update workflow_executions
        set status = case when $4 then 'running' else status end,
            deadline_at = case
                when $4 and status = 'pending' then (select engine.now()) + make_interval(secs => $5)
                when (select engine.now()) - coalesce(last_polled_at, submitted_at) >= interval '1 hour'
                then deadline_at + ((select engine.now()) - coalesce(last_polled_at, submitted_at))
                else deadline_at
            end,
            amc_status = $2,
            amc_status_reason = coalesce($3, amc_status_reason),
            last_polled_at = (select engine.now())
        where id = $1
          and status in ('pending', 'running')
        returning status",
    )
    .bind(execution)
    .bind(text::message(observation.amc_status))
    .bind(observation.reason.map(text::message))
    .bind(observation.running)
    .bind(observation.may_run.as_secs_f64())
    .fetch_optional(db)
    .await
}

/// pending, running → fetching: AMC has finished, and the results have so long to be stored.
pub async fn to_fetching(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
    amc_status: &str,
    may_fetch: Duration,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- executions_to_fetching
        update workflow_executions
        set status = 'fetching',
            amc_status = $2,
            deadline_at = (select engine.now()) + make_interval(secs => $3),
            last_polled_at = (select engine.now())
        where id = $1
          and status in ('pending', 'running')",
    )
    .bind(execution)
    .bind(text::message(amc_status))
    .bind(may_fetch.as_secs_f64())
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Its result is not ready, AMC says. Whether it should have been by now; an hour or more in which nobody
/// could ask does not count.
pub async fn not_ready(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
) -> Result<bool, sqlx::Error> {
    let overdue: Option<bool> = sqlx::query_scalar(
        r"-- executions_not_ready
        update workflow_executions
        set deadline_at = case
                when (select engine.now()) - last_polled_at >= interval '1 hour'
                then deadline_at + ((select engine.now()) - last_polled_at)
                else deadline_at
            end,
            last_polled_at = (select engine.now())
        where id = $1
          and status = 'fetching'
        returning coalesce(deadline_at < (select engine.now()), false)",
    )
    .bind(execution)
    .fetch_optional(db)
    .await?;
    Ok(overdue.unwrap_or(false))
}

/// fetching → succeeded. Refused until the result is in `execution_results`.
pub async fn succeed(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- executions_succeed
        update workflow_executions
        set status = 'succeeded', finished_at = (select engine.now())
        where id = $1
          and status = 'fetching'
          and exists (select from execution_results where execution_id = $1)",
    )
    .bind(execution)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Anything unfinished → failed, rejected, cancelled or timed out.
///
/// But for submitting and `submit_unknown`: while AMC may have the request nobody can say how it ends;
/// look for it first.
pub async fn finish_unsuccessfully(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
    trouble: &Trouble<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- executions_finish_unsuccessfully
        update workflow_executions
        set status = $2,
            error_class = $3,
            error_code = $4,
            error_message = $5,
            amc_status = coalesce($6, amc_status),
            finished_at = (select engine.now())
        where id = $1
          and status in ('queued', 'pending', 'running', 'fetching')",
    )
    .bind(execution)
    .bind(trouble.ending.status())
    .bind(trouble.class)
    .bind(trouble.code)
    .bind(text::message(trouble.message))
    .bind(trouble.amc_status.map(text::message))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::fixture::{House, result};
    use crate::store::results;
    use crate::store::submits::{self, Answer};

    const HOUR: Duration = Duration::from_hours(1);

    fn seen(amc_status: &str) -> Observation<'_> {
        Observation { amc_status, reason: None, running: amc_status == "RUNNING", may_run: HOUR }
    }

    fn trouble(ending: Ending) -> Trouble<'static> {
        Trouble { ending, class: "permanent", code: Some("400"), message: "no", amc_status: None }
    }

    #[tokio::test]
    async fn what_runs_never_waits_again() {
        let house = House::new().await;
        let execution = house.manual().await;
        house.submit(execution).await;
        let observe = async |word| observe(house.db(), execution, &seen(word)).await.unwrap();
        assert_eq!(observe("PENDING").await, Some(ExecutionStatus::Pending));
        assert_eq!(observe("RUNNING").await, Some(ExecutionStatus::Running));
        assert_eq!(observe("PENDING").await, Some(ExecutionStatus::Running));
        assert_eq!(observe("DREAMING").await, Some(ExecutionStatus::Running));
        assert_eq!(house.execution(execution).await.amc_status.as_deref(), Some("DREAMING"));
    }

    #[tokio::test]
    async fn the_time_to_run_begins_with_the_run_and_is_not_prolonged() {
        let house = House::new().await;
        let execution = house.manual().await;
        house.submit(execution).await;
        let waiting = house.execution(execution).await.deadline_at;
        observe(house.db(), execution, &seen("PENDING")).await.unwrap();
        assert_eq!(house.execution(execution).await.deadline_at, waiting);
        observe(house.db(), execution, &seen("RUNNING")).await.unwrap();
        let running = house.execution(execution).await.deadline_at;
        assert!(running < waiting, "an hour is less than 26");

        for _ in 0..3 {
            house.database.advance_clock(HOUR / 2).await;
            observe(house.db(), execution, &seen("RUNNING")).await.unwrap();
        }
        let late = house.execution(execution).await;
        assert_eq!(late.deadline_at, running);
        assert!(late.is_overdue);
    }

    #[tokio::test]
    async fn time_in_which_nobody_could_look_does_not_count() {
        let house = House::new().await;
        let execution = house.manual().await;
        house.submit(execution).await;
        observe(house.db(), execution, &seen("RUNNING")).await.unwrap();
        house.database.advance_clock(HOUR * 48).await;
        assert!(house.execution(execution).await.is_overdue);
        observe(house.db(), execution, &seen("RUNNING")).await.unwrap();
        assert!(!house.execution(execution).await.is_overdue);

        assert!(to_fetching(house.db(), execution, "SUCCEEDED", HOUR * 2).await.unwrap());
        house.database.advance_clock(HOUR * 48).await;
        assert!(!not_ready(house.db(), execution).await.unwrap());
        for overdue in [false, false, false, true] {
            house.database.advance_clock(HOUR / 2 + Duration::from_secs(60)).await;
            assert_eq!(not_ready(house.db(), execution).await.unwrap(), overdue);
        }
    }

    #[tokio::test]
    async fn an_execution_succeeds_only_after_its_result_is_stored() {
        let house = House::new().await;
        let execution = house.manual().await;
        house.submit(execution).await;
        assert!(!succeed(house.db(), execution).await.unwrap());
        assert!(to_fetching(house.db(), execution, "SUCCEEDED", HOUR).await.unwrap());
        assert!(!succeed(house.db(), execution).await.unwrap());
        results::insert(house.db(), &result(execution, &json!([]))).await.unwrap();
        assert!(succeed(house.db(), execution).await.unwrap());
        assert_eq!(house.status(execution).await, ExecutionStatus::Succeeded);
    }

    #[tokio::test]
    async fn what_has_ended_stays_as_it_is() {
        let house = House::new().await;
        let endings = [Ending::Failed, Ending::Rejected, Ending::Cancelled, Ending::TimedOut];
        let mut ended = Vec::new();
        for ending in endings {
            let execution = house.manual().await;
            house.submit(execution).await;
            let first = finish_unsuccessfully(house.db(), execution, &trouble(ending)).await;
            assert!(first.unwrap());
            ended.push((execution, ending.status()));
        }
        let succeeded = house.manual().await;
        house.submit(succeeded).await;
        house.finish(succeeded).await;
        ended.push((succeeded, ExecutionStatus::Succeeded));

        for (execution, status) in ended {
            assert_eq!(observe(house.db(), execution, &seen("RUNNING")).await.unwrap(), None);
            assert!(!to_fetching(house.db(), execution, "SUCCEEDED", HOUR).await.unwrap());
            assert!(!succeed(house.db(), execution).await.unwrap());
            for ending in endings {
                let late = finish_unsuccessfully(house.db(), execution, &trouble(ending)).await;
                assert!(!late.unwrap());
            }
            assert_eq!(house.status(execution).await, status);
        }
    }

    #[tokio::test]
    async fn an_execution_that_amc_may_have_cannot_be_given_up_before_it_is_looked_for() {
        let house = House::new().await;
        let execution = house.manual().await;
        house.begin(execution).await;
        let give_up = async || {
            finish_unsuccessfully(house.db(), execution, &trouble(Ending::TimedOut)).await.unwrap()
        };
        assert!(!give_up().await);
        let lost = Answer { http_status: None, request_id: None, detail: "reset" };
        assert!(submits::unknown(house.db(), execution, &lost).await.unwrap());
        assert!(!give_up().await);
        let sent_at = house.execution(execution).await.submit_started_at.expect("it was sent");
        assert!(submits::proven_absent(house.db(), execution, sent_at).await.unwrap());
        assert!(give_up().await);
        let ended = house.execution(execution).await;
        assert_eq!(ended.error_class.as_deref(), Some("permanent"));
        assert_eq!(ended.error_message.as_deref(), Some("no"));
    }
}
