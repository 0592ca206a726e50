//! Environment → typed settings: every variable the product reads stands in this file.
//!
//! A command asks for the settings it needs and for no others, and hears of every mistake at once:
//!
//! ```no_run
//! use recomamp::config::{Database, Keys, Settings};
//!
//! let (database, keys) = <(Database, Keys)>::from_env()?;
//! # Ok::<(), recomamp::config::Errors>(())
//! ```

mod parse;
mod reader;

pub use parse::duration;

pub use reader::{Errors, Problem, Reader, Settings, unknown};

use fernet::{Fernet, MultiFernet};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use url::Url;

/// One variable of the environment.
#[derive(Debug)]
pub struct Variable {
    /// As it is written in the environment.
    pub name: &'static str,
    /// What counts when it is unset or empty.
    pub default: Option<&'static str>,
    /// What it is, as a phrase that follows "it is".
    pub meaning: &'static str,
    /// A secret may also be given as a file, whose path stands in `<name>_FILE`.
    pub secret: bool,
}

const fn required(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default: None, meaning, secret: false }
}

const fn secret(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default: None, meaning, secret: true }
}

const fn defaulted(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default: Some(default), meaning, secret: false }
}

/// Every variable, in the order in which a new installation meets them.
#[rustfmt::skip]
pub const VARIABLES: &[Variable] = &[
    secret("DATABASE_URL", "the Postgres that holds everything, as in postgres://user:password@host:5432/database"),
    secret("RECOMAMP_ENCRYPTION_KEYS", "the Fernet keys that encrypt tokens at rest, separated by commas: the first encrypts, all decrypt; make one with `recomamp keys generate`"),
    required("RECOMAMP_LWA_CLIENT_ID", "the client id of your Login with Amazon application, as in amzn1.application-oa2-client.…"),
    secret("RECOMAMP_LWA_CLIENT_SECRET", "the client secret of your Login with Amazon application"),
    defaulted("RECOMAMP_AMC_URL_NA", "https://advertising-api.amazon.com", "the address of AMC's reporting API in North America"),
    defaulted("RECOMAMP_AMC_URL_EU", "https://advertising-api-eu.amazon.com", "the address of AMC's reporting API in Europe"),
    defaulted("RECOMAMP_AMC_URL_FE", "https://advertising-api-fe.amazon.com", "the address of AMC's reporting API in the Far East"),
    defaulted("RECOMAMP_LWA_TOKEN_URL_NA", "https://api.amazon.com/auth/o2/token", "where Login with Amazon refreshes tokens for North America"),
    defaulted("RECOMAMP_LWA_TOKEN_URL_EU", "https://api.amazon.co.uk/auth/o2/token", "where Login with Amazon refreshes tokens for Europe"),
    defaulted("RECOMAMP_LWA_TOKEN_URL_FE", "https://api.amazon.co.jp/auth/o2/token", "where Login with Amazon refreshes tokens for the Far East"),
    defaulted("RECOMAMP_HTTP_CONNECT_TIMEOUT", "10s", "how long a connection to Amazon may take to open"),
    defaulted("RECOMAMP_HTTP_TIMEOUT", "60s", "how long one call to Amazon may take in all; a result file may take longer as long as bytes arrive"),
    defaulted("RECOMAMP_RESULTS_URL", "./.recomamp/results", "where whole result files are kept: a folder, or an address such as s3://bucket/prefix"),
    defaulted("RECOMAMP_RESULT_ROWS_MAX_BYTES", "64MiB", "the size up to which the rows of a result are also stored in the database"),
    defaulted("RECOMAMP_POLL_FIRST", "20s", "the pause before the first look at a new execution"),
    defaulted("RECOMAMP_POLL_MAX", "5m", "the longest pause between two looks at an execution"),
    defaulted("RECOMAMP_SUBMIT_LOOKUP", "2m", "how long AMC is searched for an execution whose submit was not answered, before it is sent again"),
    defaulted("RECOMAMP_CHECK_VERSIONS", "true", "whether AMC has to compile a new version of a workflow before its first execution on an instance: one dry run"),
    required("RECOMAMP_REUSE_RESULTS", "how old a result may be that an execution takes over instead of asking AMC the same again, as in 1h; never when unset. Weeks of backfills share theirs in any case"),
    defaulted("RECOMAMP_MAX_OPEN_PER_INSTANCE", "10", "how many executions may be open at one AMC instance"),
    defaulted("RECOMAMP_MAX_OPEN_PER_ACCOUNT", "200", "how many executions may be open at all instances of one AMC account"),
    defaulted("RECOMAMP_WEEK_ATTEMPTS", "5", "how many executions one week of a collection may use before it is given up"),
    defaulted("RECOMAMP_WEBHOOK_ALLOW", "none", "hosts, addresses and ranges that webhooks may call although they are not public or not encrypted, separated by commas, as in hooks.internal,10.1.0.0/16"),
    defaulted("RECOMAMP_CONCURRENCY", "16", "how many jobs one worker process runs at once: a number for every queue, or a list such as 16,reports=2"),
    defaulted("RECOMAMP_POLLING_ONLY", "false", "whether to look for work by polling alone, which a transaction pooler such as PgBouncer needs"),
    defaulted("RECOMAMP_HISTORY_RETENTION", "30d", "how long finished jobs are kept"),
    defaulted("RECOMAMP_RESULT_RETENTION", "400d", "how long the rows and files of results are kept; what was counted and summed stays"),
    defaulted("RECOMAMP_RUN_RETENTION", "400d", "how long runs of schedules are kept that have ended, with their results; a schedule's own --keep-runs goes first"),
    defaulted("RECOMAMP_EVENT_RETENTION", "400d", "how long the journal of events is kept"),
    defaulted("RECOMAMP_ANSWER_RETENTION", "90d", "how long answers of Amazon that nobody expected are kept"),
    defaulted("RECOMAMP_HTTP_ADDR", "127.0.0.1:8080", "the address on which `recomamp serve` listens"),
    required("PORT", "the port on which `recomamp serve` listens on every interface, as platforms give it; RECOMAMP_HTTP_ADDR goes first"),
    required("RECOMAMP_METRICS_ADDR", "the address on which `work` and `schedule` show their metrics, as in 127.0.0.1:9464; off when unset"),
    defaulted("RECOMAMP_SHUTDOWN_GRACE", "20s", "how long running jobs may finish after the first stop signal"),
    defaulted("RECOMAMP_LOG", "info", "what is logged, as in info,recomamp::queue=debug"),
];

