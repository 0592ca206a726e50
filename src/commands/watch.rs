//! Follows a backfill to its end: a bar on a terminal, one line per change elsewhere.

use super::Exit;
use crate::backfill::plans::{self, MemberStatus, PlanStatus};
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

/// What is followed.
#[derive(Debug, Clone, Copy)]
pub enum Followed<'a> {
    /// A collection, by its public id.
    Collection(&'a str),
    /// A plan, by its public id.
    Plan(&'a str),
}

/// Where it stands, as far as it is shown.
struct Standing {
    status: CollectionStatus,
    progress: Progress,
    row_count: i64,
    /// Why nothing moves, or why something does not.
    paused: Option<String>,
    last_error: Option<String>,
}

/// Shows how far it is until it ends, or until Ctrl-C. A database that is away for a while is waited for.
pub async fn follow(db: &PgPool, followed: Followed<'_>) -> Result<Exit> {
    let mut shown = Shown::new();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            // Listens for Ctrl-C before anything is shown.
            biased;
            _ = &mut interrupted => {
                shown.end();
                eprintln!("The backfill goes on: `{}` looks again.", followed.again());
                return Ok(Exit::Interrupted);
            }
            _ = looks.tick() => {}
        }
        match followed.look(db).await {
            Ok(Some(standing)) => {
                let paused = standing.paused.as_deref().map(|why| format!(" · paused: {why}"));
                shown.progress(&standing.progress, &paused.unwrap_or_default());
                if standing.status.is_terminal() {
                    shown.end();
                    return Ok(followed.ended(&standing));
                }
            }
            Ok(None) => bail!("{}", followed.unknown()),
            Err(error) => {
                shown.line(&format!("the database does not answer ({error}): waiting for it"));
            }
        }
    }
}

impl Followed<'_> {
    /// Its public id.
    pub fn id(&self) -> &str {
        match self {
            Self::Collection(id) | Self::Plan(id) => id,
        }
    }

    /// The command that follows it.
    pub fn again(&self) -> String {
        format!("{} --watch", self.shown_by())
    }

    /// The command that shows all of it.
    fn shown_by(&self) -> String {
        match self {
            Self::Collection(id) => format!("recomamp status {id}"),
            Self::Plan(id) => format!("recomamp plans show {id}"),
        }
    }

    fn unknown(&self) -> String {
        match self {
            Self::Collection(id) => format!("there is no collection {id}: see `recomamp status`"),
            Self::Plan(id) => format!("there is no plan {id}: see `recomamp plans list`"),
        }
    }

    async fn look(&self, db: &PgPool) -> Result<Option<Standing>, sqlx::Error> {
        let mut connection = db.acquire().await?;
        Ok(match self {
            Self::Collection(id) => status::of(&mut connection, id).await?.map(Standing::from),
            Self::Plan(id) => plans::of(&mut connection, id).await?.map(Standing::from),
        })
    }

    fn ended(&self, standing: &Standing) -> Exit {
        let rows = counted(standing.row_count, "row", "rows");
        eprintln!("{} is {}: {rows}.", self.id(), standing.status);
        if standing.status == CollectionStatus::Completed {
            return Exit::Done;
        }
        if let Some(error) = &standing.last_error {
            eprintln!("Last error: {error}");
        }
        let parts = match self {
            Self::Collection(_) => "weeks",
            Self::Plan(_) => "collections",
        };
        eprintln!("`{}` lists its {parts}.", self.shown_by());
        Exit::Incomplete
    }
}

impl From<Status> for Standing {
    fn from(collection: Status) -> Self {
        Self {
            status: collection.status,
            progress: collection.progress,
            row_count: collection.row_count,
            paused: collection.pause_reason,
            last_error: collection.last_error,
        }
    }
}

impl From<PlanStatus> for Standing {
    fn from(plan: PlanStatus) -> Self {
        let all = plan.collections.len();
        let is_paused = |one: &MemberStatus| one.status == CollectionStatus::Paused;
        let (paused, others): (Vec<_>, Vec<_>) = plan.collections.into_iter().partition(is_paused);
        let many = paused.len();
        let why = paused.into_iter().find_map(|one| one.last_error);
        Self {
            status: plan.status,
            progress: plan.progress,
            row_count: plan.row_count,
            paused: why.map(|why| format!("{why} ({many} of {all} collections)")),
            last_error: others.into_iter().find_map(|one| one.last_error),
        }
    }
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
