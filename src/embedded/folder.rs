//! The folder of one private Postgres: whose it is, what is in it, and that only one process has it.

use super::Error;
use super::binaries::major;
use super::note::Note;
use super::owner::Owner;
use rand::distr::{Alphanumeric, SampleString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Where the server lives when its account cannot enter the folder that was asked for.
const ELSEWHERE: &str = "/var/lib/recomamp";

/// Ports below the range from which kernels take them for outgoing connections (32768 and up on
/// Linux, 49152 and up on macOS), so that a restart finds its port still free.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A folder that is ours alone as long as this value lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be, and takes it.
    pub(super) async fn take(wanted: &Path, owner: &Owner) -> Result<Self, Error> {
        fs::create_dir_all(wanted).map_err(Error::io("create", wanted))?;
        let mut path = wanted.canonicalize().map_err(Error::io("find", wanted))?;
        let fresh = !is_ours(&path)?;
        if fresh {
            prepare(&path, owner)?;
        }
        if !owner.can_enter(&path).await {
            if !fresh {
                return Err(Error::Unreachable { folder: path, account: owner.name() });
            }
            path = move_elsewhere(wanted, owner)?;
        }
        let folder = Self { _lock: lock(&path)?, path };
        folder.make_password(owner)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(super) fn password_file(&self) -> PathBuf {
        self.path.join("password")
    }

    pub(super) fn password(&self) -> Result<String, Error> {
        let file = self.password_file();
        let text = fs::read_to_string(&file).map_err(Error::io("read", file))?;
        Ok(text.trim().to_owned())
    }

    /// The major version of Postgres that made the data, if there is any.
    pub(super) fn version(&self) -> Option<u32> {
        major(&fs::read_to_string(self.data().join("PG_VERSION")).ok()?)
    }

    /// The port of last time.
    pub(super) fn last_port(&self) -> Option<u16> {
        fs::read_to_string(self.path.join("port")).ok()?.trim().parse().ok()
    }

    pub(super) fn keep_port(&self, port: u16) -> Result<(), Error> {
        let file = self.path.join("port");
        fs::write(&file, port.to_string()).map_err(Error::io("write", file))
    }

    fn make_password(&self, owner: &Owner) -> Result<(), Error> {
        let file = self.password_file();
        // Data without its password stays shut: a new one would not open it.
        if file.exists() || self.data().exists() {
            return Ok(());
        }
        // Written beside and renamed, so that a crash leaves no empty password.
        let draft = self.path.join("password.new");
        let text = Alphanumeric.sample_string(&mut rand::rng(), 32);
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| owner.give(&draft))
            .and_then(|()| fs::rename(&draft, &file))
            .map_err(Error::io("write", file))
    }
}

/// Removes a private Postgres with everything in it. A folder that does not exist is no error.
///
/// # Errors
/// When a server runs in it, or when it holds anything else than a server of ours.
pub fn erase(wanted: &Path) -> Result<(), Error> {
    let Ok(path) = wanted.canonicalize() else { return Ok(()) };
    if !is_ours(&path)? {
        return Ok(());
    }
    let _lock = lock(&path)?;
    let data = path.join("data");
    if Note::read(&data).is_some_and(|note| note.is_of_a_server_in(&data)) {
        return Err(Error::Running { folder: path });
    }
    // The data first, so that a crash on the way leaves a folder that is still known as ours.
    if data.exists() {
        fs::remove_dir_all(&data).map_err(Error::io("remove", data))?;
    }
    fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
    if wanted.is_symlink() {
        fs::remove_file(wanted).map_err(Error::io("remove", wanted))?;
    }
    Ok(())
}

/// Whether we have been here before. A folder with other things in it is an error: we would change
/// its owner, and one day remove it.
fn is_ours(path: &Path) -> Result<bool, Error> {
    if path.join("lock").exists() {
        return Ok(true);
    }
    let mut entries = fs::read_dir(path).map_err(Error::io("read", path))?;
    match entries.next() {
        None => Ok(false),
        Some(_) => Err(Error::NotOurs { folder: path.to_owned() }),
    }
}

fn prepare(path: &Path, owner: &Owner) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        .and_then(|()| owner.give(path))
        .map_err(Error::io("prepare", path))
}

/// Root may ask for a folder in a home that nobody else can enter. Then the server lives where its
/// account can, and the folder that was asked for leads there.
fn move_elsewhere(wanted: &Path, owner: &Owner) -> Result<PathBuf, Error> {
    fs::create_dir_all(ELSEWHERE)
        .and_then(|()| fs::set_permissions(ELSEWHERE, fs::Permissions::from_mode(0o755)))
        .map_err(Error::io("create", ELSEWHERE))?;
    let path = tempfile::Builder::new()
        .prefix("postgres-")
        .tempdir_in(ELSEWHERE)
        .map_err(Error::io("create a folder in", ELSEWHERE))?
        .keep();
    prepare(&path, owner)?;
    fs::remove_dir(wanted)
        .and_then(|()| symlink(&path, wanted))
        .map_err(Error::io("make a link of", wanted))?;
    Ok(path)
}

fn lock(path: &Path) -> Result<File, Error> {
    let file = path.join("lock");
    let lock = File::create(&file).map_err(Error::io("open", &file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::Running { folder: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", file)(source)),
    }
}

/// A port of 127.0.0.1 on which nobody listens at this moment.
pub(super) fn free_port() -> u16 {
    std::iter::repeat_with(|| rand::random_range(PORTS))
        .take(1000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap_or(PORTS.start)
}
