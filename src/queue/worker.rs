//! Runs the handlers, by apalis: the only file that names it.
//!
//! apalis gives the worker loop, the monitor and the tower layers. Its storage is ours: a backend
//! that does no I/O (the [`dispatcher`](super::dispatcher) does), and an outermost layer that turns
//! the result of every attempt, a panic, a timeout or a cancellation included, into one ack.
//!
//! What apalis asks of a backend, and how it is kept here:
//! an error from `poll_*` kills the worker, so there is none; `None` from `poll_next` hangs it, so
//! there is none; what was claimed and not yet started is released in `poll_close`.

use super::catalog::Catalog;
use super::dispatcher::{Dispatcher, LocalQueue, Settings};
use super::error::{Class, Error, Failure};
use super::job::Attempt;
use super::outcome::Outcome;
use super::retry::{self, Limits};
use super::state::State;
use super::store::{Lease, Step, Store};
use crate::metrics;
use apalis::layers::WorkerBuilderExt;
use apalis::layers::catch_panic::CatchPanicLayer;
use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::error::BoxDynError;
use apalis_core::monitor::Monitor;
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use apalis_core::worker::ext::parallelize::ParallelizeExt;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::{Layer, Service, service_fn};
use tracing::Instrument;

/// Works until `soft` is cancelled and what is running has ended, or `hard` is cancelled and what is
/// running has been handed back.
///
/// # Errors
/// When the session cannot begin: the store is away. When a part of the dispatcher panicked.
pub async fn run<S: Store, T: Send + Sync + 'static>(
    store: S,
    catalog: Catalog<T>,
    tools: Arc<T>,
    settings: Settings,
    soft: CancellationToken,
    hard: CancellationToken,
) -> Result<(), Error> {
    let kinds = catalog.versions();
    let (dispatcher, receivers) = Dispatcher::start(store, settings, kinds, soft, hard).await?;
    let limits = Arc::new(catalog.limits());
    let catalog = Arc::new(catalog);
    let mut monitor = Monitor::new().should_restart(|worker, error| {
        tracing::error!(worker = worker.name(), %error, "a worker died; it is started again");
        true
    });
    for (local, receiver) in dispatcher.local_queues().iter().zip(receivers) {
        let source = Source {
            dispatcher: dispatcher.clone(),
            attempts: Arc::new(Mutex::new(receiver)),
            limits: limits.clone(),
        };
        let (catalog, tools, local) = (catalog.clone(), tools.clone(), local.clone());
        monitor = monitor.register(move |_restarts| {
            let (catalog, tools) = (catalog.clone(), tools.clone());
            let handler = service_fn(move |task: Task<Attempt>| {
                make_attempt(catalog.clone(), tools.clone(), task)
            });
            WorkerBuilder::new(worker_name(&local))
                .backend(source.clone())
                .concurrency(local.slots)
                // Aborted when dropped, so that a cancelled attempt really stops.
                .parallelize(|attempt| AbortOnDropHandle::new(tokio::spawn(attempt)))
                .layer(CatchPanicLayer::with_panic_handler(panicked))
                .build(handler)
        });
    }
    let claims_ended = async {
        dispatcher.claims_ended().await;
        Ok(())
    };
    if let Err(error) = monitor.run_with_signal(claims_ended).await {
        tracing::error!(%error, "a worker did not end well");
    }
    dispatcher.finish().await;
    dispatcher.panicked().map_or(Ok(()), |part| Err(Error::Panicked { part }))
}

/// Never used again by another process: apalis takes two of one name for the same worker.
fn worker_name(local: &LocalQueue) -> String {
    format!("{}-{}", local.name, uuid::Uuid::now_v7())
}

async fn make_attempt<T: Send + Sync + 'static>(
    catalog: Arc<Catalog<T>>,
    tools: Arc<T>,
    task: Task<Attempt>,
) -> Result<Outcome, Failure> {
    let (attempt, _) = task.take();
    catalog.run(&tools, &attempt).await
}

fn took_too_long(limit: Duration) -> Failure {
    Failure::transient(anyhow::anyhow!("the attempt took longer than its limit of {limit:?}"))
}

fn panicked(panic: &Box<dyn std::any::Any + Send>) -> Failure {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned());
    Failure::transient(anyhow::anyhow!("the handler panicked: {text}"))
}

// ---- the backend ----

/// What the dispatcher has claimed for one local.
struct Source<S> {
    dispatcher: Arc<Dispatcher<S>>,
    attempts: Arc<Mutex<UnboundedReceiver<Attempt>>>,
    limits: Arc<BTreeMap<&'static str, Limits>>,
}

impl<S> Clone for Source<S> {
    fn clone(&self) -> Self {
        Self {
            dispatcher: self.dispatcher.clone(),
            attempts: self.attempts.clone(),
            limits: self.limits.clone(),
        }
    }
}

