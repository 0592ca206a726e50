//! Follows a backfill to its end: a bar on a terminal, one line per change elsewhere.

use super::Exit;
use crate::backfill::progress::Progress;
use crate::backfill::status::{self, Status};
use crate::plural::counted;
use crate::store::collections::CollectionStatus;
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::PgPool;
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Shows how far the backfill is until it ends, or until Ctrl-C. A database that is away for a while
/// is waited for.
pub async fn follow(db: &PgPool, collection_id: &str) -> Result<Exit> {
    let mut shown = Shown::new();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            _ = &mut interrupted => {
                shown.end();
                eprintln!("The backfill goes on: `recomamp status {collection_id} --watch` looks again.");
                return Ok(Exit::Interrupted);
            }
        }
        match look(db, collection_id).await {
            Ok(Some(status)) => {
                shown.progress(&status.progress, &paused(&status));
                if status.status.is_terminal() {
                    shown.end();
                    return Ok(ended(&status));
                }
            }
            Ok(None) => bail!("there is no collection {collection_id}: see `recomamp status`"),
            Err(error) => {
                shown.line(&format!("the database does not answer ({error}): waiting for it"));
            }
        }
    }
}

async fn look(db: &PgPool, collection_id: &str) -> Result<Option<Status>, sqlx::Error> {
    status::of(&mut *db.acquire().await?, collection_id).await
}

/// Why nothing moves, when somebody has paused it.
fn paused(status: &Status) -> String {
    match &status.pause_reason {
        Some(reason) => format!(" · paused: {reason}"),
        None => String::new(),
    }
}

fn ended(status: &Status) -> Exit {
    let rows = counted(status.row_count, "row", "rows");
    eprintln!("{} is {}: {rows}.", status.collection_id, status.status);
    if status.status == CollectionStatus::Completed {
        return Exit::Done;
    }
    if let Some(error) = &status.last_error {
        eprintln!("Last error: {error}");
    }
    eprintln!("`recomamp status {}` lists its weeks.", status.collection_id);
    Exit::Incomplete
}

/// What stands on the screen.
pub(super) enum Shown {
    /// A bar, on a terminal.
    Bar(ProgressBar),
    /// One line per change, elsewhere.
    Lines {
        /// The line that was written last.
        last: String,
    },
}

impl Shown {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines { last: String::new() };
        }
        let bar = ProgressBar::new(0);
        // A bar without a style of ours is still a bar.
        if let Ok(style) = ProgressStyle::with_template("[{bar:40}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self::Bar(bar)
    }

    /// How far it is, and what else there is to say of it.
    pub(super) fn progress(&mut self, progress: &Progress, more: &str) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(progress.total);
                bar.set_position(progress.done + progress.failed + progress.cancelled);
                bar.set_message(format!("{progress}{more}"));
            }
            // The estimate changes every second, and is no news.
            Self::Lines { .. } => {
                self.line(&format!("{}{more}", Progress { eta_seconds: None, ..*progress }));
            }
        }
    }

    fn line(&mut self, text: &str) {
        match self {
            Self::Bar(bar) => bar.set_message(text.to_owned()),
            Self::Lines { last } if last != text => {
                eprintln!("{text}");
                text.clone_into(last);
            }
            Self::Lines { .. } => {}
        }
    }

    /// Something that happened once. It stays on the screen.
    pub(super) fn event(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.println(text),
            Self::Lines { .. } => eprintln!("{text}"),
        }
    }

    /// Leaves the bar where it is.
    pub(super) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.abandon();
        }
    }
}