/// The database that decides everything.
#[derive(Debug, Clone)]
pub struct Database {
    /// A `postgres://` address, password included.
    pub url: SecretString,
    /// Never `LISTEN`: the connection goes through a transaction pooler.
    pub polling_only: bool,
}

impl Settings for Database {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let url = from.secret("DATABASE_URL", parse::database);
        let polling_only = from.parsed("RECOMAMP_POLLING_ONLY", parse::boolean);
        Some(Self { url: url?, polling_only: polling_only? })
    }
}

/// The keys that encrypt tokens at rest. There is always at least one.
#[derive(Clone)]
pub struct Keys {
    ring: Vec<Fernet>,
}

impl Keys {
    /// Encrypts with the first key and decrypts with any.
    pub fn ring(&self) -> MultiFernet {
        MultiFernet::new(self.ring.clone())
    }

    /// The key that encrypts, alone: what it does not open is still sealed with an older one.
    pub fn newest(&self) -> &Fernet {
        // There is always one: no ring is read without a key.
        &self.ring[0]
    }

    /// How many keys there are; more than one while keys are being rotated.
    pub fn count(&self) -> usize {
        self.ring.len()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} of them)", self.ring.len())
    }
}

impl Settings for Keys {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut ring = Vec::new();
        from.secret("RECOMAMP_ENCRYPTION_KEYS", |text| {
            ring = parse::keys(text)?;
            Ok(())
        })?;
        Some(Self { ring })
    }
}

/// For whoever can do a part of its work without keys. Keys that are wrong are an error all the same.
impl Settings for Option<Keys> {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let names = ["RECOMAMP_ENCRYPTION_KEYS", "RECOMAMP_ENCRYPTION_KEYS_FILE"];
        if names.iter().any(|name| from.is_set(name)) {
            return Keys::read(from).map(Some);
        }
        Some(None)
    }
}

