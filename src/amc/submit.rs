//! The submit: asks AMC to run a query over a window. The one call that must never be repeated blindly.

use super::access::Caller;
use super::call::Call;
use super::client::Client;
use super::error::Error;
use super::execution::{self, Execution};
use super::ids::{AmcInstanceId, AmcWorkflowId};
use super::operation::Operation;
use super::sql::SqlError;
use super::window::{TimeWindow, to_wire};
use super::workflow::NewWorkflow;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The least and the most seconds AMC may be told to work on an execution.
const TIMEOUT_SECONDS: std::ops::RangeInclusive<u32> = 900..=86_400;

/// Why an execution cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The query.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The timeout.
    #[error("timeout_seconds is {0}; AMC takes 900 to 86400")]
    Timeout(u32),
}

/// An execution to be asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewExecution {
    source: Source,
    window: TimeWindow,
    timeout_seconds: Option<u32>,
    /// Values of the query's parameters, as AMC is to see them; they come back as they were sent.
    pub parameter_values: BTreeMap<String, Value>,
    /// Only compile, do not run.
    pub dry_run: bool,
    /// Read synthetic data only; a sandbox wants it.
    pub require_synthetic_data: bool,
    /// Do without privacy thresholds; only with synthetic data.
    pub disable_aggregation_controls: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Source {
    Saved(AmcWorkflowId),
    Inline(Box<NewWorkflow>),
}

impl NewExecution {
    /// Of a workflow saved at AMC.
    pub fn saved(workflow_id: AmcWorkflowId, window: TimeWindow) -> Self {
        Self::of(Source::Saved(workflow_id), window)
    }

    /// Of a query sent along. Its workflow id is the caller's own mark: a lost submit can be found by it.
    pub fn inline(workflow: NewWorkflow, window: TimeWindow) -> Result<Self, InvalidRequest> {
        workflow.sql.check_inline()?;
        Ok(Self::of(Source::Inline(Box::new(workflow)), window))
    }

    fn of(source: Source, window: TimeWindow) -> Self {
        Self {
            source,
            window,
            timeout_seconds: None,
            parameter_values: BTreeMap::new(),
            dry_run: false,
            require_synthetic_data: false,
            disable_aggregation_controls: false,
        }
    }

    /// Lets AMC give up after so many seconds, 900 to 86,400; its own default is six hours.
    pub fn timeout_seconds(self, seconds: u32) -> Result<Self, InvalidRequest> {
        if !TIMEOUT_SECONDS.contains(&seconds) {
            return Err(InvalidRequest::Timeout(seconds));
        }
        Ok(Self { timeout_seconds: Some(seconds), ..self })
    }

    /// The window it reads.
    pub fn window(&self) -> &TimeWindow {
        &self.window
    }

    /// The workflow it runs, saved or sent along.
    pub fn workflow_id(&self) -> &AmcWorkflowId {
        match &self.source {
            Source::Saved(id) => id,
            Source::Inline(workflow) => &workflow.workflow_id,
        }
    }

    /// The body as it goes over the wire: the same request gives the same text, keys in order.
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        match &self.source {
            Source::Saved(id) => body.insert("workflowId".into(), json!(id)),
            Source::Inline(workflow) => body.insert("workflow".into(), workflow.body()),
        };
        body.insert("timeWindowType".into(), json!(self.window.kind()));
        body.insert("timeWindowTimeZone".into(), json!(self.window.zone().name()));
        if let TimeWindow::Explicit(window) = &self.window {
            body.insert("timeWindowStart".into(), json!(to_wire(window.start())));
            body.insert("timeWindowEnd".into(), json!(to_wire(window.end())));
        }
        if !self.parameter_values.is_empty() {
            body.insert("parameterValues".into(), json!(self.parameter_values));
        }
        if let Some(seconds) = self.timeout_seconds {
            body.insert("workflowExecutionTimeoutSeconds".into(), json!(seconds));
        }
        for (name, set) in [
            ("dryRun", self.dry_run),
            ("requireSyntheticData", self.require_synthetic_data),
            ("disableAggregationControls", self.disable_aggregation_controls),
        ] {
            if set {
                body.insert(name.into(), json!(true));
            }
        }
        Value::Object(body)
    }
}

