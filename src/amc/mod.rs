//! The AMC client: the only place that speaks HTTP to Amazon. An island: it imports no other room.
//!
//! The words, from Amazon's `OpenAPI` files ("Workflow Management Service", "AMC Administration"):
//!
//! - an **instance** is a clean room with a text id of AMC's own ([`AmcInstanceId`]);
//! - an **account** owns instances and is named in a header ([`EntityId`], with its [`MarketplaceId`]);
//! - a **workflow** is a saved query, an **execution** is one run of a query over a time window;
//! - a **download URL** is a signed address in a storage service, good for ten minutes;
//! - an **access token** comes from Login with Amazon and lives for an hour.
//!
//! Three promises:
//!
//! 1. Nothing is repeated behind the caller's back: one method call is one request (a list: one per
//!    page), except that a body refused with 415 is sent once more as plain JSON. Retrying is the
//!    queue's work.
//! 2. Every failure has a [`Class`], decided where it is born. A submit whose answer got lost is
//!    [`Class::Unknown`]: it may have been accepted, so it must be looked up, never sent again.
//! 3. Tokens, secrets and signatures are in no log line, no `Debug` and no error.

// The words.
mod error;
mod ids;
mod operation;
mod region;
mod sql;
mod status;
mod window;

// How a call goes out and what comes back.
mod access;
mod answer;
mod call;
mod classify;
mod client;
mod json;
mod page;
mod retry_after;
mod said;
mod settings;

// The calls.
mod download;
mod execution;
mod filter;
mod instance;
mod submit;
mod token;
mod workflow;

#[cfg(test)]
mod tests;

pub use access::{Access, Caller};
pub use client::Client;
pub use download::{Download, DownloadUrls, SignedUrl};
pub use error::{Class, Error};
pub use execution::{Execution, OutputChannel, OutputColumn};
pub use filter::ExecutionFilter;
pub use ids::{AmcExecutionId, AmcInstanceId, AmcWorkflowId, EntityId, IdError};
pub use instance::{Account, Instance};
pub use operation::{CallReport, Operation};
pub use region::{MarketplaceId, Region};
pub use settings::{Observer, Settings, SetupError};
pub use sql::{INLINE_CHARS_MAX, Sql, SqlError};
pub use status::Status;
pub use submit::{InvalidRequest, NewExecution};
pub use token::{TokenClass, TokenError, Tokens};
pub use window::{RelativeWindow, TimeWindow, Window, WindowError};
pub use workflow::{Created, InputParameter, NewWorkflow, Workflow};
