//! No verb reads more the more jobs there are: a million of them, in many lanes.

use super::{House, named};
use anyhow::anyhow;
use recomamp::queue::error::Failure;
use recomamp::queue::gate::Rule;
use recomamp::queue::postgres::{Mode, PgStore, inspect, rescue};
use recomamp::queue::share::Slots;
use recomamp::queue::store::{Ask, Lease, Store};
use recomamp::queue::{NewJob, Outcome, retry};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use std::time::Duration;

/// How many jobs each verb is given.
const BATCH: usize = 20;
/// Rows and index entries that may be read for each of them.
const READS_EACH: i64 = 100;
/// A statement's plan is made anew five times; the sixth may be for any arguments.
const TIMES: usize = 7;

/// 700,000 ready in 501 lanes, 260,000 of them one tenant's; 200,000 scheduled, 50,000 blocked, 5,000
/// running, and 45,000 finished.
const A_MILLION: &str = "
    with host as (
        select n, case when n <= 260000 then 'host:big' else 'host:' || n % 500 end as name
        from generate_series(1, 955000) as n
    )
    insert into engine.jobs (
        run_at, created_at, timeout_ms, priority, max_attempts, queue, kind, args, uses, due, state,
        session, claimed_at, fence, attempt, blocked_by, share
    )
    select
        clock.now + case when n between 700001 and 950000 then n else n - 1000000 end * interval '1 second',
        clock.now, 60000, 2, 20, 'default', 'named', jsonb_build_object('name', n::text),
        jsonb_build_array(jsonb_build_object('resource', name, 'cost', 1, 'hold', false)),
        n <= 700000,
        case when n > 950000 then 'running' else 'waiting' end::engine.job_state,
        case when n > 950000 then $1::bigint end, clock.now, 1, 1,
        case when n between 900001 and 950000 then 'lwa:' || n % 10 end,
        case when n <= 260000 then 1 else 0 end
    from host, (select engine.now() as now) as clock";

const FINISHED: &str = "
    insert into engine.jobs_history (
        id, created_at, finished_at, state, snoozes, attempt, throttles, denials, rescues,
        interruptions, queue, kind, args
    )
    select -n, engine.now(), engine.now(), 'done', 0, 1, 0, 0, 0, 0, 'default', 'named', '{}'
    from generate_series(1, 45000) as n";

/// One connection for all verbs, so that its figures can be read at once.
struct Meter {
    house: House,
    db: PgPool,
    store: PgStore,
}

/// What a verb read of jobs and lanes.
#[derive(Debug, Clone, Copy)]
struct Reads {
    whole_tables: i64,
    rows: i64,
    entries: i64,
    probes: i64,
}

impl Meter {
    async fn new() -> Self {
        let house = House::new().await;
        let pool = PgPoolOptions::new().max_connections(1);
        let db = pool.connect(house.db.url()).await.expect("a connection");
        let store = PgStore::new(db.clone(), Mode::Poll);
        Self { house, db, store }
    }