/// Who we are to Login with Amazon.
#[derive(Debug, Clone)]
pub struct Lwa {
    /// The application's public name.
    pub client_id: String,
    /// The application's password.
    pub client_secret: SecretString,
}

impl Settings for Lwa {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let client_id = from.text("RECOMAMP_LWA_CLIENT_ID");
        let client_secret = from.secret("RECOMAMP_LWA_CLIENT_SECRET", |_| Ok(()));
        Some(Self { client_id: client_id?, client_secret: client_secret? })
    }
}

/// Where one region of Amazon answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// AMC's reporting API.
    pub amc: Url,
    /// Login with Amazon's token endpoint.
    pub token: Url,
}

/// Where Amazon answers, in each of its regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmcHosts {
    /// North America.
    pub na: Region,
    /// Europe.
    pub eu: Region,
    /// The Far East.
    pub fe: Region,
}

impl Settings for AmcHosts {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut region = |amc, token| {
            let (amc, token) = (from.parsed(amc, parse::http), from.parsed(token, parse::http));
            Some(Region { amc: amc?, token: token? })
        };
        let na = region("RECOMAMP_AMC_URL_NA", "RECOMAMP_LWA_TOKEN_URL_NA");
        let eu = region("RECOMAMP_AMC_URL_EU", "RECOMAMP_LWA_TOKEN_URL_EU");
        let fe = region("RECOMAMP_AMC_URL_FE", "RECOMAMP_LWA_TOKEN_URL_FE");
        Some(Self { na: na?, eu: eu?, fe: fe? })
    }
}

/// How long calls to Amazon may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection is open.
    pub connect: Duration,
    /// Until the whole answer is there; for result files, until the next bytes are.
    pub total: Duration,
}

impl Settings for Timeouts {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let connect = from.parsed("RECOMAMP_HTTP_CONNECT_TIMEOUT", parse::duration);
        let total = from.parsed("RECOMAMP_HTTP_TIMEOUT", parse::duration);
        Some(Self { connect: connect?, total: total? })
    }
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    /// Where whole files are kept. A folder has become a `file:///` address.
    pub url: Url,
    /// Rows of larger results stay in their file alone. Bytes.
    pub rows_max_bytes: u64,
}

impl Results {
    /// Results in this folder, with everything else as by default.
    ///
    /// # Errors
    /// When the folder is not a path that has a `file:///` address.
    pub fn in_folder(folder: &Path) -> Result<Self, Errors> {
        let folder = folder.to_string_lossy().into_owned();
        Self::load(&|name| (name == "RECOMAMP_RESULTS_URL").then(|| folder.clone()))
    }
}

impl Settings for Results {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let url = from.parsed("RECOMAMP_RESULTS_URL", parse::folder_or_url);
        let rows_max_bytes = from.parsed("RECOMAMP_RESULT_ROWS_MAX_BYTES", parse::size);
        Some(Self { url: url?, rows_max_bytes: rows_max_bytes? })
    }
}

/// How often an open execution is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polling {
    /// Before the first look.
    pub first: Duration,
    /// Between any two looks, at most.
    pub max: Duration,
    /// An execution that AMC has not shown so long after a submit without an answer is not there.
    pub lookup: Duration,
}

impl Settings for Polling {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let first = from.parsed("RECOMAMP_POLL_FIRST", parse::duration);
        let max = from.parsed("RECOMAMP_POLL_MAX", parse::duration);
        let lookup = from.parsed("RECOMAMP_SUBMIT_LOOKUP", parse::duration);
        let (first, max, lookup) = (first?, max?, lookup?);
        if first > max {
            from.problem("RECOMAMP_POLL_FIRST", "is longer than RECOMAMP_POLL_MAX: swap them");
            return None;
        }
        Some(Self { first, max, lookup })
    }
}

/// What happens before an execution is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitting {
    /// AMC compiles a new version first, once for each instance.
    pub check_versions: bool,
    /// A result no older than this answers an execution that asks the same; none for never.
    pub reuse_results: Option<Duration>,
}

