//! First signal: finish what runs. Second, or a grace period later: let go.

use futures::{Stream, StreamExt};
use std::io;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a process wants of its tasks when it is about to end.
///
/// Clones are the same shutdown. A process that is told to stop goes through both stages, so
/// whoever waits for work to finish waits until [`hard`](Self::hard) at most, then releases it.
#[derive(Debug, Clone)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Shutdown {
    /// One that no signal reaches: for tests, and for parts that are stopped by their owner.
    #[expect(clippy::new_without_default, reason = "a shutdown is started on purpose")]
    pub fn new() -> Self {
        let hard = CancellationToken::new();
        Self { soft: hard.child_token(), hard }
    }

    /// One that SIGTERM and SIGINT drive, in this process, from now on.
    ///
    /// `grace` is the time from the first signal to letting go.
    ///
    /// # Errors
    /// When the operating system does not give us the signals.
    pub fn on_signals(grace: Duration) -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let signals = async_stream(async move || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        });
        let shutdown = Self::new();
        tokio::spawn(shutdown.clone().follow(signals, grace));
        Ok(shutdown)
    }

    /// Cancelled when no new work may be started and what runs should finish.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled when what still runs has to be let go. Then `soft` is cancelled too.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Begins the first stage, as the first signal does.
    pub fn begin(&self) {
        self.soft.cancel();
    }

    /// Goes to the last stage, as the second signal does.
    pub fn let_go(&self) {
        self.hard.cancel();
    }

    /// Whether the first stage has begun; a readiness check answers "no" from then on.
    pub fn has_begun(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Turns signals, whatever their source, into stages.
    async fn follow(self, signals: impl Stream<Item = &'static str>, grace: Duration) {
        let mut signals = std::pin::pin!(signals.fuse());
        tokio::select! {
            Some(signal) = signals.next() => {
                // First, should the log be closed to us.
                self.begin();
                tracing::info!(signal, grace_seconds = grace.as_secs(), "stopping: running work may finish; a second signal stops at once");
            }
            () = self.soft.cancelled() => {}
        }
        tokio::select! {
            Some(signal) = signals.next() => {
                self.let_go();
                tracing::warn!(signal, "stopping at once");
            }
            () = tokio::time::sleep(grace) => {}
            () = self.hard.cancelled() => {}
        }
        self.let_go();
    }
}

/// What a closure answers, over and over.
fn async_stream<T>(next: impl AsyncFnMut() -> T) -> impl Stream<Item = T> {
    futures::stream::unfold(next, async |mut next| {
        let item = next().await;
        Some((item, next))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::channel::mpsc;

    /// Longer than any test runs, so that only signals count.
    const EVER: Duration = Duration::from_secs(100_000);

    fn followed(grace: Duration) -> (mpsc::UnboundedSender<&'static str>, Shutdown) {
        let (send, signals) = mpsc::unbounded();
        let shutdown = Shutdown::new();
        tokio::spawn(shutdown.clone().follow(signals, grace));
        (send, shutdown)
    }

    #[tokio::test]
    async fn the_first_signal_lets_work_finish_and_the_second_lets_go() {
        let (send, shutdown) = followed(EVER);
        assert!(!shutdown.has_begun());
        send.unbounded_send("SIGTERM").expect("somebody listens");
        shutdown.soft().cancelled().await;
        assert!(!shutdown.hard().is_cancelled());
        send.unbounded_send("SIGTERM").expect("somebody listens");
        shutdown.hard().cancelled().await;
    }

    #[tokio::test]
    async fn when_the_grace_period_is_over_work_is_let_go() {
        let (send, shutdown) = followed(Duration::ZERO);
        send.unbounded_send("SIGINT").expect("somebody listens");
        shutdown.hard().cancelled().await;
        assert!(shutdown.has_begun());
    }

    #[tokio::test]
    async fn a_stop_from_inside_has_its_grace_period_too() {
        let (_send, shutdown) = followed(Duration::ZERO);
        shutdown.begin();
        shutdown.hard().cancelled().await;
    }

    #[tokio::test]
    async fn lost_signals_leave_the_grace_period_in_force() {
        let (send, shutdown) = followed(Duration::ZERO);
        send.unbounded_send("SIGTERM").expect("somebody listens");
        drop(send);
        shutdown.hard().cancelled().await;
    }

    #[test]
    fn letting_go_is_also_an_end_of_new_work() {
        let shutdown = Shutdown::new();
        shutdown.let_go();
        assert!(shutdown.has_begun());
    }
}
