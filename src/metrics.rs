//! Every metric's name, help and labels, and one function per event that moves it.

use chrono::{DateTime, Utc};
use prometheus::core::Collector;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::sync::LazyLock;
use std::time::Duration;

/// Seconds a job waits before it is claimed.
const WAIT: &[f64] =
    &[0.1, 0.5, 1., 5., 15., 30., 60., 120., 300., 600., 900., 1800., 3600., 10_800.];
/// Seconds an attempt takes.
const RUN: &[f64] = &[0.05, 0.1, 0.5, 1., 5., 10., 30., 60., 120., 300., 600., 1800., 3600.];
/// Seconds a claim takes.
const CLAIM: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 5.];
/// Seconds a call to Amazon takes; its gateway gives up at about 30.
const UPSTREAM: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 20., 30., 60.];

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

static STARTED: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("amc_jobs_started_total", "Attempts started.", &["kind"]));
static FINISHED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "amc_jobs_finished_total",
        "Jobs that reached a final state (done, discarded, cancelled).",
        &["kind", "outcome"],
    )
});
static FAILED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "amc_job_attempts_failed_total",
        "Attempts that failed, by class of failure.",
        &["kind", "error"],
    )
});
static SNOOZED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "amc_jobs_snoozed_total",
        "Attempts that asked to run later without failing.",
        &["kind"],
    )
});
static INTERRUPTED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "amc_jobs_interrupted_total",
        "Attempts handed back because this process was stopping or had lost its lease.",
        &["kind"],
    )
});
static RESCUED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "amc_jobs_orphans_rescued_total",
        "Running jobs whose process vanished, by action (requeued, discarded).",
        &["action"],
    )
});
static STALE: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "amc_jobs_stale_writes_total",
        "Writes refused because the attempt no longer held its lease.",
        &["kind"],
    )
});
static WAITED: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram("amc_job_wait_seconds", "Time from runnable to started.", &["kind"], WAIT)
});
static RAN: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram("amc_job_run_seconds", "Wall time of one attempt.", &["kind", "outcome"], RUN)
});
static SLOTS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge("amc_worker_slots", "Attempts this process may run at once.", &["queue"])
});
static SLOTS_USED: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge("amc_worker_slots_used", "Attempts this process is running now.", &["queue"])
});
static CLAIMED: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram("amc_worker_claim_seconds", "Time of one claim.", &["queue"], CLAIM)
});
static LAST_HEARTBEAT: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge(
        "amc_worker_last_heartbeat_timestamp_seconds",
        "Unix time this process last renewed its leases.",
        &[],
    )
});
static DRAINING: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge("amc_worker_draining", "1 while this process refuses new work before it exits.", &[])
});
static REFRESHES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter("amc_oauth_refreshes_total", "Token refreshes, by outcome.", &["outcome"])
});
static CALLS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "amc_upstream_requests_total",
        "Calls to Amazon by operation and HTTP status code (error if none arrived).",
        &["operation", "code"],
    )
});
static CALL_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram(
        "amc_upstream_request_duration_seconds",
        "Time of one call to Amazon, body included.",
        &["operation"],
        UPSTREAM,
    )
});
static EXECUTIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter("amc_executions_finished_total", "AMC executions that ended, by outcome.", &["outcome"])
});
static AUTO_PAUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "amc_collections_auto_paused_total",
        "Collections that the engine paused, because too many of their weeks failed.",
        &[],
    )
});
static WEEKS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "amc_collection_weeks_finished_total",
        "Weeks that reached a final state.",
        &["outcome"],
    )
});
static ROWS: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("amc_collection_rows_loaded_total", "Result rows loaded.", &[]));
static BYTES: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("amc_result_bytes_downloaded_total", "Result bytes downloaded.", &[]));
static BUILD: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge("amc_build_info", "A constant 1 labelled with the running build.", &["version"])
});

/// The names above are valid and different from one another; a test registers them all.
fn register<M: Collector + Clone + 'static>(metric: prometheus::Result<M>) -> M {
    let metric = metric.expect("a metric's name and labels are valid");
    REGISTRY.register(Box::new(metric.clone())).expect("no two metrics have the same name");
    metric
}

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(IntGaugeVec::new(Opts::new(name, help), labels))
}

fn histogram(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    register(HistogramVec::new(opts, labels))
}

