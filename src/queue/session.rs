//! One process start, as the store knows it.

use std::collections::BTreeMap;

/// Names one start of one process. Never used again by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub i64);

/// What a process says about itself.
#[derive(Debug, Clone)]
pub struct ThisProcess {
    /// The machine it runs on.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// The build it runs.
    pub version: &'static str,
    /// The queues it works on, each with its slots; `None` when it does not say.
    pub queues: Option<BTreeMap<String, usize>>,
    /// The kinds it can run, each with the newest version it can read; `None` for any.
    pub kinds: Option<BTreeMap<String, i16>>,
}

impl ThisProcess {
    /// The process that asks.
    pub fn new() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::env::var("HOSTNAME"))
            .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned());
        let version = env!("CARGO_PKG_VERSION");
        Self { host, pid: std::process::id(), version, queues: None, kinds: None }
    }

    /// It works on these queues, and can run these kinds.
    #[must_use]
    pub fn working(mut self, queues: &[(String, usize)], kinds: &[(&'static str, i16)]) -> Self {
        self.queues = Some(queues.iter().cloned().collect());
        let kinds = kinds.iter().map(|(kind, version)| ((*kind).to_owned(), *version));
        self.kinds = Some(kinds.collect());
        self
    }
}

impl Default for ThisProcess {
    fn default() -> Self {
        Self::new()
    }
}
