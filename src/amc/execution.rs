//! Executions: what AMC tells about one, and the calls that get, list and cancel them.

use super::access::Caller;
use super::call::Call;
use super::client::Client;
use super::error::Error;
use super::filter::ExecutionFilter;
use super::ids::{AmcExecutionId, AmcInstanceId};
use super::json::{self, lenient, moment, text};
use super::operation::Operation;
use super::said;
use super::status::Status;
use super::window::{TimeWindow, local_from_wire};
use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The media type of executions.
pub(super) const MEDIA: &str = "application/vnd.amcworkflowexecutions.v1+json";
/// The most of an execution's own text that is kept, in bytes.
const RAW_MAX: usize = 8 * 1024;

/// An execution as AMC tells it.
///
/// Only the id is required: a field that is missing, new or of another type than expected spoils
/// nothing. The text as it came is in `raw`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Execution {
    /// AMC's id.
    #[serde(rename = "workflowExecutionId")]
    pub id: AmcExecutionId,
    /// The workflow's id; `transient_…` when it was sent inline without one.
    #[serde(default, deserialize_with = "text")]
    pub workflow_id: Option<String>,
    /// Where it stands.
    #[serde(default, deserialize_with = "lenient")]
    pub status: Status,
    /// Why it failed or was rejected.
    #[serde(default, deserialize_with = "text")]
    pub status_reason: Option<String>,
    /// When it was created; whole seconds.
    #[serde(default, deserialize_with = "moment")]
    pub create_time: Option<DateTime<Utc>>,
    /// When it last changed.
    #[serde(default, deserialize_with = "moment")]
    pub last_updated_time: Option<DateTime<Utc>>,
    /// When AMC considers it late, if it has not started by then.
    #[serde(default, deserialize_with = "moment")]
    pub expire_time: Option<DateTime<Utc>>,
    /// Before this it does not start.
    #[serde(default, deserialize_with = "moment")]
    pub wait_until: Option<DateTime<Utc>>,
    /// When AMC had checked it.
    #[serde(default, deserialize_with = "moment")]
    pub validated_time: Option<DateTime<Utc>>,
    /// The window's start as a moment; absent at first for relative windows.
    #[serde(default, deserialize_with = "moment")]
    pub time_window_start: Option<DateTime<Utc>>,
    /// The window's end as a moment.
    #[serde(default, deserialize_with = "moment")]
    pub time_window_end: Option<DateTime<Utc>>,
    /// The window's start as it was sent.
    #[serde(default, deserialize_with = "text")]
    pub time_window_start_original: Option<String>,
    /// The window's end as it was sent.
    #[serde(default, deserialize_with = "text")]
    pub time_window_end_original: Option<String>,
    /// The window's zone as it was sent.
    #[serde(default, deserialize_with = "text")]
    pub time_window_time_zone_original: Option<String>,
    /// Values of the query's parameters as they were sent.
    #[serde(default, deserialize_with = "lenient")]
    pub parameter_values: BTreeMap<String, Value>,
    /// The columns of the result: its schema.
    #[serde(default, deserialize_with = "lenient")]
    pub output_columns: Vec<OutputColumn>,
    /// How the result can be had, and whether it can be had yet.
    #[serde(default, deserialize_with = "lenient")]
    pub output_channels: Vec<OutputChannel>,
    /// Where the result lies in the account's own bucket, or `N/A`.
    #[serde(default, rename = "outputS3URI", deserialize_with = "text")]
    pub output_s3_uri: Option<String>,
    /// Seconds of computing.
    #[serde(default, deserialize_with = "lenient")]
    pub execution_time: Option<f64>,
    /// After how many seconds AMC gives up.
    #[serde(default, deserialize_with = "lenient")]
    pub workflow_execution_timeout_seconds: Option<u32>,
    /// Days without data in the window, in AMC's own form.
    #[serde(default, deserialize_with = "lenient")]
    pub data_gaps: Vec<Value>,
    /// The query; only when the workflow was asked for.
    #[serde(default, deserialize_with = "text")]
    pub sql_query: Option<String>,
    /// The beginning of AMC's own text, at most 8 KiB, for storing when something in it was not expected.
    #[serde(skip)]
    pub raw: String,
}

impl Execution {
    /// Reads one execution, flat.
    pub(super) fn from_json(json: &str) -> Result<Self, String> {
        let mut execution: Self = serde_json::from_str(json)
            .map_err(|_| "the answer has no usable `workflowExecutionId`".to_owned())?;
        execution.raw = said::cut(&said::clean(json, &[]), RAW_MAX);
        Ok(execution)
    }

