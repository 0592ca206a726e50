//! Where Postgres is installed: PATH first, then the places where packages put it.

use super::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{env, fs};
use tokio::process::Command;

/// The oldest major version that we run on.
const OLDEST: u32 = 14;

/// Folders of which one `*` stands for a version; the newest is looked at first.
const PLACES: [&str; 7] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql*/bin",
];

/// One installed Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    bin: PathBuf,
}

impl Binaries {
    /// The first one of this major version; of any that is new enough when it does not matter.
    pub(super) async fn find(major: Option<u32>) -> Result<Self, Error> {
        let path = env::var_os("PATH").unwrap_or_default();
        for bin in candidates(&path, Path::new("/")) {
            let found = version(&bin.join("postgres")).await;
            if found.is_some_and(|found| major.map_or(found >= OLDEST, |major| major == found)) {
                return Ok(Self { bin });
            }
        }
        let wanted = match major {
            Some(major) => format!("{major}, which made this folder,"),
            None => format!("{OLDEST} or later"),
        };
        Err(Error::NotInstalled { wanted })
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.bin.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.bin.join("postgres")
    }
}

/// Every folder that holds both programs, in the order in which to try them.
fn candidates(path: &OsStr, root: &Path) -> Vec<PathBuf> {
    let installed = PLACES.iter().flat_map(|place| versions(root, place));
    env::split_paths(path)
        .chain(installed)
        .filter(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .collect()
}

/// The folders that a place with a `*` stands for, newest version first.
fn versions(root: &Path, place: &str) -> Vec<PathBuf> {
    let (before, after) = place.split_once('*').unwrap_or((place, ""));
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let parent = root.join(parent.trim_start_matches('/'));
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(&parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.split('.').next()?.parse().unwrap_or(0);
            Some((version, parent.join(name).join(after.trim_start_matches('/'))))
        })
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, bin)| bin).collect()
}

/// The major version, as in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
async fn version(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().await.ok()?;
    major(str::from_utf8(&output.stdout).ok()?)
}

/// The first number in a text such as `15.18` or `17beta1`.
pub(super) fn major(text: &str) -> Option<u32> {
    let number = &text[text.find(|letter: char| letter.is_ascii_digit())?..];
    let end = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
    number[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(root: &Path, bin: &str) {
        let bin = root.join(bin);
        fs::create_dir_all(&bin).expect("a folder");
        for program in ["initdb", "postgres"] {
            fs::write(bin.join(program), "").expect("a file");
        }
    }

    #[test]
    fn path_goes_first_and_then_the_newest_version() {
        let root = tempfile::tempdir().expect("a folder");
        let own = root.path().join("own");
        for bin in ["own", "usr/lib/postgresql/9.6/bin", "usr/lib/postgresql/17/bin"] {
            install(root.path(), bin);
        }
        install(root.path(), "usr/pgsql-16/bin");
        install(root.path(), "usr/lib/postgresql/15/bin");
        fs::create_dir_all(root.path().join("usr/lib/postgresql/18/bin")).expect("a folder");

        let path = env::join_paths([Path::new("/nowhere"), &own]).expect("a PATH");
        let found: Vec<String> = candidates(&path, root.path())
            .iter()
            .map(|bin| bin.strip_prefix(root.path()).expect("inside").display().to_string())
            .collect();
        let lib = |version| format!("usr/lib/postgresql/{version}/bin");
        assert_eq!(
            found,
            ["own".to_owned(), lib("17"), lib("15"), lib("9.6"), "usr/pgsql-16/bin".to_owned()]
        );
    }

    #[test]
    fn the_major_version_is_the_first_number() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("16\n"), Some(16));
        assert_eq!(major("nothing"), None);
    }

    #[tokio::test]
    async fn a_version_that_is_not_installed_is_named_with_the_remedy() {
        let error = Binaries::find(Some(7)).await.expect_err("nobody has Postgres 7");
        let message = error.to_string();
        assert!(message.starts_with("Postgres 7, which made this folder, is not installed"));
        assert!(message.contains("apt-get install -y postgresql"), "{message}");
    }
}