impl Settings for Submitting {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let check_versions = from.parsed("RECOMAMP_CHECK_VERSIONS", parse::boolean);
        let reuse_results = from.optional("RECOMAMP_REUSE_RESULTS", parse::duration);
        Some(Self { check_versions: check_versions?, reuse_results: reuse_results? })
    }
}

/// How much the engine may ask of Amazon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Executions open at one AMC instance.
    pub max_open_per_instance: u32,
    /// Executions open at all instances of one account.
    pub max_open_per_account: u32,
    /// Executions that one week of a collection may use.
    pub week_attempts: u32,
}

impl Settings for Limits {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let instance = from.parsed("RECOMAMP_MAX_OPEN_PER_INSTANCE", parse::count);
        let account = from.parsed("RECOMAMP_MAX_OPEN_PER_ACCOUNT", parse::count);
        let week = from.parsed("RECOMAMP_WEEK_ATTEMPTS", parse::count);
        Some(Self {
            max_open_per_instance: instance?,
            max_open_per_account: account?,
            week_attempts: week?,
        })
    }
}

/// Where webhooks may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Webhooks {
    /// What they may call although it is not public or not encrypted, as it is written.
    pub allow: String,
}

impl Settings for Webhooks {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let allow = from.text("RECOMAMP_WEBHOOK_ALLOW")?;
        Some(Self { allow: if allow == "none" { String::new() } else { allow } })
    }
}

/// How much one worker process does at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    everywhere: u32,
    queues: BTreeMap<String, u32>,
}

impl Worker {
    /// How many jobs of this queue one process runs at once.
    pub fn concurrency(&self, queue: &str) -> u32 {
        self.queues.get(queue).copied().unwrap_or(self.everywhere)
    }

    /// The queues that have a number of their own, so that a misspelt one can be reported.
    pub fn named_queues(&self) -> impl Iterator<Item = &str> {
        self.queues.keys().map(String::as_str)
    }
}

impl Settings for Worker {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (everywhere, queues) = from.parsed("RECOMAMP_CONCURRENCY", parse::concurrency)?;
        Some(Self { everywhere, queues })
    }
}

/// How long what is finished is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Finished jobs.
    pub history: Duration,
    /// Rows and files of results.
    pub results: Duration,
    /// Runs of schedules that do not say how many they keep.
    pub runs: Duration,
    /// The journal.
    pub events: Duration,
    /// Answers that nobody expected.
    pub answers: Duration,
}

impl Settings for Retention {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let history = from.parsed("RECOMAMP_HISTORY_RETENTION", parse::duration);
        let results = from.parsed("RECOMAMP_RESULT_RETENTION", parse::duration);
        let runs = from.parsed("RECOMAMP_RUN_RETENTION", parse::duration);
        let events = from.parsed("RECOMAMP_EVENT_RETENTION", parse::duration);
        let answers = from.parsed("RECOMAMP_ANSWER_RETENTION", parse::duration);
        Some(Self {
            history: history?,
            results: results?,
            runs: runs?,
            events: events?,
            answers: answers?,
        })
    }
}

/// Where `serve` listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serve {
    /// Interface and port.
    pub addr: SocketAddr,
}

impl Settings for Serve {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let addr = if from.is_set("RECOMAMP_HTTP_ADDR") || !from.is_set("PORT") {
            from.parsed("RECOMAMP_HTTP_ADDR", parse::address)?
        } else {
            let port = from.parsed("PORT", parse::port)?;
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
        };
        Some(Self { addr })
    }
}

/// How a long-running process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Where metrics are shown; `None` when they are off.
    pub metrics_addr: Option<SocketAddr>,
    /// Between the first stop signal and letting go.
    pub shutdown_grace: Duration,
}

impl Settings for Process {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let metrics_addr = from.optional("RECOMAMP_METRICS_ADDR", parse::address);
        let shutdown_grace = from.parsed("RECOMAMP_SHUTDOWN_GRACE", parse::duration);
        Some(Self { metrics_addr: metrics_addr?, shutdown_grace: shutdown_grace? })
    }
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// A `tracing` filter, as in `info,recomamp::queue=debug`.
    pub filter: String,
}

