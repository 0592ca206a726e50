//! Which code runs which kind.

use super::error::Failure;
use super::job::{Attempt, Job};
use super::outcome::Outcome;
use super::retry::Limits;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a job of a kind that this build does not know is left for another.
const UNKNOWN_KIND_PAUSE: Duration = Duration::from_secs(30);

type Run<T> = for<'a> fn(&'a T, &'a Attempt) -> BoxFuture<'a, Result<Outcome, Failure>>;

/// The kinds of job that a process can run.
pub struct Catalog<T> {
    runs: BTreeMap<&'static str, Known<T>>,
}

/// A kind that the process can run.
struct Known<T> {
    run: Run<T>,
    queue: &'static str,
    version: i16,
    limits: Limits,
}

impl<T> Default for Catalog<T> {
    fn default() -> Self {
        Self { runs: BTreeMap::new() }
    }
}

impl<T: Send + Sync + 'static> Catalog<T> {
    /// A catalog with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind of job.
    ///
    /// # Panics
    /// When two kinds have the same name: that is a mistake in the program, found at start.
    #[must_use]
    pub fn add<J: Job<Tools = T>>(mut self) -> Self {
        let known =
            Known { run: run::<J>, queue: J::QUEUE, version: J::VERSION, limits: J::LIMITS };
        let before = self.runs.insert(J::KIND, known);
        assert!(before.is_none(), "two kinds of job are named {:?}", J::KIND);
        self
    }

    /// The names of the kinds, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.runs.keys().copied()
    }

    /// The names of the kinds, each with the newest version of its arguments that this build can read.
    pub fn versions(&self) -> Vec<(&'static str, i16)> {
        self.runs.iter().map(|(kind, known)| (*kind, known.version)).collect()
    }

    /// How often jobs of each kind may be put back.
    pub(super) fn limits(&self) -> BTreeMap<&'static str, Limits> {
        self.runs.iter().map(|(kind, known)| (*kind, known.limits)).collect()
    }

    /// The queues these kinds are put in, in order, each once.
    pub fn queues(&self) -> Vec<&'static str> {
        let mut queues: Vec<_> = self.runs.values().map(|known| known.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }

    /// Makes one attempt. Arguments that cannot be read are the failure of that job alone. A kind
    /// that is not in the catalog may be in that of a newer build: the job is left for it.
    pub async fn run(&self, tools: &Arc<T>, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(Known { run, .. }) = self.runs.get(attempt.lease.kind.as_str()) else {
            let (job_id, kind) = (attempt.lease.job_id, attempt.lease.kind.as_str());
            tracing::warn!(
                job_id,
                kind,
                "no code here runs this kind of job: it is left to others"
            );
            return Ok(Outcome::Snooze(UNKNOWN_KIND_PAUSE).unasked());
        };
        run(tools, attempt).await
    }
}

fn run<'a, J: Job>(
    tools: &'a J::Tools,
    attempt: &'a Attempt,
) -> BoxFuture<'a, Result<Outcome, Failure>> {
    Box::pin(async move {
        let job: J = serde::Deserialize::deserialize(&attempt.lease.args).map_err(|error| {
            let message = format!("the arguments of this {:?} job cannot be read", J::KIND);
            Failure::permanent(anyhow::Error::new(error).context(message))
        })?;
        job.run(tools, attempt).await
    })
}