    /// Whether it reads exactly this window: the question when a lost submit is looked up.
    ///
    /// An explicit window is compared as it was sent, or else as moments, should AMC have rewritten
    /// the zone's name. A relative window says nothing about its ends, so it never matches.
    pub fn covers(&self, window: &TimeWindow) -> bool {
        let TimeWindow::Explicit(window) = window else { return false };
        let local = |text: &Option<String>| text.as_deref().and_then(local_from_wire);
        let as_sent = local(&self.time_window_start_original) == Some(window.start())
            && local(&self.time_window_end_original) == Some(window.end())
            && self.time_window_time_zone_original.as_deref() == Some(window.zone().name());
        let moments = self.time_window_start.zip(self.time_window_end);
        as_sent || (moments.is_some() && moments == window.instants())
    }

    /// What AMC says about downloading the result; `None` when it says nothing.
    pub fn download_channel(&self) -> Option<&OutputChannel> {
        self.output_channels.iter().find(|channel| channel.kind == "DOWNLOAD")
    }
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// `STRING`, `LONG`, `DECIMAL` …; a structured type is given as JSON.
    pub data_type: String,
    /// `DIMENSION` or `METRIC`.
    pub column_type: Option<String>,
    /// Digits of a `DECIMAL`.
    pub precision: Option<u64>,
    /// Digits of a `DECIMAL` after the point.
    pub scale: Option<u64>,
}

impl From<Value> for OutputColumn {
    fn from(value: Value) -> Self {
        let number = |a, b| value.get(a).or_else(|| value.get(b)).and_then(Value::as_u64);
        Self {
            name: json::word(value.get("name")).unwrap_or_default(),
            data_type: json::word(value.get("dataType")).unwrap_or_default(),
            column_type: json::word(value.get("columnType")),
            precision: number("precision", "dataTypePrecision"),
            scale: number("scale", "dataTypeScale"),
        }
    }
}

/// A way to have a result.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub struct OutputChannel {
    /// `DOWNLOAD`, `PUBLISH` or `ACR`.
    pub kind: String,
    /// `PENDING`, `AVAILABLE`, `UNAVAILABLE` or `FAILED`.
    pub status: String,
    /// Why it cannot be had.
    pub status_reason: Option<String>,
}

impl From<Value> for OutputChannel {
    fn from(value: Value) -> Self {
        let channel = value.get("channel");
        let kind = channel.and_then(|channel| channel.get("type")).or(channel);
        Self {
            kind: json::word(kind).unwrap_or_default(),
            status: json::word(value.get("status")).unwrap_or_default(),
            status_reason: json::word(value.get("statusReason")),
        }
    }
}

impl Client {
    /// How an execution is doing.
    pub async fn execution(
        &self,
        caller: &Caller,
        instance: &AmcInstanceId,
        id: &AmcExecutionId,
    ) -> Result<Execution, Error> {
        let path = path(instance, Some(id));
        let call = Call::get(Operation::GetExecution, caller, path, MEDIA);
        self.call(&call, read).await
    }

    /// All executions that the filter lets through, newest first, from all pages.
    pub async fn executions(
        &self,
        caller: &Caller,
        instance: &AmcInstanceId,
        filter: &ExecutionFilter,
    ) -> Result<Vec<Execution>, Error> {
        let call = Call::get(Operation::ListExecutions, caller, path(instance, None), MEDIA);
        let call = Call { query: filter.query(), ..call };
        self.all_pages(call, "executions", Execution::from_json).await
    }

    /// Asks AMC to stop an execution. It may still end otherwise: look again afterwards.
    ///
    /// One that has ended already is refused with [`Class::Permanent`](super::Class::Permanent).
    pub async fn cancel_execution(
        &self,
        caller: &Caller,
        instance: &AmcInstanceId,
        id: &AmcExecutionId,
    ) -> Result<(), Error> {
        let path = path(instance, Some(id));
        let call = Call::get(Operation::CancelExecution, caller, path, MEDIA)
            .sending(Method::PUT, serde_json::json!({ "status": "CANCELLED" }));
        self.call(&call, |_| Ok(())).await
    }
}

/// The path of an instance's executions, or of one of them.
pub(super) fn path<'a>(
    instance: &'a AmcInstanceId,
    id: Option<&'a AmcExecutionId>,
) -> Vec<&'a str> {
    let list = ["amc", "reporting", instance.as_str(), "workflowExecutions"];
    list.into_iter().chain(id.map(AmcExecutionId::as_str)).collect()
}