impl<S> Source<S> {
    fn attempts(&self) -> std::sync::MutexGuard<'_, UnboundedReceiver<Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store> Backend for Source<S> {
    type Task = Task<Attempt>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Self::Error>>> {
        match self.attempts().poll_recv(context) {
            Poll::Ready(Some(mut attempt)) => {
                if let Some(limits) = self.limits.get(attempt.lease.kind.as_str()) {
                    attempt.lease.limits = *limits;
                }
                // Unique in this process, even when a job comes back while its old attempt lingers.
                let id = format!("{}-{}", attempt.lease.job_id, attempt.lease.fence);
                let task = TaskBuilder::new(attempt).task_id(TaskId::String(id)).build();
                Poll::Ready(Some(Ok(task)))
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_close(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Self::Error>> {
        let mut attempts = self.attempts();
        while let Ok(attempt) = attempts.try_recv() {
            Ending::of(&self.dispatcher, attempt.lease).interrupted();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Store> BackendConfig for Source<S> {
    type Args = Attempt;
    type Id = u64;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = AckLayer<S>;

    fn config(&self) -> &Self::Config {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Self::Layer {
        AckLayer { dispatcher: self.dispatcher.clone() }
    }
}

// ---- the ack layer ----

/// Turns the result of every attempt into an ack.
struct AckLayer<S> {
    dispatcher: Arc<Dispatcher<S>>,
}

impl<S, Inner> Layer<Inner> for AckLayer<S> {
    type Service = AckService<S, Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        AckService { dispatcher: self.dispatcher.clone(), inner }
    }
}

struct AckService<S, Inner> {
    dispatcher: Arc<Dispatcher<S>>,
    inner: Inner,
}

impl<S, Inner> Service<Task<Attempt>> for AckService<S, Inner>
where
    S: Store,
    Inner: Service<Task<Attempt>, Response = Outcome>,
    Inner::Error: Into<BoxDynError>,
    Inner::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, task: Task<Attempt>) -> Self::Future {
        let ending = Ending::of(&self.dispatcher, task.args.lease.clone());
        let (cancelled, by) = (task.args.cancelled.clone(), task.args.cancelled_by.clone());
        metrics::attempt_started(&ending.lease.kind, ending.lease.waited);
        let span = tracing::info_span!(
            "attempt",
            job_id = ending.lease.job_id,
            kind = ending.lease.kind,
            attempt = ending.lease.attempt
        );
        let limit = ending.lease.timeout;
        let attempt = self.inner.call(task);
        async move {
            // Here and not around the handler, which has a task of its own: one that never yields, too,
            // is over when its time is. Its slot and its lease go to others; only its thread is lost.
            let result = tokio::select! {
                result = attempt => result.map_err(Into::into),
                () = cancelled.cancelled() => Err(stopped(&by).into()),
                () = tokio::time::sleep(limit) => {
                    cancelled.cancel();
                    Err(took_too_long(limit).into())
                }
            };
            ending.with(result.map_err(into_failure));
            Ok(())
        }
        .instrument(span)
        .boxed()
    }
}

/// Why the token of an attempt has tripped.
fn stopped(cancelled_by: &OnceLock<String>) -> Failure {
    cancelled_by.get().map_or_else(Failure::interrupted, |said| Failure::cancelled(said.clone()))
}

/// What our own code returned, as it was; anything that a layer made up may pass by itself.
fn into_failure(error: BoxDynError) -> Failure {
    match error.downcast::<Failure>() {
        Ok(failure) => *failure,
        Err(other) => Failure::transient(anyhow::anyhow!(other)),
    }
}

/// Owes one ack for one attempt. Dropped without one, it hands the job back.
struct Ending<S: Store> {
    dispatcher: Arc<Dispatcher<S>>,
    lease: Lease,
    began: Instant,
    owed: bool,
}

impl<S: Store> Ending<S> {
    fn of(dispatcher: &Arc<Dispatcher<S>>, lease: Lease) -> Self {
        Self { dispatcher: dispatcher.clone(), lease, began: Instant::now(), owed: true }
    }

    fn interrupted(self) {
        self.with(Err(Failure::interrupted()));
    }

    fn with(mut self, result: Result<Outcome, Failure>) {
        self.settle(result);
    }

    fn settle(&mut self, result: Result<Outcome, Failure>) {
        self.owed = false;
        self.tell(&result);
        let Some(mut ack) = retry::verdict(&self.lease, result) else {
            metrics::job_finished(&self.lease.kind, State::Done.as_str());
            self.dispatcher.forget(self.lease.job_id, self.lease.fence);
            return;
        };
        if let Step::Finish(state) = ack.step {
            metrics::job_finished(&self.lease.kind, state.as_str());
            if state == State::Discarded {
                let error = ack.error.as_deref().unwrap_or_default();
                tracing::error!(error, "the job is discarded");
            }
        }
        ack.progress = self.dispatcher.last_progress(self.lease.job_id, self.lease.fence);
        self.dispatcher.ack(ack);
    }

    fn tell(&self, result: &Result<Outcome, Failure>) {
        let took = self.began.elapsed();
        let kind = self.lease.kind.as_str();
        let outcome = match result.as_ref().map(Outcome::next) {
            Ok(Outcome::Snooze(delay)) => {
                metrics::job_snoozed(kind);
                tracing::debug!(?took, ?delay, "snoozed");
                "snoozed"
            }
            Ok(Outcome::Doubt(delay, why)) => {
                metrics::job_snoozed(kind);
                tracing::info!(?took, ?delay, why, "nobody knows how it went");
                "snoozed"
            }
            Ok(_) => {
                tracing::debug!(?took, "done");
                "done"
            }
            Err(failure) if failure.class == Class::Interrupted => {
                metrics::attempt_interrupted(kind);
                tracing::info!(?took, "handed back");
                "interrupted"
            }
            Err(failure) => {
                let class = failure.class.as_str();
                metrics::attempt_failed(kind, class);
                match failure.class {
                    // Nothing is wrong with the job: the outside lets it wait.
                    Class::Throttled { .. } | Class::Unauthorized { .. } => {
                        tracing::info!(?took, class, error = %failure, "waits");
                    }
                    Class::Cancelled => tracing::info!(?took, "{failure}"),
                    _ => tracing::warn!(?took, class, error = %failure, "failed"),
                }
                class
            }
        };
        metrics::attempt_ended(kind, outcome, took);
    }
}

impl<S: Store> Drop for Ending<S> {
    fn drop(&mut self) {
        if self.owed {
            self.settle(Err(Failure::interrupted()));
        }
    }
}
