//! A Postgres for one test that stops, kills or restarts it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use recomamp::embedded::{self, Embedded, Options};
use secrecy::ExposeSecret;
use std::thread;
use std::time::Instant;
use tempfile::TempDir;

use super::eventually::{DEADLINE, LOOK_EVERY};

/// A test can kill a server, but not cut the machine's power.
const OPTIONS: Options = Options { durable: false };

/// A Postgres of the test's own. It keeps its address over restarts.
pub struct PrivatePostgres {
    running: Option<Embedded>,
    url: String,
    folder: TempDir,
}

impl PrivatePostgres {
    /// A new one. Whatever a test does to it, it loses nothing that was committed.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let running =
            embedded::start(folder.path(), OPTIONS).await.unwrap_or_else(|error| panic!("{error}"));
        let url = running.database_url().expose_secret().to_owned();
        Self { running: Some(running), url, folder }
    }

    /// Its address, as a superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Shuts it down as an administrator would: sessions are ended, nothing is lost.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await.expect("it stops");
        }
    }

    /// `kill -9`, as the kernel does when memory runs out.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            let pid = i32::try_from(running.pid()).expect("process numbers are small");
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is ours");
        }
    }

    /// Starts it again on the same data and at the same address.
    pub async fn start_again(&mut self) {
        let running = embedded::start(self.folder.path(), OPTIONS)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(running.database_url().expose_secret(), self.url, "it kept its address");
        self.running = Some(running);
    }
}

impl Drop for PrivatePostgres {
    /// Waits for the end of the server, so that the folder can be removed.
    fn drop(&mut self) {
        if self.running.take().is_none() {
            return;
        }
        let note = self.folder.path().join("data/postmaster.pid");
        let began = Instant::now();
        while note.exists() && began.elapsed() < DEADLINE {
            thread::sleep(LOOK_EVERY);
        }
    }
}
