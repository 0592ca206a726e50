//! The folder of a demonstration: everything it has, and what a later one can go on with.

use crate::embedded;
use anyhow::{Context, Result, bail};
use fernet::Fernet;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a demonstration makes, besides the lock and its Postgres.
const PARTS: [&str; 5] = ["unfinished.json", "amazon.json", "keys", "logs", "results"];

/// A server whose owner was killed has shut down by then.
const ORPHAN_GONE_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A folder that no other demonstration uses while this value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

/// What was left unfinished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// The collection's public id.
    pub collection_id: String,
    /// How many weeks it has.
    pub weeks: u32,
    /// Whether there was a storm.
    pub storm: bool,
}

/// What an earlier demonstration left in the folder.
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    /// There was none.
    Nothing,
    /// It came to its end.
    Finished,
    /// It was stopped, and can go on.
    Unfinished(Unfinished),
    /// It was killed, and the simulated Amazon with it, which has forgotten its executions.
    Killed,
}

impl Folder {
    /// Makes the folder if need be, and takes it.
    pub fn take(wanted: &Path) -> Result<Self> {
        let shown = wanted.display();
        fs::create_dir_all(wanted).with_context(|| format!("cannot create {shown}"))?;
        let path = wanted.canonicalize().with_context(|| format!("cannot find {shown}"))?;
        let lock = path.join("lock");
        if !lock.exists() && fs::read_dir(&path)?.next().is_some() {
            bail!(
                "{shown} holds other things than a demonstration: choose an empty or a new --folder"
            );
        }
        let lock = File::create(&lock).with_context(|| format!("cannot write in {shown}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "a demonstration is already running in {shown}: stop it, or choose another --folder"
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {shown}"))
            }
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its Postgres lives.
    pub fn postgres(&self) -> PathBuf {
        self.path.join("postgres")
    }

    /// What the simulated Amazon knows between two runs.
    pub fn amazon(&self) -> PathBuf {
        self.path.join("amazon.json")
    }

    /// Where whole results are kept.
    pub fn results(&self) -> PathBuf {
        self.path.join("results")
    }

    /// The folder of the processes' logs.
    pub fn logs(&self) -> Result<PathBuf> {
        let logs = self.path.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        Ok(logs)
    }

    /// The file with the key that tokens are encrypted with, made when it is not there.
    pub fn keys(&self) -> Result<PathBuf> {
        let keys = self.path.join("keys");
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&keys);
        match made {
            Ok(mut file) => writeln!(file, "{}", Fernet::generate_key())?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot write {}", keys.display()));
            }
        }
        Ok(keys)
    }

    /// What an earlier demonstration left.
    pub fn left(&self) -> Result<Left> {
        if !self.postgres().exists() {
            return Ok(Left::Nothing);
        }
        let text = match fs::read(self.unfinished()) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Left::Finished),
            Err(error) => return Err(error).context("cannot read unfinished.json"),
        };
        if !self.amazon().exists() {
            return Ok(Left::Killed);
        }
        Ok(serde_json::from_slice(&text).map_or(Left::Killed, Left::Unfinished))
    }

    /// Remembers a backfill that has begun.
    pub fn begun(&self, what: &Unfinished) -> Result<()> {
        let file = self.unfinished();
        fs::write(&file, serde_json::to_vec(what)?)
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// The backfill has ended, well or badly: there is nothing to go on with.
    pub fn ended(&self) -> Result<()> {
        remove(&self.unfinished())
    }

    /// The simulated Amazon runs again: what it knew at its last stop will soon be out of date.
    pub fn amazon_runs(&self) -> Result<()> {
        remove(&self.amazon())
    }

    /// Removes everything that an earlier demonstration left.
    pub async fn clear(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            match embedded::erase(&self.postgres()) {
                // We have the lock, so it is an orphan, which is on its way out.
                Err(embedded::Error::Running { .. }) if began.elapsed() < ORPHAN_GONE_WITHIN => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                erased => {
                    erased?;
                    break;
                }
            }
        }
        for part in PARTS {
            remove(&self.path.join(part))?;
        }
        Ok(())
    }

    fn unfinished(&self) -> PathBuf {
        self.path.join("unfinished.json")
    }
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn unfinished() -> Unfinished {
        Unfinished { collection_id: "demo-1".to_owned(), weeks: 52, storm: true }
    }

    #[tokio::test]
    async fn what_was_stopped_goes_on_and_what_was_killed_does_not() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::take(&place.path().join("demo")).unwrap();
        assert_eq!(folder.left().unwrap(), Left::Nothing);
        fs::create_dir(folder.postgres()).unwrap();
        fs::write(folder.postgres().join("lock"), "").unwrap();
        folder.begun(&unfinished()).unwrap();
        assert_eq!(folder.left().unwrap(), Left::Killed);
        fs::write(folder.amazon(), "{}").unwrap();
        assert_eq!(folder.left().unwrap(), Left::Unfinished(unfinished()));
        folder.ended().unwrap();
        assert_eq!(folder.left().unwrap(), Left::Finished);
        folder.clear().await.unwrap();
        assert_eq!(folder.left().unwrap(), Left::Nothing);
        let rest: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(rest.len(), 1, "the lock alone");
    }

    #[test]
    fn a_folder_has_one_demonstration_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let first = Folder::take(place.path()).unwrap();
        let second = Folder::take(place.path()).unwrap_err().to_string();
        assert!(second.starts_with("a demonstration is already running in "), "{second}");
        drop(first);
        Folder::take(place.path()).unwrap();

        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("letter"), "dear").unwrap();
        let refused = Folder::take(home.path()).unwrap_err().to_string();
        assert!(refused.contains("holds other things"), "{refused}");
    }

    #[test]
    fn the_key_is_made_once_and_only_its_owner_can_read_it() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::take(place.path()).unwrap();
        let keys = folder.keys().unwrap();
        let first = fs::read_to_string(&keys).unwrap();
        assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(folder.keys().unwrap()).unwrap(), first);
    }
}
