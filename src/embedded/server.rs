//! Makes the database, starts the server, stops it.

use super::Error;
use super::binaries::Binaries;
use super::folder::{Folder, free_port};
use super::note::Note;
use super::owner::Owner;
use secrecy::SecretString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// The superuser of a private Postgres.
const USER: &str = "recomamp";

/// Recovery after a crash is the slowest start there is.
const START_WITHIN: Duration = Duration::from_mins(1);

/// A server that was told to stop, or whose owner died, is gone by then.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks at a server that starts.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// Becomes the server, and leaves a watcher behind that shuts it down when standard input ends,
/// which is when our end of the pipe is closed. The watcher is a grandchild, because the server
/// would take a child for one of its own.
const RUN: &str = r#"
exec 3<&0
( (read -r _ <&3; kill -INT $$) & )
exec 3<&-
exec "$@" </dev/null
"#;

/// How the server is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether what is committed survives a power cut. Without it everything is faster, and what
    /// is committed still survives a crash of the server, but not one of the machine.
    pub durable: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { durable: true }
    }
}

/// A running private Postgres. Dropping it shuts it down, without waiting for the end.
#[derive(Debug)]
pub struct Embedded {
    // Holds the pipe that keeps the server alive. Before `folder`, so that it is dropped first.
    server: Child,
    folder: Folder,
    pid: u32,
    url: SecretString,
}

/// Starts the Postgres that lives in this folder; an empty or missing folder gets a new one.
///
/// # Errors
/// When Postgres is not installed, when the folder is in use or is not one of ours, and when the
/// server does not come up.
pub async fn start(folder: impl AsRef<Path>, options: Options) -> Result<Embedded, Error> {
    let wanted = folder.as_ref();
    let owner = Owner::of(&wanted.join("data"))?;
    let folder = Folder::take(wanted, &owner).await?;
    let binaries = Binaries::find(folder.version()).await?;
    if folder.version().is_none() {
        make_database(&binaries, &folder, &owner, options).await?;
    }
    Note::forget_if_reused(&folder.data())?;

    let began = Instant::now();
    let mut port = folder.last_port().unwrap_or_else(free_port);
    loop {
        let before = Note::read(&folder.data());
        let mut server = spawn(&binaries, &folder, &owner, options, port)?;
        match until_ready(&mut server, &folder, before.as_ref(), began).await {
            Some(Start::Ready(pid)) => {
                folder.keep_port(port)?;
                let url = address(&folder.password()?, port);
                return Ok(Embedded { server, folder, pid, url });
            }
            Some(Start::Ended(status)) => match why(&folder) {
                Refusal::PortTaken if began.elapsed() < STOP_WITHIN => port = free_port(),
                Refusal::StillStopping if began.elapsed() < STOP_WITHIN => sleep(LOOK_EVERY).await,
                Refusal::StillStopping => {
                    return Err(Error::Running { folder: folder.path().to_owned() });
                }
                Refusal::PortTaken | Refusal::Other => {
                    return Err(Error::Failed {
                        program: "postgres",
                        output: said(&folder, status),
                    });
                }
            },
            None => {
                let seconds = START_WITHIN.as_secs();
                return Err(Error::Silent { seconds, log: folder.log() });
            }
        }
    }
}

impl Embedded {
    /// Where it answers, password included: `postgres://recomamp:…@127.0.0.1:…/postgres`.
    ///
    /// The user is a superuser. A start on the same folder has the same address as long as its port
    /// is free.
    pub fn database_url(&self) -> &SecretString {
        &self.url
    }

    /// Where it lives, which is elsewhere than asked for when root asked for a place that only root
    /// can enter.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process number of the server.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Shuts the server down and waits until it is gone. Sessions are ended, nothing is lost.
    pub async fn stop(mut self) -> Result<(), Error> {
        drop(self.server.stdin.take());
        if timeout(STOP_WITHIN, self.server.wait()).await.is_err() {
            self.server
                .kill()
                .await
                .map_err(Error::io("stop the server in", self.folder.path()))?;
        }
        Ok(())
    }
}

async fn make_database(
    binaries: &Binaries,
    folder: &Folder,
    owner: &Owner,
    options: Options,
) -> Result<(), Error> {
    // Made beside and renamed, so that a crash leaves no half-made database.
    let draft = folder.path().join("data.new");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(Error::io("remove", &draft))?;
    }
    let initdb = binaries.initdb();
    let mut command = quiet(&initdb, folder, owner);
    command
        .args(["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale"])
        .arg("--pwfile")
        .arg(folder.password_file())
        .arg("--pgdata")
        .arg(&draft);
    if !options.durable {
        command.arg("--no-sync");
    }
    let output = command.output().await.map_err(Error::io("run", initdb))?;
    if !output.status.success() {
        let output = last_lines(&String::from_utf8_lossy(&output.stderr));
        return Err(Error::Failed { program: "initdb", output });
    }
    fs::rename(&draft, folder.data()).map_err(Error::io("rename", draft))
}

