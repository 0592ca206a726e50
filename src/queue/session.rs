//! One process start, as the store knows it.

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
}

impl ThisProcess {
    /// The process that asks.
    pub fn new() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::env::var("HOSTNAME"))
            .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned());
        Self { host, pid: std::process::id(), version: env!("CARGO_PKG_VERSION") }
    }
}

impl Default for ThisProcess {
    fn default() -> Self {
        Self::new()
    }
}
