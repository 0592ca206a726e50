//! The way to the database, the same for every command, with a clear word when there is none.

use super::wrong;
use crate::{config, schema};
use anyhow::{Result, anyhow, bail};
use secrecy::ExposeSecret;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use std::time::Duration;

/// How long the first connection may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// For so long a connection is taken to live as it did.
const RESTED: Duration = Duration::from_secs(1);

/// The oldest Postgres that understands every statement, as `server_version_num` counts.
const POSTGRES_MIN: i32 = 140_000;

/// A process that falls asleep in the middle of a transaction, as a suspended machine does, keeps the
/// others from what it has locked for this long and no longer. Ours take milliseconds.
const IDLE_IN_TRANSACTION: &str = "5s";

/// Opens at most this many connections to the database, the first at once.
///
/// # Errors
/// One line that says what is wrong with the setting, the server or the password.
pub async fn database(settings: &config::Database, max_connections: u32) -> Result<PgPool> {
    let options = options(settings)?;
    // Not by the pool: it goes on trying, and has forgotten at the end what was wrong.
    let first = tokio::time::timeout(PATIENCE, options.connect()).await;
    match first {
        Ok(Ok(connection)) => connection.close().await?,
        Ok(Err(error)) => return Err(explained(&options, error)),
        Err(_) => bail!(
            "the database at {} did not answer within {} s: is DATABASE_URL right, and does a firewall stand between?",
            place(&options),
            PATIENCE.as_secs()
        ),
    }
    let pool = pool().max_connections(max_connections);
    Ok(pool.acquire_timeout(PATIENCE).connect_lazy_with(options))
}

/// A pool that asks a connection whether it lives only after it has rested: one that came back a moment
/// ago has just answered, and to ask each time costs every statement another one.
pub fn pool() -> PgPoolOptions {
    PgPoolOptions::new().test_before_acquire(false).before_acquire(|connection, about| {
        Box::pin(async move {
            if about.idle_for > RESTED {
                connection.ping().await?;
            }
            Ok(true)
        })
    })
}

/// Refuses a database whose schema is not the one that this program was built with.
///
/// # Errors
/// One line that says which command mends it.
pub async fn migrated(db: &PgPool) -> Result<()> {
    let standing = schema::standing(db).await?;
    if !standing.is_current() {
        bail!("{standing}");
    }
    Ok(())
}

/// Opens a database as [`database`] does, and refuses it as [`migrated`] does.
///
/// # Errors
/// Theirs.
pub async fn ready(settings: &config::Database, max_connections: u32) -> Result<PgPool> {
    let db = database(settings, max_connections).await?;
    migrated(&db).await?;
    Ok(db)
}

/// Refuses a server that is too old; gives its version, such as `16.4`.
///
/// # Errors
/// One line that names the version it takes.
pub async fn supported(connection: &mut PgConnection) -> Result<String> {
    let (number, version): (i32, String) = sqlx::query_as(
        r"-- server_version
        select current_setting('server_version_num')::int, current_setting('server_version')",
    )
    .fetch_one(connection)
    .await?;
    if number < POSTGRES_MIN {
        bail!(
            "the server is Postgres {version}: recomamp needs {} or newer",
            POSTGRES_MIN / 10_000
        );
    }
    Ok(version)
}

fn options(settings: &config::Database) -> Result<PgConnectOptions> {
    // The error is dropped: it may repeat a part of the address.
    let options: PgConnectOptions = settings.url.expose_secret().parse().map_err(|_| {
        wrong(
            "DATABASE_URL is not an address that Postgres clients understand: \
             write postgres://user:password@host:5432/database",
        )
    })?;
    // Not sent at all, because PgBouncer refuses it; we read numbers in binary form.
    let options = options.application_name("recomamp").extra_float_digits(None);
    Ok(if settings.polling_only {
        // A transaction pooler refuses options at the start. It has to know of prepared statements:
        // PgBouncer does from 1.21 on (`max_prepared_statements`). Older ones cannot be used, with
        // our own cache of statements or without it.
        options
    } else {
        options.options([("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION)])
    })
}

/// Where the server is, without who comes in.
fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

fn explained(options: &PgConnectOptions, error: sqlx::Error) -> anyhow::Error {
    let place = place(options);
    let user = options.get_username();
    let code = error.as_database_error().and_then(DatabaseError::code).unwrap_or_default();
    match (&*code, &error) {
        ("28P01", _) => {
            anyhow!(
                "the database at {place} refuses the password of {user:?}: correct DATABASE_URL"
            )
        }
        ("28000", _) => anyhow!(
            "the database at {place} does not let {user:?} in ({error}): correct DATABASE_URL or pg_hba.conf"
        ),
        ("3D000", _) => anyhow!(
            "the server at {place} has no database {name:?}: create it or correct DATABASE_URL",
            name = options.get_database().unwrap_or(user)
        ),
        ("53300", _) => anyhow!(
            "the database at {place} has no connection left for us: raise its max_connections or run fewer processes"
        ),
        ("57P03", _) => {
            anyhow!("the database at {place} is starting or stopping: try again in a moment")
        }
        (_, sqlx::Error::Io(reason)) => anyhow!(
            "the database at {place} cannot be reached ({reason}): start it or correct DATABASE_URL"
        ),
        _ => anyhow!(error).context(format!("the database at {place} cannot be used")),
    }
}