fn spawn(
    binaries: &Binaries,
    folder: &Folder,
    owner: &Owner,
    options: Options,
    port: u16,
) -> Result<Child, Error> {
    let log = File::create(folder.log()).map_err(Error::io("write", folder.log()))?;
    let errors = log.try_clone().map_err(Error::io("write", folder.log()))?;
    let mut command = quiet(Path::new("/bin/sh"), folder, owner);
    command.args(["-c", RUN, "sh"]).arg(binaries.postgres()).arg("-D").arg(folder.data());
    let mut set = |name: &str, value: &str| {
        command.arg("-c").arg(format!("{name}={value}"));
    };
    set("listen_addresses", "127.0.0.1");
    set("port", &port.to_string());
    set("unix_socket_directories", "");
    set("max_connections", "300");
    set("timezone", "UTC");
    set("log_timezone", "UTC");
    if !options.durable {
        set("fsync", "off");
        set("full_page_writes", "off");
    }
    command
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(errors)
        // Ctrl-C in a terminal is for us: we stop the server when we are done with it.
        .process_group(0)
        .spawn()
        .map_err(Error::io("run", binaries.postgres()))
}

/// A program of Postgres, run by its account, in its folder, whatever the environment says: a
/// caller's PGDATA, PGOPTIONS or language must not reach it.
fn quiet(program: &Path, folder: &Folder, owner: &Owner) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["PG", "LC_", "LANG"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.env("LC_ALL", "C").env("TZ", "UTC").current_dir(folder.path()).stdin(Stdio::null());
    owner.run(&mut command);
    command
}

/// The password is made of letters and digits, which an address takes as they are.
fn address(password: &str, port: u16) -> SecretString {
    SecretString::from(format!("postgres://{USER}:{password}@127.0.0.1:{port}/postgres"))
}

/// How a start went.
enum Start {
    /// With this process number.
    Ready(u32),
    Ended(ExitStatus),
}

/// Waits until the server says that it is ready or has ended; `None` when it does neither.
///
/// A note that was there `before` is of a server that was killed, perhaps one with the same number.
async fn until_ready(
    server: &mut Child,
    folder: &Folder,
    before: Option<&Note>,
    began: Instant,
) -> Option<Start> {
    while began.elapsed() < START_WITHIN {
        if let Ok(Some(status)) = server.try_wait() {
            return Some(Start::Ended(status));
        }
        if let Some(note) = Note::read(&folder.data())
            && note.ready
            && before != Some(&note)
            && server.id() == Some(note.pid)
        {
            return Some(Start::Ready(note.pid));
        }
        sleep(LOOK_EVERY).await;
    }
    None
}

/// Why a server ended before it was ready.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// Somebody took the port between our choice and the start.
    PortTaken,
    /// What ran here before has not quite ended.
    StillStopping,
    /// Another start would end in the same way.
    Other,
}

fn why(folder: &Folder) -> Refusal {
    refusal(&fs::read_to_string(folder.log()).unwrap_or_default())
}

fn refusal(log: &str) -> Refusal {
    if log.contains("could not create any TCP/IP sockets") || log.contains("could not bind") {
        Refusal::PortTaken
    } else if log.contains("lock file \"postmaster.pid\" already exists")
        || log.contains("pre-existing shared memory block")
    {
        Refusal::StillStopping
    } else {
        Refusal::Other
    }
}

/// The last that a server said before it ended.
fn said(folder: &Folder, status: ExitStatus) -> String {
    let log = fs::read_to_string(folder.log()).unwrap_or_default();
    format!("{}\n({status})", last_lines(&log))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_failed_is_tried_again_only_when_that_can_help() {
        let taken = "LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use\n\
                     FATAL:  could not create any TCP/IP sockets";
        assert_eq!(refusal(taken), Refusal::PortTaken);
        let locked = "FATAL:  lock file \"postmaster.pid\" already exists";
        assert_eq!(refusal(locked), Refusal::StillStopping);
        let survivor = "FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use";
        assert_eq!(refusal(survivor), Refusal::StillStopping);
        assert_eq!(refusal("FATAL:  could not open file \"global/pg_control\""), Refusal::Other);
        assert_eq!(refusal(""), Refusal::Other);
    }
}
