//! `postmaster.pid`, the note that a server keeps in its data while it runs.

use super::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the note says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The server's process number.
    pub pid: u32,
    /// When it started, in seconds since 1970. Tells two servers with one process number apart.
    started: u64,
    /// Whether it lets clients in.
    pub ready: bool,
}

impl Note {
    /// The note in this data folder, if there is one.
    pub(super) fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    /// The first line is the process number, the third the start, the eighth the state, as
    /// Postgres' own `pg_ctl` reads them (`src/include/utils/pidfile.h`).
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let pid = lines.first()?.parse().ok()?;
        let started = lines.get(2).and_then(|line| line.parse().ok()).unwrap_or_default();
        Some(Self { pid, started, ready: lines.get(7) == Some(&"ready") })
    }

    /// Whether the process is a server that has this data open, and not somebody else who got the
    /// number of one that is gone.
    pub(super) fn is_of_a_server_in(&self, data: &Path) -> bool {
        command_line(self.pid).is_some_and(|line| line.contains(&*data.to_string_lossy()))
    }

    /// Removes the note of a server that is gone and whose process number somebody else has now.
    ///
    /// Postgres itself copes with every other stale note, but not with this one: it takes any
    /// living process of its own account for the server, which after a reboot is often wrong.
    pub(super) fn forget_if_reused(data: &Path) -> Result<(), Error> {
        match Self::read(data) {
            Some(note) if command_line(note.pid).is_some() && !note.is_of_a_server_in(data) => {
                let file = data.join("postmaster.pid");
                fs::remove_file(&file).map_err(Error::io("remove", file))
            }
            _ => Ok(()),
        }
    }
}

/// With what a process was started; `None` when there is no such process.
fn command_line(pid: u32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        return fs::read(format!("/proc/{pid}/cmdline"))
            .ok()
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    }
    let ps =
        Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output().ok()?;
    ps.status.success().then(|| String::from_utf8_lossy(&ps.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_says_who_runs_and_whether_clients_may_come() {
        let note = |ready| Note { pid: 4711, started: 1_700_000_000, ready };
        let starting = "4711\n/data\n1700000000\n15432\n\n127.0.0.1\n  1 2\nstarting\n";
        assert_eq!(Note::parse(starting), Some(note(false)));
        let ready = starting.replace("starting", "ready   ");
        assert_eq!(Note::parse(&ready), Some(note(true)));
        let started = 0;
        assert_eq!(Note::parse("4711\n/data\n"), Some(Note { started, ..note(false) }));
        assert_eq!(Note::parse(""), None);
    }

    #[test]
    fn a_note_with_the_number_of_a_stranger_is_forgotten() {
        let data = tempfile::tempdir().expect("a folder");
        let note = data.path().join("postmaster.pid");
        fs::write(&note, format!("{}\n", std::process::id())).expect("written");
        Note::forget_if_reused(data.path()).expect("removed");
        assert!(!note.exists());
    }

    #[test]
    fn a_note_of_the_dead_is_left_to_postgres_which_checks_for_survivors() {
        let data = tempfile::tempdir().expect("a folder");
        let mut gone = Command::new("true").spawn().expect("started");
        gone.wait().expect("ended");
        let note = data.path().join("postmaster.pid");
        fs::write(&note, format!("{}\n", gone.id())).expect("written");
        Note::forget_if_reused(data.path()).expect("nothing to do");
        assert!(note.exists());
    }
}
