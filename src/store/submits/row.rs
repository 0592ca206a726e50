//! What is known of the requests that were sent.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use crate::store::ids::ExecutionUuid;
use crate::store::words::words;

words! {
    /// What is known of a request.
    SubmitOutcome as "submit_outcome" {
        /// AMC said it took it.
        Accepted = "accepted",
        /// AMC said it did not.
        Refused = "refused",
        /// No answer, or none that says.
        Unknown = "unknown",
        /// Unknown at first, then found at AMC.
        ReconciledFound = "reconciled_found",
        /// Unknown at first, then proven not to be at AMC.
        ReconciledAbsent = "reconciled_absent",
    }
}

/// A row of `submit_attempts`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct SubmitAttempt {
    /// Counts the requests of one execution from 1.
    pub n: i32,
    /// What we called the execution in it.
    pub client_ref: String,
    /// When the intent was written down.
    pub started_at: DateTime<Utc>,
    /// When the outcome was last learned; none while it may be on the wire.
    pub ended_at: Option<DateTime<Utc>>,
    /// What is known of it.
    pub outcome: Option<SubmitOutcome>,
    /// The status of the answer.
    pub http_status: Option<i32>,
    /// Amazon's `x-amzn-RequestId` of the answer.
    pub request_id: Option<String>,
    /// What the answer or the trouble said.
    pub detail: Option<String>,
}

/// An execution of which nobody knows whether AMC has it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct UnknownSubmit {
    /// The execution.
    pub execution_id: ExecutionUuid,
    /// AMC's id of the instance it was sent to.
    pub instance_id: String,
    /// What we called it in the request.
    pub client_ref: Option<String>,
    /// When the intent was written down.
    pub submit_started_at: Option<DateTime<Utc>>,
}

/// The requests of an execution, the first first.
pub async fn list(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
) -> Result<Vec<SubmitAttempt>, sqlx::Error> {
    sqlx::query_as(
        r"-- submits_list
        select n, client_ref, started_at, ended_at, outcome, http_status, request_id, detail
        from submit_attempts
        where execution_id = $1
        order by n",
    )
    .bind(execution)
    .fetch_all(db)
    .await
}

/// The executions of which nobody knows whether AMC has them, the longest unknown first.
pub async fn list_unknown(
    db: impl PgExecutor<'_>,
    limit: i64,
) -> Result<Vec<UnknownSubmit>, sqlx::Error> {
    sqlx::query_as(
        r"-- submits_list_unknown
        select execution.id as execution_id, instance.instance_id, client_ref, submit_started_at
        from workflow_executions execution
        join amc_instances instance on instance.id = execution.instance_id
        where execution.status = 'submit_unknown'
        order by submit_started_at, execution.id
        limit $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}
