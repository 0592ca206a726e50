//! An execution whose question AMC has just answered takes that answer over: nothing is sent.

use super::super::owner::Owner;
use crate::queue::{Attempt, Failure, Outcome};
use crate::store::executions::{self, Execution, Origin};
use crate::store::weeks::WeekResult;
use crate::tools::{Tools, resources};
use serde_json::json;

/// Takes over a result that is young enough, if there is one. A week looks by itself, among all the
/// collections, before it begins an execution.
pub async fn reuse(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
) -> Result<Option<Outcome>, Failure> {
    let Some(max_age) = tools.submitting.reuse_results else { return Ok(None) };
    if execution.origin == Origin::Collection {
        return Ok(None);
    }
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    Owner::of(execution).lock(&mut transaction).await?;
    let answered = executions::answered(&mut *transaction, execution.id, max_age).await?;
    let Some(answered) = answered else { return Ok(None) };
    if !executions::reuse(&mut *transaction, execution.id, answered.execution_id).await? {
        return Ok(None);
    }
    tools.queue.release(&mut transaction, &resources::holder(execution.id)).await?;
    let result = WeekResult {
        row_count: answered.row_count,
        data_checksum: answered.content_sha256,
        schema_checksum: answered.schema_sha256,
        metrics: &json!({}),
    };
    Owner::of(execution).succeed(tools, &mut transaction, &result).await?;
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done.unasked()).await?;
    transaction.commit().await?;
    tracing::info!(execution = %execution.id, from = %answered.execution_id, "a result was taken over");
    Ok(Some(outcome))
}
