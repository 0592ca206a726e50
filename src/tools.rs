//! What a job may hold in its hands.

mod access;
pub mod gates;
mod judge;
pub mod resources;
pub mod rotation;
pub mod young;

pub use access::{Bearer, Pass, Place, SignedIn};
pub use judge::{block_instance, note_blocked};

use crate::config::{
    AmcHosts, Keys, Limits, Lwa, Polling, Results, Retention, Submitting, Timeouts, Webhooks,
};
use crate::queue::{NewJob, Queue};
use crate::reports::files::ResultFiles;
use crate::store::{Region, UserId};
use crate::webhooks::Sender;
use crate::{amc, config, metrics};
use fernet::MultiFernet;
use sqlx::PgPool;
use std::sync::Arc;

/// What a job may hold in its hands.
pub struct Tools {
    /// Everything that is stored.
    pub db: PgPool,
    /// Where jobs are asked for.
    pub queue: Queue,
    /// Speaks to Amazon.
    pub amc: amc::Client,
    /// Where whole results are kept.
    pub files: ResultFiles,
    /// Rows of larger results stay in their file alone. Bytes.
    pub rows_max_bytes: usize,
    /// How often open executions are looked at.
    pub polling: Polling,
    /// How many executions may be open on an instance that is new.
    pub limits: Limits,
    /// Tells others.
    pub webhooks: Sender,
    /// What happens before an execution is sent.
    pub submitting: Submitting,
    /// How long what is finished is kept.
    pub retention: Retention,
    keys: MultiFernet,
    lwa: Lwa,
    hosts: AmcHosts,
    renewal: Renewal,
}

/// Makes the job that renews a user's token of this generation. It is handed in, because jobs know
/// their tools and not the other way round.
pub type Renewal = fn(UserId, i64) -> Result<NewJob, crate::queue::Error>;

/// The settings that tools are made from.
pub type Settings =
    (Keys, Lwa, AmcHosts, Timeouts, Results, (Polling, Submitting), (Limits, Webhooks), Retention);

/// Why tools cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client of Amazon.
    #[error(transparent)]
    Client(#[from] amc::SetupError),
    /// The store of results.
    #[error("RECOMAMP_RESULTS_URL cannot be used: {0}")]
    Files(#[from] crate::reports::files::Error),
    /// Where webhooks may go.
    #[error("RECOMAMP_WEBHOOK_ALLOW cannot be read: {0}")]
    Webhooks(String),
}

impl Tools {
    /// Tools for the jobs of this database.
    pub fn new(
        db: PgPool,
        queue: Queue,
        settings: Settings,
        renewal: Renewal,
    ) -> Result<Self, Error> {
        let (
            keys,
            lwa,
            hosts,
            timeouts,
            results,
            (polling, submitting),
            (limits, webhooks),
            retention,
        ) = settings;
        let amc = amc::Client::new(amc::Settings {
            connect_timeout: timeouts.connect,
            timeout: timeouts.total,
            on_call: Some(Arc::new(|call| {
                metrics::upstream_called(call.operation.as_str(), &call.code(), call.duration);
            })),
            ..amc::Settings::default()
        })?;
        Ok(Self {
            db,
            queue,
            amc,
            files: ResultFiles::open(results.url.as_str())?,
            rows_max_bytes: usize::try_from(results.rows_max_bytes).unwrap_or(usize::MAX),
            polling,
            limits,
            webhooks: Sender::new(webhooks.allow.parse().map_err(Error::Webhooks)?),
            submitting,
            retention,
            keys: keys.ring(),
            lwa,
            hosts,
            renewal,
        })
    }

    /// Where this region of Amazon answers.
    pub fn host(&self, region: Region) -> &config::Region {
        match region {
            Region::Na => &self.hosts.na,
            Region::Eu => &self.hosts.eu,
            Region::Fe => &self.hosts.fe,
        }
    }
}
