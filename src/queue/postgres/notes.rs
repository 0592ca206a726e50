//! What an attempt writes down while it runs. Refused, as its end would be, when its fence is stale.

use crate::queue::error::Error;
use crate::queue::notes::Progress;
use crate::queue::store::{Ack, Lease, Note};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};

/// The cursor that the job's attempts have left.
pub(in crate::queue) async fn cursor_in(
    connection: &mut PgConnection,
    lease: &Lease,
) -> Result<Option<Value>, Error> {
    let found: Option<Option<Value>> = sqlx::query_scalar(
        "-- load_cursor
        select cursor from engine.jobs where id = $1 and fence = $2 and session is not null",
    )
    .bind(lease.job_id)
    .bind(lease.fence)
    .fetch_optional(connection)
    .await?;
    found.ok_or(Error::LeaseLost { job_id: lease.job_id })
}

/// Keeps the cursor. One row is locked, so whoever else locks several is never waited for in a circle.
pub(in crate::queue) async fn save_cursor_in(
    connection: &mut PgConnection,
    lease: &Lease,
    cursor: &Value,
) -> Result<(), Error> {
    let saved = sqlx::query(
        "-- save_cursor
        update engine.jobs set cursor = nullif($3::jsonb, 'null')
        where id = $1 and fence = $2 and session is not null",
    )
    .bind(lease.job_id)
    .bind(lease.fence)
    .bind(cursor)
    .execute(connection)
    .await?;
    if saved.rows_affected() == 1 { Ok(()) } else { Err(Error::LeaseLost { job_id: lease.job_id }) }
}

/// Writes down how far attempts have come, and gives the jobs for which it did. A row that somebody
/// holds is left for the next time: this waits for nobody, and nobody for it in a circle.
pub(super) async fn note_progress(db: &PgPool, notes: &[Note]) -> Result<Vec<i64>, Error> {
    let written = sqlx::query_scalar(
        "-- note_progress
        with mine as (
            select job.id
            from unnest($1::bigint[], $2::int[]) as noted (id, fence)
            cross join lateral (
                select id from engine.jobs
                where id = noted.id and fence = noted.fence and session is not null
                for update skip locked
            ) as job
        )
        update engine.jobs as job set progress = noted.progress
        from unnest($1::bigint[], $2::int[], $3::jsonb[]) as noted (id, fence, progress)
        where job.id = noted.id
          and job.fence = noted.fence
          and job.id = any(array(select id from mine))
        returning job.id",
    )
    .bind(notes.iter().map(|note| note.job_id).collect::<Vec<_>>())
    .bind(notes.iter().map(|note| note.fence).collect::<Vec<_>>())
    .bind(notes.iter().map(|note| Json(&note.progress)).collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    Ok(written)
}

/// The last word about attempts that end.
pub(super) async fn last_progress(
    connection: &mut PgConnection,
    acks: &[Ack],
) -> Result<(), Error> {
    let told = |ack: &'_ Ack| ack.progress.clone();
    let (mut job_ids, mut fences, mut last) =
        (Vec::new(), Vec::new(), Vec::<Json<Progress>>::new());
    for (ack, progress) in acks.iter().filter_map(|ack| Some((ack, told(ack)?))) {
        job_ids.push(ack.job_id);
        fences.push(ack.fence);
        last.push(Json(progress));
    }
    if last.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "-- ack_progress
        update engine.jobs as job set progress = acked.progress
        from unnest($1::bigint[], $2::int[], $3::jsonb[]) as acked (id, fence, progress)
        where job.id = acked.id
          and job.id = any($1)
          and job.fence = acked.fence
          and job.session is not null",
    )
    .bind(job_ids)
    .bind(fences)
    .bind(last)
    .execute(connection)
    .await?;
    Ok(())
}