    async fn run(&self, sql: &str) {
        let statement = sqlx::query(AssertSqlSafe(sql)).bind(self.house.session.0);
        statement.execute(&self.db).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn vacuum(&self) {
        for table in ["engine.jobs", "engine.lanes", "engine.jobs_history"] {
            let vacuum = format!("vacuum analyze {table}");
            sqlx::raw_sql(AssertSqlSafe(vacuum)).execute(&self.db).await.expect("vacuumed");
        }
    }

    async fn so_far(&self) -> Reads {
        sqlx::query("select pg_stat_force_next_flush()").execute(&self.db).await.expect("flushed");
        let (whole_tables, rows, entries, probes) = sqlx::query_as(
            // Lanes are few at first, and then a plan that reads them all is a good one.
            "select
                sum(seq_scan) filter (where relname ~ '^jobs')::bigint,
                sum(idx_tup_fetch + seq_tup_read)::bigint,
                (
                    select sum(idx_tup_read)::bigint from pg_stat_user_indexes
                    where relname ~ '^(jobs|lanes)' and schemaname = 'engine'
                ),
                sum(idx_scan)::bigint
            from pg_stat_user_tables
            where relname ~ '^(jobs|lanes)' and schemaname = 'engine'",
        )
        .fetch_one(self.house.db.pool())
        .await
        .expect("the store answers");
        Reads { whole_tables, rows, entries, probes }
    }

    /// Runs a verb and gives its answer, with what it read.
    async fn measure<T>(&self, verb: impl Future<Output = T>) -> (T, Reads) {
        let before = self.so_far().await;
        let answer = verb.await;
        let after = self.so_far().await;
        let reads = Reads {
            whole_tables: after.whole_tables - before.whole_tables,
            rows: after.rows - before.rows,
            entries: after.entries - before.entries,
            probes: after.probes - before.probes,
        };
        (answer, reads)
    }

    /// Runs a verb that may read so many rows, and no table from end to end.
    async fn bounded<T>(&self, what: &str, most: i64, verb: impl Future<Output = T>) -> T {
        let (answer, reads) = self.measure(verb).await;
        assert_eq!(reads.whole_tables, 0, "{what} reads a whole table: {reads:?}");
        assert!(reads.rows.max(reads.entries) <= most, "{what} reads more than {most}: {reads:?}");
        answer
    }

    async fn claim_kinds(&self, many: usize, kinds: &[(&'static str, i16)]) -> Vec<Lease> {
        let ask = Ask { queue: "default", slots: Slots::free_of_all(many), kinds: Some(kinds) };
        self.store.claim(self.house.session, &ask).await.expect("claimed").leases
    }

    async fn claim(&self, many: usize) -> Vec<Lease> {
        self.claim_kinds(many, &[("named", 1), ("other", 1)]).await
    }

    async fn end(&self, leases: &[Lease], result: impl Fn() -> Result<Outcome, Failure>) {
        let acks: Vec<_> =
            leases.iter().filter_map(|lease| retry::verdict(lease, result())).collect();
        let acked = self.store.ack(&acks).await.expect("acked");
        assert!(acked.stale.is_empty());
    }
}

fn bound(jobs: usize) -> i64 {
    i64::try_from(jobs).expect("few") * READS_EACH
}

/// How attempts end: what it is called, and what the handler returns.
type End = (&'static str, fn() -> Result<Outcome, Failure>);

#[tokio::test]
async fn no_verb_reads_a_table_from_end_to_end_with_a_million_jobs_in_it() {
    let meter = Meter::new().await;
    meter.run(A_MILLION).await;
    meter.run(&FINISHED.replace("select -n", "select -n + 0 * $1::bigint")).await;
    meter.vacuum().await;
    while meter.claim(200).await.len() < 200 {}
    meter.vacuum().await;

    let ends: [End; 6] = [
        ("done", || Ok(Outcome::Done)),
        ("snooze", || Ok(Outcome::Snooze(Duration::ZERO))),
        ("retry", || Err(super::boom())),
        ("discard", || Err(Failure::permanent(anyhow!("no")))),
        ("throttle", || Err(Failure::throttled(anyhow!("429"), None, "host:elsewhere"))),
        ("credential", || Err(Failure::unauthorized(anyhow!("401"), "lwa:x"))),
    ];
    for gated in [false, true] {
        let what = if gated { "claim through gates" } else { "claim" };
        for _ in 0..TIMES {
            for (name, result) in ends {
                let leases = meter.bounded(what, bound(BATCH), meter.claim(BATCH)).await;
                assert_eq!(leases.len(), BATCH, "gated: {gated}");
                meter.bounded(name, bound(BATCH), meter.end(&leases, result)).await;
            }
        }
        // By our own connection: what others have read is added to the counts whenever they like.
        let mut connection = meter.db.acquire().await.expect("a connection");
        let rule = Rule::Running(Some(1_000_000));
        meter.house.queue.set_gate(&mut connection, "queue:default", rule).await.expect("set");
        drop(connection);
        // All that run are counted.
        meter.vacuum().await;
    }
    for _ in 0..TIMES {
        quiet_verbs(&meter).await;
    }
}

/// Those that look, and mostly find nothing to do.
async fn quiet_verbs(meter: &Meter) {
    let (db, session) = (&meter.db, meter.house.session);
    let batch: Vec<NewJob> = (0..BATCH).map(|n| named(&n.to_string())).collect();
    meter
        .bounded("enqueue", bound(BATCH), async {
            let mut connection = db.acquire().await.expect("a connection");
            meter.house.queue.enqueue(&mut connection, &batch).await.expect("enqueued");
        })
        .await;
    let queues = ["default".to_owned(), "other".to_owned()];
    let due = meter.bounded("due", 10, meter.store.due(&queues)).await;
    assert_eq!(due.expect("the store answers"), ["default"]);
    let patience = Duration::from_secs(3600);
    meter.bounded("rescue", 30, rescue(db, patience)).await.expect("rescued");
    meter
        // The oldest one stands behind all that have been claimed since the last vacuum.
        .bounded("counts", 5000, async {
            let mut connection = db.acquire().await.expect("a connection");
            inspect::counts(&mut connection).await.expect("counted")
        })
        .await;
    meter
        .bounded("find", 10, async {
            let mut connection = db.acquire().await.expect("a connection");
            inspect::job(&mut connection, 7).await.expect("found")
        })
        .await;
    // Counts those that run, and looks at each lane.
    meter
        .bounded("sweep", 20_000, async {
            let mut transaction = db.begin().await.expect("begun");
            meter.house.queue.sweep(&mut transaction).await.expect("swept");
            transaction.rollback().await.expect("rolled back");
        })
        .await;
    let store = &meter.store;
    // It looks at each job that the process runs.
    let given = meter
        .bounded("give back", 20_000, store.give_back(session, "nothing", &[], Duration::ZERO))
        .await;
    assert_eq!(given.expect("the store answers"), 0);
}

/// Jobs in lanes of their own, one each: so many of this kind, on hosts with this name.
fn jobs_in_lanes(kind: &str, host: &str, many: i32) -> String {
    format!(
        "insert into engine.jobs (
            run_at, created_at, timeout_ms, priority, max_attempts, queue, kind, args, uses, due
        )
        select
            engine.now(), engine.now(), 60000, 2, 20, 'default', {kind}, '{{\"name\": \"a\"}}',
            jsonb_build_array(
                jsonb_build_object('resource', '{host}' || n, 'cost', 1, 'hold', false)
            ),
            true
        from generate_series(1, {many}) as n where $1::bigint is not null"
    )
}

const LANES_OF_ALL: &str = "
    insert into engine.lanes (id, queue, kind, version, share, weight, gated, made_at)
    select lane, queue, kind, version, share, 1, false, engine.now() from engine.jobs
    where $1::bigint is not null
    on conflict (id) do nothing";
const SHUT_ALL: &str = "
    update engine.lanes set shut_by = 'r', shut_gate = 'paused', shut_since = engine.now()
    where $1::bigint is not null";
const NOTHING_UNMADE: &str = "delete from engine.unmade_lanes where $1::bigint is not null";

impl Meter {
    async fn lanes(&self, statements: &[&str]) {
        for sql in statements {
            self.run(sql).await;
        }
        self.run(NOTHING_UNMADE).await;
        self.vacuum().await;
    }

    /// A claim of one job does with few probes.
    async fn leaps(&self, what: &str) -> Vec<Lease> {
        let kinds = [("named", 1), ("other", 1)];
        let (leases, reads) = self.measure(self.claim_kinds(1, &kinds)).await;
        assert!(reads.probes < 200, "{what}: {reads:?}");
        assert!(reads.rows.max(reads.entries) < 200, "{what}: {reads:?}");
        leases
    }
}

#[tokio::test]
async fn a_claim_leaps_over_ten_thousand_shut_lanes() {
    let meter = Meter::new().await;
    meter.lanes(&[&jobs_in_lanes("'named'", "shut:", 10_000), LANES_OF_ALL, SHUT_ALL]).await;
    assert!(meter.leaps("all are shut").await.is_empty());
    meter.lanes(&[&jobs_in_lanes("'named'", "open:", 1), LANES_OF_ALL]).await;
    assert_eq!(meter.leaps("one is open").await.len(), 1);
}

#[tokio::test]
async fn a_lane_that_nobody_has_made_is_found_among_ten_thousand_shut_ones() {
    let meter = Meter::new().await;
    meter.lanes(&[&jobs_in_lanes("'named'", "shut:", 10_000), LANES_OF_ALL, SHUT_ALL]).await;
    meter.house.enqueue(&[named("new")]).await;
    assert_eq!(meter.leaps("a new one").await.len(), 1);
}

#[tokio::test]
async fn a_claim_takes_its_turn_among_ten_thousand_open_lanes() {
    let meter = Meter::new().await;
    meter.lanes(&[&jobs_in_lanes("'named'", "open:", 10_000), LANES_OF_ALL]).await;
    assert_eq!(meter.leaps("all are open").await.len(), 1);
    let leases = meter.bounded("a claim of many", 10_000, meter.claim(100)).await;
    assert_eq!(leases.len(), 100);
}

#[tokio::test]
async fn a_claim_leaps_over_a_thousand_kinds_that_it_does_not_know() {
    let meter = Meter::new().await;
    meter.lanes(&[&jobs_in_lanes("'unknown ' || n", "host:", 1000), LANES_OF_ALL]).await;
    assert!(meter.leaps("none is known").await.is_empty());
    meter.lanes(&[&jobs_in_lanes("'other'", "open:", 1), LANES_OF_ALL]).await;
    assert_eq!(meter.leaps("one is known").await.len(), 1);
}

#[tokio::test]
async fn lanes_without_jobs_cost_a_claim_nothing_and_are_forgotten() {
    let meter = Meter::new().await;
    let empty = "delete from engine.jobs where $1::bigint is not null";
    meter.lanes(&[&jobs_in_lanes("'named'", "empty:", 10_000), LANES_OF_ALL, empty]).await;
    assert!(meter.leaps("all are empty").await.is_empty());
    let id = meter.house.enqueue_one(named("a")).await;
    let leases = meter.leaps("one is not").await;
    assert_eq!(leases.iter().map(|lease| lease.job_id).collect::<Vec<_>>(), [id]);

    let retention = Duration::from_secs(86_400);
    let mut connection = meter.db.acquire().await.expect("a connection");
    let prune = meter.house.queue.prune(&mut connection, retention).await.expect("pruned");
    assert_eq!(prune.lanes, 0, "they have only just been seen idle");
    meter.house.enqueue_one(named("b")).await;
    meter.house.wait(Duration::from_secs(4000)).await;
    let prune = meter.house.queue.prune(&mut connection, retention).await.expect("pruned");
    assert_eq!(prune.lanes, 10_000, "all but the one in which a job waits");
    drop(connection);
    assert_eq!(meter.claim(2).await.len(), 1);
}
