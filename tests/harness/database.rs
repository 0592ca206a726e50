//! A database of its own for every test: a copy of a migrated template.

use nix::unistd::Uid;
use recomamp::embedded::{self, Options};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, thread};
use url::Url;
use uuid::Uuid;

/// Held while the template is made, so that processes that need it at once make it once.
const TEMPLATE_LOCK: i64 = 0x7265_636f_6d61_6d70;

/// A migrated database that nobody else uses. It is dropped with this value.
pub struct TestDatabase {
    pool: PgPool,
    url: String,
    name: String,
    admin: Url,
}

impl TestDatabase {
    /// A new one on the server that all tests share.
    pub async fn new() -> Self {
        Self::on(shared_server()).await
    }

    /// A new one on this server, whose URL is that of a superuser.
    pub async fn on(server: &str) -> Self {
        Self::create(server, Some(&migrator().await)).await
    }

    /// A new one without any tables, on the server that all tests share.
    pub async fn unmigrated() -> Self {
        Self::create(shared_server(), None).await
    }

    async fn create(server: &str, migrator: Option<&Migrator>) -> Self {
        let admin = Url::parse(server).expect("the server's URL is one");
        let name = format!("recomamp_test_{}", Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(server).await.expect("the server answers");
        let template = match migrator {
            Some(migrator) => template(&mut connection, &admin, migrator).await,
            None => "template0".to_owned(),
        };
        execute(&mut connection, format!("create database {name} template {template}")).await;
        connection.close().await.expect("the server answers");

        let url = with_database(&admin, &name);
        let pool = PgPoolOptions::new()
            .max_connections(20)
            .acquire_timeout(Duration::from_mins(1))
            .connect_lazy(&url)
            .expect("the database's URL is one");
        Self { pool, url, name, admin }
    }

    /// Connections to it, opened when they are needed.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// What a process takes for `DATABASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets time pass for everybody who asks this database what time it is.
    pub async fn advance_clock(&self, by: Duration) {
        sqlx::query("update engine.clock set moved_by = moved_by + $1")
            .bind(by)
            .execute(&self.pool)
            .await
            .expect("the clock moves");
    }

    /// Returns when somebody in this database waits for a lock that another one has.
    pub async fn until_somebody_waits_for_a_lock(&self) {
        let waits = "select exists (select from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock')";
        loop {
            let waits: bool =
                sqlx::query_scalar(waits).fetch_one(&self.pool).await.expect("the server answers");
            if waits {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for TestDatabase {
    /// Best effort: databases of a run would otherwise fill the disk, but a test that has passed
    /// does not fail for it.
    fn drop(&mut self) {
        let admin = self.admin.to_string();
        let statement = format!("drop database if exists {} with (force)", self.name);
        let dropped = thread::spawn(move || {
            block_on(async move {
                let mut connection = PgConnection::connect(&admin).await?;
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
                connection.close().await
            })
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("{} is left behind: {error}", self.name);
        }
    }
}

/// What stands in `migrations/` now. Read at run time, because a compiled-in copy is stale when a
/// file is added.
pub async fn migrator() -> Migrator {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    Migrator::new(folder.as_path()).await.expect("the migrations can be read")
}

/// The name of a database on which these migrations have been run; makes it if need be.
async fn template(admin: &mut PgConnection, server: &Url, migrator: &Migrator) -> String {
    let name = format!("recomamp_template_{}", fingerprint(migrator));
    if exists(admin, &name).await {
        return name;
    }
    execute(admin, format!("select pg_advisory_lock({TEMPLATE_LOCK})")).await;
    if !exists(admin, &name).await {
        // Renamed when it is whole, so that a run that was stopped leaves no half-made template.
        let draft = format!("{name}_draft");
        execute(admin, format!("drop database if exists {draft} with (force)")).await;
        execute(admin, format!("create database {draft} template template0")).await;
        let url = with_database(server, &draft);
        let mut connection = PgConnection::connect(&url).await.expect("the server answers");
        migrator.run(&mut connection).await.expect("the migrations run");
        connection.close().await.expect("the server answers");
        execute(admin, format!("alter database {draft} rename to {name}")).await;
    }
    execute(admin, format!("select pg_advisory_unlock({TEMPLATE_LOCK})")).await;
    name
}

fn fingerprint(migrator: &Migrator) -> String {
    let mut hash = Sha256::new();
    for migration in migrator.iter() {
        hash.update(migration.version.to_be_bytes());
        hash.update(&migration.checksum);
    }
    hex::encode(&hash.finalize()[..8])
}

async fn exists(admin: &mut PgConnection, name: &str) -> bool {
    sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(admin)
        .await
        .expect("the server answers")
}

async fn execute(connection: &mut PgConnection, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement.as_str()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

fn with_database(server: &Url, name: &str) -> String {
    let mut url = server.clone();
    url.set_path(name);
    url.to_string()
}

/// The server that all tests share: the one that `.ci/with-servers` started, or else one that lives
/// as long as this process, so that a bare `cargo test` works too.
fn shared_server() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        env::var("RECOMAMP_TEST_DATABASE_URL").unwrap_or_else(|_| {
            let (send, url) = std::sync::mpsc::channel();
            thread::spawn(move || {
                let server = block_on(private_server());
                let url = server.database_url().expose_secret().to_owned();
                send.send(url).expect("a test waits for it");
                // The server ends when this process does.
                loop {
                    thread::park();
                }
            });
            url.recv().expect("a private Postgres starts")
        })
    })
}

/// A server in the first folder that no other process uses; what the last one left goes.
async fn private_server() -> embedded::Embedded {
    let mut number = 0;
    loop {
        let user = Uid::effective();
        let folder = env::temp_dir().join(format!("recomamp-tests-{user}-{number}"));
        let started = match embedded::erase(&folder) {
            Ok(()) => embedded::start(&folder, Options { durable: false }).await,
            Err(error) => Err(error),
        };
        match started {
            Ok(server) => return server,
            Err(embedded::Error::Running { .. }) => number += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(future)
}