/// Reads an answer with a single execution in it.
pub(super) fn read(answer: &str) -> Result<Execution, String> {
    Execution::from_json(json::unwrapped(answer, "workflowExecution")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amc::window::{RelativeWindow, Window};
    use chrono_tz::Tz;

    /// In the shape of Amazon's sample of a finished execution, with a decimal, a channel and a field of the future.
    const DONE: &str = r#"{"createTime":"2024-09-25T03:11:52Z","dataGaps":[],"executionTime":55,
        "expireTime":"2024-09-26T03:11:52Z","lastUpdatedTime":"2024-09-25T03:14:42Z",
        "outputColumns":[{"columnType":"DIMENSION","dataType":"STRING","name":"campaign"},
          {"columnType":"METRIC","dataType":"DECIMAL","name":"spend","precision":38,"scale":17},
          {"dataType":{"type":"ARRAY"},"name":"odd","dataTypePrecision":3}],
        "outputChannels":[{"channel":{"type":"DOWNLOAD"},"status":"PENDING","statusReason":null}],
        "outputS3URI":"N/A","parameterValues":{"days":7},"status":"SUCCEEDED","futureField":{"a":1},
        "timeWindowEnd":"2024-01-25T05:00:00Z","timeWindowEndOriginal":"2024-01-25T00:00:00",
        "timeWindowStart":"2024-01-20T05:00:00Z","timeWindowStartOriginal":"2024-01-20T00:00:00",
        "timeWindowTimeZoneOriginal":"America/New_York","validatedTime":"2024-09-25T03:11:54.792Z",
        "workflowExecutionId":"b3a77999-7c8e-4289-9bf9-5da8f178536c",
        "workflowExecutionTimeoutSeconds":21600,"workflowId":"my-first-workflow"}"#;

    fn window(start: &str, end: &str, zone: Tz) -> TimeWindow {
        let at = |day: &str| local_from_wire(&format!("{day}T00:00:00")).unwrap();
        TimeWindow::Explicit(Window::new(at(start), at(end), zone).unwrap())
    }

    #[test]
    fn every_field_of_a_finished_execution_is_read() {
        let done = read(DONE).unwrap();
        assert_eq!(done.id.as_str(), "b3a77999-7c8e-4289-9bf9-5da8f178536c");
        assert_eq!(done.status, Status::Succeeded);
        assert_eq!(done.execution_time, Some(55.0));
        assert_eq!(done.workflow_execution_timeout_seconds, Some(21600));
        assert_eq!((done.expire_time.unwrap() - done.create_time.unwrap()).num_hours(), 24);
        assert_eq!(done.parameter_values["days"], 7);
        assert_eq!(done.output_columns[1].scale, Some(17));
        assert_eq!(done.output_columns[2].data_type, r#"{"type":"ARRAY"}"#);
        assert_eq!(done.output_columns[2].precision, Some(3));
        assert_eq!(done.download_channel().unwrap().status, "PENDING");
        assert!(done.raw.contains("futureField"));
    }

    #[test]
    fn fields_of_the_wrong_type_spoil_nothing_but_themselves() {
        let odd = r#"{"workflowExecution":{"workflowExecutionId":"x","status":null,"createTime":12,
            "executionTime":"55","outputColumns":"none","dataGaps":{},"parameterValues":[],
            "statusReason":"bad\u0000byte","workflowId":7}}"#;
        let odd = read(odd).unwrap();
        assert!(odd.status.is_unexpected() && odd.status.is_open());
        assert_eq!((odd.create_time, odd.execution_time, odd.workflow_id), (None, None, None));
        assert_eq!(odd.status_reason.as_deref(), Some("bad\u{fffd}byte"));
    }

    #[test]
    fn an_answer_without_an_id_is_no_execution() {
        for text in ["{}", r#"{"workflowExecution":{}}"#, r#"{"workflowExecutionId":""}"#, "[]"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_huge_execution_keeps_only_the_beginning_of_its_text() {
        let sql = "\u{e4}".repeat(RAW_MAX);
        let huge = format!(r#"{{"workflowExecutionId":"x","sqlQuery":"{sql}"}}"#);
        let huge = read(&huge).unwrap();
        assert!(huge.raw.len() <= RAW_MAX);
        assert_eq!(huge.sql_query, Some(sql));
    }

    #[test]
    fn an_execution_is_recognised_by_its_window() {
        let new_york = Tz::America__New_York;
        let done = read(DONE).unwrap();
        assert!(done.covers(&window("2024-01-20", "2024-01-25", new_york)));
        assert!(!done.covers(&window("2024-01-20", "2024-01-26", new_york)));
        assert!(!done.covers(&window("2024-01-20", "2024-01-25", Tz::UTC)));
        assert!(!done.covers(&TimeWindow::Relative(RelativeWindow::All, new_york)));
        // The same moments under another name of the zone.
        assert!(done.covers(&window("2024-01-20", "2024-01-25", Tz::US__Eastern)));
    }
}
