//! One execution: its course, its state, and how AMC shows it.

use super::results;
use super::settings::Settings;
use super::window::{Window, seconds};
use super::workflows::Workflow;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Pending,
    Running,
    Publishing,
    Succeeded,
    Failed,
    Cancelled,
    Rejected,
}

/// What will become of an execution, decided when it is created.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Course {
    /// It stays pending.
    Stuck,
    /// Validation ends it.
    Refused(Status, String),
    /// It is only compiled.
    Dry,
    /// It runs for so many seconds and succeeds, or ends as told.
    Run(u32, Option<(Status, String)>),
}

/// What is there to download after success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Output {
    /// Nothing.
    None,
    /// A header without rows.
    Header,
    /// Rows.
    Rows,
}

/// An execution.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) instance: String,
    pub(crate) account: String,
    pub(crate) workflow: Workflow,
    pub(crate) window: Window,
    /// The submit's body.
    pub(crate) request: Map<String, Value>,
    pub(crate) timeout_seconds: u32,
    pub(crate) course: Course,
    pub(crate) output: Output,
    pub(crate) status: Status,
    pub(crate) reason: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) validated_at: Option<DateTime<Utc>>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
}

impl Status {
    /// The word on the wire.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Publishing => "PUBLISHING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Rejected => "REJECTED",
        }
    }

    /// Whether it takes one of the places for running executions.
    pub(crate) fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Publishing)
    }

    /// Whether it may still change.
    pub(crate) fn is_open(self) -> bool {
        self == Self::Pending || self.is_running()
    }
}

impl Execution {
    /// Whether it is only to be compiled.
    pub(crate) fn is_dry(&self) -> bool {
        self.request.get("dryRun").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Whether its result can be downloaded.
    pub(crate) fn has_result(&self) -> bool {
        self.status == Status::Succeeded && self.output != Output::None
    }

    /// When it moves on by itself: at the end of validation, of running or of publishing. `None`
    /// while it waits for a place, and after the end.
    pub(crate) fn next_event(&self, settings: &Settings) -> Option<DateTime<Utc>> {
        let (from, seconds) = match (self.status, &self.course) {
            (Status::Pending, Course::Stuck) => return None,
            (Status::Pending, _) if self.validated_at.is_none() => {
                (self.created_at, settings.validation_seconds)
            }
            (Status::Running, Course::Run(seconds, _)) => {
                (self.updated_at, *seconds.min(&self.timeout_seconds))
            }
            (Status::Publishing, _) => (self.updated_at, settings.publishing_seconds),
            _ => return None,
        };
        Some(from + TimeDelta::seconds(seconds.into()))
    }

    /// The execution as AMC shows it.
    pub(crate) fn show(&self, with_sql: bool) -> Map<String, Value> {
        let mut shown = self.show_submit();
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        put("workflowExecutionId", json!(self.id));
        put("status", json!(self.status.word()));
        put("createTime", json!(seconds(self.created_at)));
        put("lastUpdatedTime", json!(seconds(self.updated_at)));
        put("expireTime", json!(seconds(self.created_at + TimeDelta::hours(24))));
        put("waitUntil", json!(seconds(self.created_at - TimeDelta::hours(1))));
        if let Some(reason) = &self.reason {
            put("statusReason", json!(reason));
        }
        if let Some(at) = self.validated_at {
            put("validatedTime", json!(at.to_rfc3339_opts(SecondsFormat::Millis, true)));
            put("availableTimeBeforeWindowSecs", json!(0));
            put("invalidationOffsetSecs", json!(266_400));
        }
        if let (Some(from), Some(to)) = (self.started_at, self.ended_at) {
            put("executionTime", json!((to - from).num_seconds()));
        }
        if self.status == Status::Succeeded {
            put("outputColumns", results::columns(self.workflow.discriminator()));
        }
        put(
            "outputChannels",
            json!([{"channel": {"type": "DOWNLOAD"}, "status": self.download()}]),
        );
        if with_sql && let Some(sql) = self.workflow.sql() {
            put("sqlQuery", json!(sql));
        }
        self.window.show(&mut shown);
        shown
    }

    /// What is echoed of the submit.
    fn show_submit(&self) -> Map<String, Value> {
        let flag = |name: &str| self.request.get(name).and_then(Value::as_bool).unwrap_or(false);
        let parameters = self.request.get("parameterValues").cloned();
        let mut shown = Map::new();
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        put("workflowId", json!(self.workflow.id));
        put("parameterValues", parameters.unwrap_or_else(|| json!({})));
        put("workflowExecutionTimeoutSeconds", json!(self.timeout_seconds));
        put("disableAggregationControls", json!(flag("disableAggregationControls")));
        put("ignoreDataGaps", json!(flag("ignoreDataGaps")));
        put("dataGaps", json!([]));
        put("executionCategory", json!("AD_HOC"));
        put("outputS3URI", json!("N/A"));
        shown
    }

    fn download(&self) -> &'static str {
        match self.status {
            Status::Succeeded if self.has_result() => "AVAILABLE",
            Status::Pending | Status::Running | Status::Publishing => "PENDING",
            _ => "UNAVAILABLE",
        }
    }
}
