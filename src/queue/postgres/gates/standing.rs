//! How resources stand, for somebody who only looks: their gates, who has what others wait for, and who
//! set them.

use super::resources::{self, Row};
use crate::queue::error::Error;
use crate::queue::explain::{Holder, Holders, Setter, Standing, event_of};
use crate::queue::gate::{Gate, Resource};
use crate::queue::job::Use;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeMap, HashMap};

/// Of those who have what others wait for, so many are named.
const NAMED: i64 = 10;

/// The gates that somebody sets, and that leave no trace in the resource of who did.
const SET: [Gate; 5] = [Gate::Breaker, Gate::Limit, Gate::Rate, Gate::Quota, Gate::Hold];

/// Resources as they stand, by name.
#[derive(Debug, Default)]
pub(in crate::queue::postgres) struct Standings(HashMap<String, Found>);

#[derive(Debug, Default)]
struct Found {
    resource: Resource,
    paused_at: Option<DateTime<Utc>>,
    paused_by: Option<String>,
    pause_reason: Option<String>,
    running: Holders,
    places: Holders,
    set_by: BTreeMap<Gate, Setter>,
}

#[derive(FromRow)]
struct LookRow {
    #[sqlx(flatten)]
    row: Row,
    paused_at: Option<DateTime<Utc>>,
    paused_by: Option<String>,
    pause_reason: Option<String>,
}

impl Standings {
    /// Reads these resources. Those that nobody has ever gated are missing.
    pub(in crate::queue::postgres) async fn look(
        connection: &mut PgConnection,
        names: &[String],
    ) -> Result<Self, Error> {
        let rows: Vec<LookRow> = sqlx::query_as(
            "-- look_at_resources
            select
                name, max_holds, held, max_running, running, not_before, reason,
                paused_at is not null as is_paused, paused_until, rate, quota, breaker,
                paused_at, paused_by, pause_reason
            from engine.resources
            where name = any($1)",
        )
        .bind(names)
        .fetch_all(&mut *connection)
        .await?;
        let mut found = HashMap::new();
        for LookRow { row, paused_at, paused_by, pause_reason } in rows {
            let (name, resource) = row.split();
            let one = Found { resource, paused_at, paused_by, pause_reason, ..Found::default() };
            found.insert(name, one);
        }
        let mut standings = Self(found);
        standings.name_running(connection).await?;
        standings.name_places(connection).await?;
        standings.name_setters(connection).await?;
        Ok(standings)
    }

    /// The resource of this need; one that is not known has no gate.
    pub(in crate::queue::postgres) fn of(&mut self, needed: Use) -> Standing {
        let found = self.0.remove(&needed.resource).unwrap_or_default();
        Standing {
            needed,
            resource: found.resource,
            paused_at: found.paused_at,
            paused_by: found.paused_by,
            pause_reason: found.pause_reason,
            running: found.running,
            places: found.places,
            set_by: found.set_by,
        }
    }

    fn names(&self, has: impl Fn(&Resource) -> bool) -> Vec<String> {
        let chosen = self.0.iter().filter(|(_, found)| has(&found.resource));
        chosen.map(|(name, _)| name.clone()).collect()
    }

    async fn name_running(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        let names = self.names(|resource| resource.max_running.is_some());
        if names.is_empty() {
            return Ok(());
        }
        let rows: Vec<HolderRow> = sqlx::query_as(
            "-- look_at_running
            select resource, name, job_id, since, count
            from (
                select
                    slot as resource, kind as name, id as job_id, claimed_at as since,
                    count(*) over (partition by slot) as count,
                    row_number() over (partition by slot order by claimed_at, id) as nth
                from engine.jobs, unnest(slots) as slot
                where state = 'running' and slots && $1 and slot = any($1)
            ) as running
            where nth <= $2
            order by resource, nth",
        )
        .bind(&names)
        .bind(NAMED)
        .fetch_all(connection)
        .await?;
        self.fill(rows, |found| &mut found.running);
        Ok(())
    }

    async fn name_places(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        let names = self.names(|resource| resource.max_holds.is_some());
        if names.is_empty() {
            return Ok(());
        }
        let rows: Vec<HolderRow> = sqlx::query_as(
            "-- look_at_places
            select resource, name, job_id, since, count
            from (
                select
                    resource, holder as name, job_id, taken_at as since,
                    count(*) over (partition by resource) as count,
                    row_number() over (partition by resource order by taken_at, holder) as nth
                from engine.holds
                where resource = any($1)
            ) as held
            where nth <= $2
            order by resource, nth",
        )
        .bind(&names)
        .bind(NAMED)
        .fetch_all(connection)
        .await?;
        self.fill(rows, |found| &mut found.places);
        Ok(())
    }

    fn fill(&mut self, rows: Vec<HolderRow>, which: impl Fn(&mut Found) -> &mut Holders) {
        for row in rows {
            let Some(found) = self.0.get_mut(&row.resource) else { continue };
            let holders = which(found);
            holders.count = row.count;
            holders.first.push(Holder { name: row.name, job_id: row.job_id, since: row.since });
        }
    }

    async fn name_setters(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        let names: Vec<String> = self.0.keys().cloned().collect();
        let events = SET.map(event_of);
        let rows: Vec<SetterRow> = sqlx::query_as(
            "-- look_at_setters
            select wanted.name as resource, wanted.event, last.by, last.why, last.at
            from (select name, event from unnest($1::text[]) as name, unnest($2::text[]) as event)
                as wanted
            cross join lateral (
                select by, why, at from engine.events
                where resource = wanted.name and what = wanted.event
                order by id desc
                limit 1
            ) as last",
        )
        .bind(&names)
        .bind(&events[..])
        .fetch_all(connection)
        .await?;
        for row in rows {
            let gate = SET.into_iter().find(|gate| event_of(*gate) == row.event);
            if let (Some(gate), Some(found)) = (gate, self.0.get_mut(&row.resource)) {
                found.set_by.insert(gate, Setter { by: row.by, why: row.why, at: row.at });
            }
        }
        Ok(())
    }
}

#[derive(FromRow)]
struct HolderRow {
    resource: String,
    name: String,
    job_id: i64,
    since: Option<DateTime<Utc>>,
    count: i64,
}

#[derive(FromRow)]
struct SetterRow {
    resource: String,
    event: String,
    by: String,
    why: String,
    at: DateTime<Utc>,
}

/// Writes down who set a gate.
pub(in crate::queue::postgres) async fn note_set(
    connection: &mut PgConnection,
    name: &str,
    gate: Gate,
    by: &str,
    why: &str,
) -> Result<(), Error> {
    resources::note(connection, name, &event_of(gate), by, why).await
}
