//! As whom the server runs. Postgres refuses to be root.

use super::Error;
use nix::unistd::{Uid, User};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::{fs, io};
use tokio::process::Command;

/// The account that the server runs as and that its folder belongs to.
#[derive(Debug)]
pub(super) struct Owner {
    /// `None` when that is whoever we are.
    other: Option<(u32, u32)>,
}

impl Owner {
    /// Whoever we are; for root, whoever the data belongs to, else `postgres`, else `nobody`.
    pub(super) fn of(data: &Path) -> Result<Self, Error> {
        if !Uid::effective().is_root() {
            return Ok(Self { other: None });
        }
        if let Ok(found) = fs::metadata(data)
            && found.uid() != 0
        {
            return Ok(Self { other: Some((found.uid(), found.gid())) });
        }
        let account = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .ok_or(Error::NoAccount)?;
        Ok(Self { other: Some((account.uid.as_raw(), account.gid.as_raw())) })
    }

    /// Lets a program run as this account.
    pub(super) fn run(&self, command: &mut Command) {
        if let Some((uid, gid)) = self.other {
            command.uid(uid).gid(gid);
        }
    }

    /// Lets a file belong to this account.
    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        match self.other {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    /// Whether this account can work in a folder, which depends on every folder above it.
    pub(super) async fn can_enter(&self, folder: &Path) -> bool {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cd -- \"$1\" && test -w .", "sh"]).arg(folder).current_dir("/");
        self.run(&mut command);
        command.output().await.is_ok_and(|output| output.status.success())
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        let uid = self.other.map_or_else(Uid::effective, |(uid, _)| Uid::from_raw(uid));
        User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
    }
}
