//! What a doctor looks at in Postgres itself.

use super::Check;
use crate::commands::connect;
use crate::plural::counted;
use crate::{clock, config, schema};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use std::time::Duration;
use uuid::Uuid;

/// The clocks of a well-kept machine and its database differ by less, in milliseconds.
const SKEW_MAX_MS: i64 = 5_000;

/// A transaction that is open for longer keeps vacuum from the queue's table, in seconds.
const TRANSACTION_MAX_SECONDS: i64 = 600;

/// Partitions are made seven days ahead, every day.
const DAYS_AHEAD_MIN: i32 = 2;

pub(super) async fn server(db: &PgPool) -> Check {
    let version = async { connect::supported(&mut *db.acquire().await?).await };
    match version.await {
        Ok(version) => Check::ok("database", format!("Postgres {version} answers")),
        Err(error) => Check::fail("database", error.to_string(), "move to a newer server"),
    }
}

pub(super) async fn schema(db: &PgPool) -> Check {
    match schema::standing(db).await {
        Ok(standing) if standing.is_current() => Check::ok("schema", standing.to_string()),
        Ok(schema::Standing::Behind { missing }) => {
            Check::fail("schema", format!("{missing} steps are missing"), "recomamp migrate")
        }
        Ok(standing) => {
            Check::fail("schema", standing.to_string(), "run the recomamp that fits the database")
        }
        Err(error) => Check::broken("schema", error),
    }
}

pub(super) async fn clock(db: &PgPool) -> Check {
    let before = clock::machine();
    let there: Result<DateTime<Utc>, _> = sqlx::query_scalar(
        r"-- doctor_clock
        select clock_timestamp()",
    )
    .fetch_one(db)
    .await;
    let after = clock::machine();
    let there = match there {
        Ok(there) => there,
        Err(error) => return Check::broken("clock", error),
    };
    // The database looked at its clock somewhere between the two.
    let skew =
        (there - before).num_milliseconds().min(0) + (there - after).num_milliseconds().max(0);
    if skew.abs() <= SKEW_MAX_MS {
        return Check::ok("clock", "this machine and the database agree on the time");
    }
    let (seconds, way) = (skew.abs() / 1000, if skew > 0 { "ahead of" } else { "behind" });
    Check::warn(
        "clock",
        format!("the database's clock is {seconds} s {way} this machine's"),
        "run NTP on both; the database's clock is the one that decides",
    )
}

pub(super) async fn listen(db: &PgPool, settings: &config::Database) -> Check {
    if settings.polling_only {
        return Check::ok("listen", "not used: RECOMAMP_POLLING_ONLY is set");
    }
    match hears_itself(db).await {
        Ok(true) => Check::ok("listen", "notifications arrive"),
        Ok(false) => Check::warn(
            "listen",
            "notifications do not arrive, so jobs start seconds late",
            "connect without a transaction pooler, or set RECOMAMP_POLLING_ONLY=true",
        ),
        Err(error) => Check::broken("listen", error),
    }
}

async fn hears_itself(db: &PgPool) -> Result<bool, sqlx::Error> {
    let channel = format!("doctor_{}", Uuid::new_v4().simple());
    let mut listener = PgListener::connect_with(db).await?;
    listener.listen(&channel).await?;
    sqlx::query(
        r"-- doctor_notify
        select pg_notify($1, '')",
    )
    .bind(&channel)
    .execute(db)
    .await?;
    let heard = tokio::time::timeout(Duration::from_secs(3), listener.recv()).await;
    Ok(matches!(heard, Ok(Ok(_))))
}

pub(super) async fn oldest_transaction(db: &PgPool) -> Check {
    let oldest: Result<Option<(i32, String, i64)>, _> = sqlx::query_as(
        r"-- doctor_oldest_transaction
        select pid, application_name, extract(epoch from clock_timestamp() - xact_start)::bigint
        from pg_stat_activity
        where datname = current_database()
          and xact_start is not null
          and pid <> pg_backend_pid()
        order by xact_start
        limit 1",
    )
    .fetch_optional(db)
    .await;
    match oldest {
        Ok(Some((pid, who, seconds))) if seconds > TRANSACTION_MAX_SECONDS => Check::warn(
            "oldest transaction",
            format!("process {pid} ({who:?}) has one open for {seconds} s, so nothing is vacuumed"),
            format!("end what it does, or select pg_terminate_backend({pid})"),
        ),
        Ok(_) => Check::ok("oldest transaction", "none is open for long"),
        Err(error) => Check::broken("oldest transaction", error),
    }
}

pub(super) async fn invalid_indexes(db: &PgPool) -> Check {
    let invalid: Result<Vec<String>, _> = sqlx::query_scalar(
        r"-- doctor_invalid_indexes
        select indexrelid::regclass::text
        from pg_index
        where not indisvalid
        order by 1",
    )
    .fetch_all(db)
    .await;
    match invalid {
        Ok(names) if names.is_empty() => Check::ok("indexes", "all are valid"),
        Ok(names) => Check::warn(
            "indexes",
            format!("not valid: {}", names.join(", ")),
            format!("reindex index concurrently {}", names[0]),
        ),
        Err(error) => Check::broken("indexes", error),
    }
}

pub(super) async fn partitions(db: &PgPool) -> Check {
    let found: Result<(Option<i32>, bool), _> = sqlx::query_as(
        r"-- doctor_partitions
        select
            max(to_date(right(child.relname, 8), 'YYYYMMDD')) - (select (engine.now() at time zone 'UTC')::date),
            exists (select from engine.jobs_history_default)
        from pg_inherits
        join pg_class child on child.oid = inhrelid
        where inhparent = 'engine.jobs_history'::regclass
          and child.relname ~ '^jobs_history_[0-9]{8}$'",
    )
    .fetch_one(db)
    .await;
    let (ahead, leaked) = match found {
        Ok((ahead, leaked)) => (ahead.unwrap_or(0), leaked),
        Err(error) => return Check::broken("history", error),
    };
    if ahead >= DAYS_AHEAD_MIN && !leaked {
        return Check::ok(
            "history",
            format!("partitions are made {} ahead", counted(ahead, "day", "days")),
        );
    }
    let detail = if leaked {
        "finished jobs had no partition to go to".to_owned()
    } else {
        format!("partitions are made only {} ahead", counted(ahead.max(0), "day", "days"))
    };
    Check::warn("history", detail, "keep a `recomamp schedule` running: it makes them")
}
