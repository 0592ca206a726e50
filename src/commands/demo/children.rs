//! The processes of a demonstration: our own program, once per line of the Procfile.

use crate::commands::lifeline;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

/// What the caller has set for other installations must not reach ours.
const FOREIGN: [&str; 4] = ["DATABASE_URL", "PORT", "PG", "RECOMAMP_"];

/// A process that was told to stop is gone by then; its own grace period is shorter.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// A process says that it is ready within this time, on a machine that has other things to do.
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How much of a log is shown when its process has failed, in lines.
const LAST_LINES: usize = 5;

/// Processes that run beside us. Each ends when we do: it reads from a pipe that we hold open.
pub struct Children {
    program: PathBuf,
    logs: PathBuf,
    environment: Vec<(&'static str, String)>,
    running: BTreeMap<&'static str, Running>,
}

struct Running {
    child: Child,
    /// How long its log was when it started, in bytes: what an earlier one wrote is not its own.
    log_from: u64,
}

impl Children {
    /// None yet. All will have these settings and no others, and write their logs into this folder.
    pub fn new(logs: PathBuf, environment: Vec<(&'static str, String)>) -> Result<Self> {
        let program = env::current_exe().context("cannot find our own program")?;
        Ok(Self { program, logs, environment, running: BTreeMap::new() })
    }

    /// Starts `recomamp <command>`; its log goes on where an earlier one stopped.
    pub fn start(&mut self, command: &'static str) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log(command))?;
        let log_from = log.metadata()?.len();
        let mut process = Command::new(&self.program);
        process.args([command, lifeline::FLAG]);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if FOREIGN.iter().any(|foreign| text.starts_with(foreign)) {
                process.env_remove(&name);
            }
        }
        process
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // Amazon is on this machine, whatever stands between it and the network.
            .envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")])
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal is for us: we stop them in order.
            .process_group(0)
            .kill_on_drop(true);
        let child =
            process.spawn().with_context(|| format!("cannot start `recomamp {command}`"))?;
        self.running.insert(command, Running { child, log_from });
        Ok(())
    }

    /// Waits until a log has a line with this message, and gives one of the line's fields.
    pub async fn said(
        &mut self,
        command: &'static str,
        message: &str,
        field: &str,
    ) -> Result<String> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            self.check()?;
            let log_from = self.running.get(command).map_or(0, |running| running.log_from);
            if let Some(found) = field_of(&read_from(&self.log(command), log_from)?, message, field)
            {
                return Ok(found);
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("`recomamp {command}` is silent; its log is {}", self.log(command).display())
    }

    /// Fails when one of them has ended, which none should.
    pub fn check(&mut self) -> Result<()> {
        for (command, running) in &mut self.running {
            if let Some(status) = running.child.try_wait()? {
                return Err(ended(command, status, &log_of(&self.logs, command)));
            }
        }
        Ok(())
    }

    /// `kill -9`, as the kernel does when memory runs out.
    pub async fn kill(&mut self, command: &'static str) -> Result<()> {
        match self.running.remove(command) {
            Some(mut running) => Ok(running.child.kill().await?),
            None => Ok(()),
        }
    }

    /// Tells all of them to stop, as SIGTERM does, and waits for them.
    pub async fn stop(mut self) {
        for running in self.running.values_mut() {
            drop(running.child.stdin.take());
        }
        let deadline = Instant::now() + STOP_WITHIN;
        for (command, Running { mut child, .. }) in self.running {
            if timeout_at(deadline, child.wait()).await.is_err() {
                eprintln!("`recomamp {command}` does not stop: it is killed.");
                let _ = child.kill().await;
            }
        }
    }

    fn log(&self, command: &str) -> PathBuf {
        log_of(&self.logs, command)
    }
}

fn log_of(logs: &Path, command: &str) -> PathBuf {
    logs.join(format!("{command}.log"))
}

fn read_from(file: &Path, from: u64) -> Result<String> {
    let mut text = String::new();
    let mut file = File::open(file)?;
    file.seek(SeekFrom::Start(from))?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// The newest line with this message: one JSON object per line, as processes write them to files.
fn field_of(log: &str, message: &str, field: &str) -> Option<String> {
    log.lines()
        .rev()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|line| line["message"] == message)
        .and_then(|line| line[field].as_str().map(str::to_owned))
}

fn ended(command: &str, status: ExitStatus, log: &Path) -> anyhow::Error {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.trim().lines().collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
    anyhow::anyhow!(
        "`recomamp {command}` ended by itself ({status}); its log {} ends with:\n{last}",
        log.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_line_with_a_message_gives_its_field() {
        let log = "not JSON\n{\"message\":\"serving\",\"address\":\"127.0.0.1:1\"}\n\
                   {\"message\":\"serving\",\"address\":\"127.0.0.1:2\"}\n{\"message\":\"x\"}\n";
        assert_eq!(field_of(log, "serving", "address").as_deref(), Some("127.0.0.1:2"));
        assert_eq!(field_of(log, "serving", "port"), None);
        assert_eq!(field_of("", "serving", "address"), None);
    }
}