impl Client {
    /// Asks AMC to run an execution.
    ///
    /// Sent once, whatever happens; giving up on it half-way is a lost answer as well. AMC has no idempotency key, so an error of
    /// [`Class::Unknown`](super::Class::Unknown) means that the execution may exist: look for it with
    /// [`Client::executions`] and [`Execution::covers`] before asking again.
    /// [`Error::surely_not_accepted`] tells the two cases apart.
    pub async fn submit_execution(
        &self,
        caller: &Caller,
        instance: &AmcInstanceId,
        execution: &NewExecution,
    ) -> Result<Execution, Error> {
        let path = execution::path(instance, None);
        let call = Call::get(Operation::SubmitExecution, caller, path, execution::MEDIA)
            .sending(Method::POST, execution.body());
        self.call(&call, execution::read).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amc::sql::Sql;
    use crate::amc::window::{RelativeWindow, Window, local_from_wire};
    use chrono_tz::Tz;

    fn week() -> TimeWindow {
        let at = |day: &str| local_from_wire(&format!("{day}T00:00:00")).unwrap();
        let zone = Tz::America__New_York;
        TimeWindow::Explicit(Window::new(at("2025-01-06"), at("2025-01-13"), zone).unwrap())
    }

    #[test]
    fn a_saved_workflow_over_a_week_has_this_body() {
        let request = NewExecution::saved(AmcWorkflowId::new("weekly").unwrap(), week());
        let expected = json!({
            "workflowId": "weekly", "timeWindowType": "EXPLICIT",
            "timeWindowStart": "2025-01-06T00:00:00", "timeWindowEnd": "2025-01-13T00:00:00",
            "timeWindowTimeZone": "America/New_York",
        });
        assert_eq!(request.body(), expected);
    }

    #[test]
    fn an_inline_query_carries_the_callers_mark_and_its_options() {
        let id = AmcWorkflowId::new("eng-1-1").unwrap();
        let workflow = NewWorkflow::new(id, Sql::normalise("SELECT 1\nFROM t").unwrap());
        let window = TimeWindow::Relative(RelativeWindow::MostRecentWeek, Tz::UTC);
        let mut request =
            NewExecution::inline(workflow, window).unwrap().timeout_seconds(900).unwrap();
        request.parameter_values.insert("b".into(), json!(["x"]));
        request.parameter_values.insert("a".into(), json!("y"));
        request.dry_run = true;
        assert_eq!(request.workflow_id().as_str(), "eng-1-1");
        insta::assert_snapshot!(request.body(), @r#"{"dryRun":true,"parameterValues":{"a":"y","b":["x"]},"timeWindowTimeZone":"UTC","timeWindowType":"MOST_RECENT_WEEK","workflow":{"sqlQuery":"SELECT 1 FROM t","workflowId":"eng-1-1"},"workflowExecutionTimeoutSeconds":900}"#);
    }

    #[test]
    fn what_amc_would_refuse_is_refused_before_it_is_sent() {
        let id = AmcWorkflowId::new("long").unwrap();
        let sql = Sql::normalise(&"x".repeat(70_000)).unwrap();
        let long = NewExecution::inline(NewWorkflow::new(id.clone(), sql), week());
        assert!(matches!(long, Err(InvalidRequest::Sql(SqlError::TooLong { .. }))));
        for seconds in [0, 899, 86_401] {
            let request = NewExecution::saved(id.clone(), week()).timeout_seconds(seconds);
            assert_eq!(request, Err(InvalidRequest::Timeout(seconds)));
        }
    }
}
