//! What an attempt writes down while it runs: a cursor for the attempt after it, and its progress for
//! those who watch.
//!
//! A cursor is in the store when the call that saves it returns; progress, which may be told a thousand
//! times a second, is written by the dispatcher now and then, and for the last time with the attempt's
//! own end. Both carry the attempt's fence.

use super::error::Error;
use super::gate::invalid::Invalid;
use super::job::Attempt;
use super::store::{Lease, Store};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The longest cursor, in bytes of JSON.
pub const CURSOR_MAX: usize = 1 << 20;
/// A sentence about progress is kept up to this length, in characters.
const TEXT_MAX: usize = 500;

/// How far a job has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// So much is done.
    pub done: u64,
    /// Of so much, if that is known.
    pub total: Option<u64>,
    /// What it is about at the moment.
    pub text: Option<String>,
}

impl Attempt {
    /// This attempt, with a store to keep its cursor in. A worker's attempts have one.
    #[must_use]
    pub fn through(mut self, store: impl Store) -> Self {
        self.notes = Notes::kept_by(Arc::new(store));
        self
    }

    /// What [`save_cursor`](Self::save_cursor) was given last, by this attempt or one before it:
    /// whether that failed, was snoozed, or died with its process. It is read when it is asked for, so
    /// a job without a cursor pays nothing for it.
    ///
    /// A cursor that cannot be read as a `C`, because another build wrote it, is none: the job begins
    /// anew, which it must be able to do anyhow.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when the attempt is not the job's current one any more.
    pub async fn cursor<C: DeserializeOwned>(&self) -> Result<Option<C>, Error> {
        let found = self.notes.cursors()?.load(&self.lease).await?;
        Ok(self.read(found))
    }

    /// The same, read in a transaction of the handler's own.
    ///
    /// # Errors
    /// As [`cursor`](Self::cursor).
    pub async fn cursor_in<C: DeserializeOwned>(
        &self,
        transaction: &mut PgConnection,
    ) -> Result<Option<C>, Error> {
        let found = super::postgres::cursor_in(transaction, &self.lease).await?;
        Ok(self.read(found))
    }

    /// Keeps the place from which the next attempt goes on, whatever becomes of this one. It is in the
    /// store when this returns. `None` takes it away.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when the attempt is not the job's current one any more: stop.
    /// [`Error::Invalid`] when it is longer than [`CURSOR_MAX`].
    pub async fn save_cursor(&self, cursor: &(impl Serialize + Sync)) -> Result<(), Error> {
        let cursor = self.write(cursor)?;
        self.notes.cursors()?.save(&self.lease, &cursor).await
    }

    /// The same in the handler's own transaction, so that the cursor and the data of which it speaks
    /// become visible together or not at all. The job's row stays locked until the transaction ends.
    ///
    /// # Errors
    /// As [`save_cursor`](Self::save_cursor): roll back.
    pub async fn save_cursor_in(
        &self,
        transaction: &mut PgConnection,
        cursor: &(impl Serialize + Sync),
    ) -> Result<(), Error> {
        let cursor = self.write(cursor)?;
        super::postgres::save_cursor_in(transaction, &self.lease, &cursor).await
    }

    /// Tells those who watch how far it has come. Costs nothing, so tell it as often as you like: it is
    /// written once in a while, and for the last time when the attempt ends.
    pub fn progress<'a>(
        &self,
        done: u64,
        total: impl Into<Option<u64>>,
        text: impl Into<Option<&'a str>>,
    ) {
        let text = text.into().map(|text| {
            // Postgres cannot store a NUL.
            text.chars().take(TEXT_MAX).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect()
        });
        self.notes.tell(Progress { done, total: total.into(), text });
    }

    fn read<C: DeserializeOwned>(&self, found: Option<Value>) -> Option<C> {
        serde_json::from_value(found?)
            .inspect_err(|error| {
                let (job_id, kind) = (self.lease.job_id, self.lease.kind.as_str());
                tracing::warn!(job_id, kind, %error, "the cursor cannot be read: the job begins anew");
            })
            .ok()
    }

    fn write(&self, cursor: &impl Serialize) -> Result<Value, Error> {
        let invalid = |why: String| Error::Invalid(Invalid::new("cursor", why));
        let kind = &self.lease.kind;
        let cursor = serde_json::to_value(cursor).map_err(|error| {
            invalid(format!("that of this {kind:?} job cannot be written as JSON: {error}"))
        })?;
        let length = cursor.to_string().len();
        if length > CURSOR_MAX {
            return Err(invalid(format!(
                "that of this {kind:?} job has {length} bytes, more than {CURSOR_MAX}: keep what was \
                 found in a table of your own, and in the cursor only where to go on"
            )));
        }
        if has_nul(&cursor) {
            return Err(invalid(format!(
                "that of this {kind:?} job has a NUL in a text, which Postgres cannot store: take it out"
            )));
        }
        Ok(cursor)
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Where cursors are kept: every [`Store`], as something that an attempt can hold.
pub(super) trait Cursors: Send + Sync {
    fn load<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Option<Value>, Error>>;
    fn save<'a>(&'a self, lease: &'a Lease, cursor: &'a Value) -> BoxFuture<'a, Result<(), Error>>;
}

impl<S: Store> Cursors for S {
    fn load<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Option<Value>, Error>> {
        self.cursor(lease).boxed()
    }

    fn save<'a>(&'a self, lease: &'a Lease, cursor: &'a Value) -> BoxFuture<'a, Result<(), Error>> {
        self.save_cursor(lease, cursor).boxed()
    }
}

/// What an attempt and its worker share.
#[derive(Clone, Default)]
pub(super) struct Notes {
    latest: Arc<Mutex<Latest>>,
    cursors: Option<Arc<dyn Cursors>>,
}

/// The progress that was told last.
#[derive(Default)]
struct Latest {
    progress: Option<Progress>,
    unwritten: bool,
}

impl Notes {
    pub(super) fn kept_by(cursors: Arc<dyn Cursors>) -> Self {
        Self { latest: Arc::default(), cursors: Some(cursors) }
    }

    fn cursors(&self) -> Result<&dyn Cursors, Error> {
        let remedy =
            "this attempt has no store: use save_cursor_in and cursor_in, or Attempt::through";
        self.cursors.as_deref().ok_or_else(|| Error::Invalid(Invalid::new("cursor", remedy)))
    }

    fn tell(&self, progress: Progress) {
        *self.latest() = Latest { progress: Some(progress), unwritten: true };
    }

    /// The progress that is not written yet.
    pub(super) fn unwritten(&self) -> Option<Progress> {
        let latest = self.latest();
        latest.progress.clone().filter(|_| latest.unwritten)
    }

    /// This much is written; what was told meanwhile is not.
    pub(super) fn written(&self, progress: &Progress) {
        let mut latest = self.latest();
        if latest.progress.as_ref() == Some(progress) {
            latest.unwritten = false;
        }
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        // A poisoned lock only means that a thread died while holding what is always consistent.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").field("progress", &self.latest().progress).finish_non_exhaustive()
    }
}
