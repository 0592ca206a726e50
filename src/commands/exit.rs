//! How a command can end, as other programs see it.

use crate::backfill::request::StartError;
use crate::register::RegisterError;
use crate::schedule::manage::ManageError;
use crate::steering::{BatchError, SteerError};
use crate::webhooks::guard;
use crate::{config, parameters, queue, tools};
use std::process::ExitCode;

/// How a command that did not fail has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Done,
    /// It looked, and something is not as it should be.
    Unhealthy,
    /// The backfill that it watched ended without all its weeks.
    Incomplete,
    /// A person stopped it with Ctrl-C, and what it watched goes on.
    Interrupted,
}

/// What was given is wrong: the command line, a file that it names, or a setting.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub(super) String);

impl Exit {
    /// For a command that can only succeed or fail.
    pub(super) fn done((): ()) -> Self {
        Self::Done
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Unhealthy => 3,
            Exit::Incomplete => 5,
            // 128 + SIGINT, as shells say it.
            Exit::Interrupted => 130,
        })
    }
}

/// How a command that failed has ended: 2 when what it was given is wrong and has to be changed, as when
/// clap refuses it; 1 when it is refused as things stand, or went wrong.
///
/// HTTP draws the same line: what it answers with 422 is 2 here, and 404, 409 and 5xx are 1.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(if is_wrong(error) { 2 } else { 1 })
}

fn is_wrong(error: &anyhow::Error) -> bool {
    error.is::<Wrong>()
        || error.is::<config::Errors>()
        || error.is::<parameters::Invalid>()
        || error.is::<guard::Refused>()
        || matches!(error.downcast_ref(), Some(queue::Error::Invalid(_)))
        || matches!(error.downcast_ref(), Some(tools::Error::Webhooks(_)))
        || error.downcast_ref().is_some_and(start)
        || error.downcast_ref().is_some_and(batch)
        || error.downcast_ref().is_some_and(steer)
        || error.downcast_ref().is_some_and(manage)
        || error.downcast_ref().is_some_and(register)
}

fn start(error: &StartError) -> bool {
    use StartError::{NoWorkflow, Parameters, Plan};
    matches!(error, NoWorkflow | Parameters(_) | Plan(_))
}

fn batch(error: &BatchError) -> bool {
    use BatchError::{EmptyWindow, NoInstance, NoReason, Start, TooOld, TooRecent};
    match error {
        Start(error) => start(error),
        NoInstance | TooOld(_) | EmptyWindow { .. } | TooRecent { .. } | NoReason => true,
        _ => false,
    }
}

fn steer(error: &SteerError) -> bool {
    use SteerError::{Database, Ended, KeptOut, Queue, Unknown, UnknownPlan, Unreadable};
    !matches!(
        error,
        Unknown(_)
            | UnknownPlan(_)
            | Ended { .. }
            | KeptOut { .. }
            | Unreadable { .. }
            | Queue(_)
            | Database(_)
    )
}

fn manage(error: &ManageError) -> bool {
    use ManageError::{NoReason, Number, Parameters, ResumesTooEarly, Unreadable};
    matches!(error, NoReason | Number { .. } | Parameters(_) | ResumesTooEarly | Unreadable(_))
}

fn register(error: &RegisterError) -> bool {
    use RegisterError::{Database, Queue, Refused, Taken, Unknown};
    match error {
        Queue(error) => matches!(error, queue::Error::Invalid(_)),
        Unknown { .. } | Taken(_) | Refused(_) | Database(_) => false,
        _ => true,
    }
}