impl Settings for Logging {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { filter: from.parsed("RECOMAMP_LOG", parse::filter)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::fs;

    type Everything = (
        Database,
        Keys,
        Lwa,
        AmcHosts,
        (Timeouts, Results, Polling, Submitting),
        (Limits, Webhooks, Worker, Retention, Serve, Process, Logging),
    );

    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";

    /// An environment that holds these variables and nothing else.
    fn only<const N: usize>(
        variables: [(&'static str, &'static str); N],
    ) -> impl Fn(&str) -> Option<String> {
        move |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        }
    }

    fn problems<S: Settings + fmt::Debug>(lookup: &dyn Fn(&str) -> Option<String>) -> String {
        S::load(lookup).expect_err("a mistake was expected").to_string()
    }

    #[test]
    fn every_variable_in_the_table_is_read_and_no_other() {
        let asked = RefCell::new(BTreeSet::new());
        let note = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            None
        };
        let _ = Everything::load(&note);
        let note_port = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            (name == "PORT").then(|| "80".to_owned())
        };
        let _ = Serve::load(&note_port);

        let table: BTreeSet<String> = VARIABLES
            .iter()
            .flat_map(|v| [Some(v.name.to_owned()), v.secret.then(|| format!("{}_FILE", v.name))])
            .flatten()
            .collect();
        assert_eq!(asked.into_inner(), table);
    }

    #[test]
    fn four_variables_are_enough_for_everything() {
        let lookup = only([
            ("DATABASE_URL", "postgres://amc:secret@localhost/amc"),
            ("RECOMAMP_ENCRYPTION_KEYS", KEY),
            ("RECOMAMP_LWA_CLIENT_ID", "amzn1.application-oa2-client.1"),
            ("RECOMAMP_LWA_CLIENT_SECRET", "secret"),
        ]);
        let (
            _,
            keys,
            _,
            hosts,
            (_, results, polling, _),
            (limits, _, worker, _, serve, process, _),
        ) = Everything::load(&lookup).expect("defaults fill the rest");
        assert_eq!(keys.count(), 1);
        assert_eq!(hosts.eu.amc.as_str(), "https://advertising-api-eu.amazon.com/");
        assert_eq!(results.rows_max_bytes, 64 << 20);
        assert_eq!(polling.first, Duration::from_secs(20));
        assert_eq!(limits.max_open_per_instance, 10);
        assert_eq!(worker.concurrency("any"), 16);
        assert_eq!(serve.addr.to_string(), "127.0.0.1:8080");
        assert_eq!(process.metrics_addr, None);
    }

    #[test]
    fn all_mistakes_are_reported_at_once_each_by_name() {
        let lookup = only([
            ("DATABASE_URL", "mysql://root:hunter2@localhost"),
            ("RECOMAMP_POLL_FIRST", "soon"),
            ("RECOMAMP_MAX_OPEN_PER_INSTANCE", "0"),
        ]);
        let message = problems::<(Database, Keys, Polling, Limits)>(&lookup);
        let lines: Vec<&str> = message.lines().collect();
        assert_eq!(lines.len(), 4, "{message}");
        assert!(lines[0].starts_with("DATABASE_URL is not a Postgres address: write "));
        assert!(lines[1].starts_with("RECOMAMP_ENCRYPTION_KEYS is not set: it is "));
        assert!(lines[2].starts_with("RECOMAMP_POLL_FIRST is not a duration: write "));
        assert!(lines[3].starts_with("RECOMAMP_MAX_OPEN_PER_INSTANCE is not a count: write "));
    }

    #[test]
    fn no_message_and_no_debug_output_shows_a_secret() {
        let bad = only([
            ("DATABASE_URL", "hunter2"),
            ("RECOMAMP_ENCRYPTION_KEYS", "hunter2"),
            ("RECOMAMP_LWA_CLIENT_SECRET", "hunter2"),
        ]);
        let message = problems::<(Database, Keys, Lwa)>(&bad);
        assert!(!message.contains("hunter2"), "{message}");

        let good = only([
            ("DATABASE_URL", "postgres://amc:hunter2@localhost/amc"),
            ("RECOMAMP_ENCRYPTION_KEYS", KEY),
            ("RECOMAMP_LWA_CLIENT_ID", "us"),
            ("RECOMAMP_LWA_CLIENT_SECRET", "hunter2"),
        ]);
        let settings = <(Database, Keys, Lwa)>::load(&good).expect("all is well");
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hunter2") && !shown.contains(KEY), "{shown}");
    }

    #[test]
    fn a_broken_key_is_named_by_its_place_and_the_remedy_makes_one() {
        let lookup =
            |name: &str| (name == "RECOMAMP_ENCRYPTION_KEYS").then(|| format!("{KEY}, too-short"));
        let message = problems::<Keys>(&lookup);
        assert!(message.contains("number 2 of 2"), "{message}");
        assert!(message.contains("recomamp keys generate"), "{message}");
    }

    #[test]
    fn the_first_key_encrypts_and_all_decrypt() {
        let old_key = Fernet::generate_key();
        let token = Fernet::new(&old_key).expect("a key").encrypt(b"refresh token");
        let lookup =
            |name: &str| (name == "RECOMAMP_ENCRYPTION_KEYS").then(|| format!("{KEY},{old_key}"));
        let ring = Keys::load(&lookup).expect("two keys").ring();
        assert_eq!(ring.decrypt(&token).as_deref(), Ok(b"refresh token".as_slice()));
        let newest = Fernet::new(KEY).expect("a key");
        assert!(newest.decrypt(&ring.encrypt(b"x")).is_ok());
    }

    #[test]
    fn a_secret_may_stand_in_a_file_but_not_in_two_places() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "postgres://amc:secret@localhost/amc\n").expect("written");
        let path = file.path().display().to_string();
        let lookup = |name: &str| (name == "DATABASE_URL_FILE").then(|| path.clone());
        let database = Database::load(&lookup).expect("read from the file");
        assert_eq!(database.url.expose_secret(), "postgres://amc:secret@localhost/amc");

        let twice = |_: &str| Some(path.clone());
        assert!(problems::<Database>(&twice).contains("DATABASE_URL_FILE are both set"));
        let missing = only([("DATABASE_URL_FILE", "/nowhere/at/all")]);
        assert!(problems::<Database>(&missing).starts_with("DATABASE_URL_FILE names /nowhere"));
    }

    #[test]
    fn a_misspelt_variable_is_reported_with_the_one_that_was_meant() {
        let names = ["RECOMAMP_POL_MAX", "RECOMAMP_WHATEVER", "RECOMAMP_LOG", "PATH"]
            .into_iter()
            .chain(["RECOMAMP_ENCRYPTION_KEYS_FILE", "RECOMAMP_TEST_DATABASE_URL"]);
        let problems = unknown(names.map(str::to_owned));
        let messages: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            messages,
            [
                "RECOMAMP_POL_MAX is not a setting: did you mean RECOMAMP_POLL_MAX?",
                "RECOMAMP_WHATEVER is not a setting: unset it (the README lists all)",
            ]
        );
    }

    #[test]
    fn a_platforms_port_opens_every_interface_and_an_address_goes_first() {
        let addr = |lookup: &dyn Fn(&str) -> Option<String>| {
            Serve::load(lookup).expect("an address").addr.to_string()
        };
        assert_eq!(addr(&only([("PORT", "5000")])), "0.0.0.0:5000");
        let both = only([("PORT", "5000"), ("RECOMAMP_HTTP_ADDR", "127.0.0.1:9000")]);
        assert_eq!(addr(&both), "127.0.0.1:9000");
        assert_eq!(addr(&only([("PORT", "")])), "127.0.0.1:8080");
    }

    #[test]
    fn the_first_poll_may_not_come_later_than_the_longest_pause() {
        let lookup = only([("RECOMAMP_POLL_FIRST", "10m")]);
        assert!(problems::<Polling>(&lookup).contains("longer than RECOMAMP_POLL_MAX"));
    }
}