/// All metrics of this process in Prometheus' text format.
pub fn render() -> String {
    let mut text = Vec::new();
    BUILD.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    let families = REGISTRY.gather();
    // Writing to memory cannot fail; a metric without a name cannot be registered.
    if TextEncoder::new().encode(&families, &mut text).is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// An attempt begins, this long after its job became due.
pub fn attempt_started(kind: &str, waited: Duration) {
    STARTED.with_label_values(&[kind]).inc();
    WAITED.with_label_values(&[kind]).observe(waited.as_secs_f64());
}

/// An attempt ended with this outcome, such as done, snoozed or a class of failure.
pub fn attempt_ended(kind: &str, outcome: &str, took: Duration) {
    RAN.with_label_values(&[kind, outcome]).observe(took.as_secs_f64());
}

/// An attempt failed with this class.
pub fn attempt_failed(kind: &str, class: &str) {
    FAILED.with_label_values(&[kind, class]).inc();
}

/// An attempt was handed back.
pub fn attempt_interrupted(kind: &str) {
    INTERRUPTED.with_label_values(&[kind]).inc();
}

/// A job asked to run again later.
pub fn job_snoozed(kind: &str) {
    SNOOZED.with_label_values(&[kind]).inc();
}

/// A job reached a final state.
pub fn job_finished(kind: &str, state: &str) {
    FINISHED.with_label_values(&[kind, state]).inc();
}

/// Jobs of dead processes were taken back.
pub fn jobs_rescued(requeued: u64, discarded: u64) {
    RESCUED.with_label_values(&["requeued"]).inc_by(requeued);
    RESCUED.with_label_values(&["discarded"]).inc_by(discarded);
}

/// A write was refused, because its attempt was no longer the job's current one.
pub fn stale_write(kind: &str) {
    STALE.with_label_values(&[kind]).inc();
}

/// How many attempts of this queue the process may run, and runs.
pub fn slots(queue: &str, all: usize, used: usize) {
    let number = |n| i64::try_from(n).unwrap_or(i64::MAX);
    SLOTS.with_label_values(&[queue]).set(number(all));
    SLOTS_USED.with_label_values(&[queue]).set(number(used));
}

/// A claim took this long.
pub fn claimed(queue: &str, took: Duration) {
    CLAIMED.with_label_values(&[queue]).observe(took.as_secs_f64());
}

/// The process renewed its leases at this moment.
pub fn renewed(at: DateTime<Utc>) {
    LAST_HEARTBEAT.with_label_values::<&str>(&[]).set(at.timestamp());
}

/// The process takes no new work any more.
pub fn draining() {
    DRAINING.with_label_values::<&str>(&[]).set(1);
}

/// A token was refreshed, or not.
pub fn token_refreshed(outcome: &str) {
    REFRESHES.with_label_values(&[outcome]).inc();
}

/// A call to Amazon ended; `code` is the HTTP status, or `error` if none arrived.
pub fn upstream_called(operation: &str, code: &str, took: Duration) {
    CALLS.with_label_values(&[operation, code]).inc();
    CALL_SECONDS.with_label_values(&[operation]).observe(took.as_secs_f64());
}

/// An execution at AMC ended.
pub fn execution_finished(outcome: &str) {
    EXECUTIONS.with_label_values(&[outcome]).inc();
}

/// The engine paused a collection by itself.
pub fn collection_auto_paused() {
    AUTO_PAUSED.with_label_values::<&str>(&[]).inc();
}

/// A week reached a final state.
pub fn week_finished(outcome: &str) {
    WEEKS.with_label_values(&[outcome]).inc();
}

/// A result was stored.
pub fn result_stored(rows: u64, bytes: u64) {
    ROWS.with_label_values::<&str>(&[]).inc_by(rows);
    BYTES.with_label_values::<&str>(&[]).inc_by(bytes);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_metric_can_be_registered_and_says_what_it_is() {
        use std::time::Duration;
        let second = Duration::from_secs(1);
        super::attempt_started("k", second);
        super::attempt_ended("k", "done", second);
        super::attempt_failed("k", "transient");
        super::attempt_interrupted("k");
        super::job_snoozed("k");
        super::job_finished("k", "done");
        super::jobs_rescued(1, 1);
        super::stale_write("k");
        super::slots("q", 2, 1);
        super::claimed("q", second);
        super::renewed(chrono::DateTime::UNIX_EPOCH);
        super::draining();
        super::token_refreshed("succeeded");
        super::upstream_called("submit", "200", second);
        super::execution_finished("succeeded");
        super::week_finished("succeeded");
        super::collection_auto_paused();
        super::result_stored(3, 4);
        let text = super::render();
        let names: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# HELP ")).collect();
        let typed = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
        assert!(names.len() >= 20, "{text}");
        assert_eq!(names.len(), typed);
        assert!(names.iter().all(|help| help.starts_with("amc_") && help.ends_with('.')));
    }
}
