//! Holds: places on resources that outlive the jobs that took them.

use super::lanes;
use crate::queue::error::Error;
use crate::queue::gate::Gate;
use sqlx::PgConnection;

/// Takes a place on each of these resources for each of these holders; one who has it gets no second.
/// Gives the resources on which a place was taken, once for each place.
pub(super) async fn take(
    connection: &mut PgConnection,
    wanted: &[(&str, &str, i64)],
) -> Result<Vec<String>, Error> {
    let taken = sqlx::query_scalar(
        "-- take_holds
        insert into engine.holds (resource, holder, job_id, taken_at)
        select place.resource, place.holder, place.job_id, (select engine.now())
        from unnest($1::text[], $2::text[], $3::bigint[]) as place (resource, holder, job_id)
        on conflict (holder, resource) do nothing
        returning resource",
    )
    .bind(wanted.iter().map(|(resource, _, _)| *resource).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(_, holder, _)| *holder).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(_, _, job_id)| *job_id).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(taken)
}

/// Lets go of every place that the holder has, and opens the lanes that waited longest for one.
pub(in crate::queue::postgres) async fn release(
    connection: &mut PgConnection,
    holder: &str,
) -> Result<bool, Error> {
    let freed: Vec<(String, Option<i32>)> = sqlx::query_as(
        "-- release_holds
        -- The resource before its places, as a claim locks them.
        with locked as materialized (
            select name from engine.resources
            where name in (select resource from engine.holds where holder = $1)
            order by name
            for no key update
        ),
        places as (
            delete from engine.holds
            where holder = $1 and resource = any(array(select name from locked))
            returning resource
        )
        update engine.resources set held = held - 1
        where name in (select resource from places)
        returning name, max_holds - held as free",
    )
    .bind(holder)
    .fetch_all(&mut *connection)
    .await?;
    for (resource, free) in &freed {
        // Without a limit nobody waits; above it nobody may.
        let free = i64::from(free.unwrap_or(i32::MAX).max(0));
        lanes::open(connection, resource, &[Gate::Hold], free).await?;
    }
    Ok(!freed.is_empty())
}
