//! Workflows: queries saved at AMC.

use super::access::Caller;
use super::call::Call;
use super::client::Client;
use super::error::Error;
use super::ids::{AmcInstanceId, AmcWorkflowId};
use super::json::{self, lenient, text};
use super::operation::Operation;
use super::said;
use super::sql::Sql;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const MEDIA: &str = "application/vnd.amcworkflows.v1+json";
/// The most of a workflow's own text that is kept, in bytes.
const RAW_MAX: usize = 128 * 1024;

/// A workflow to be saved, or to be sent along with a submit.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWorkflow {
    /// Its id, chosen by us.
    pub workflow_id: AmcWorkflowId,
    /// The query.
    pub sql: Sql,
    /// What `CUSTOM_PARAMETER('…')` in the query stands for; at most 100.
    pub input_parameters: Vec<InputParameter>,
    /// The name of a column AMC adds that tells rows below the privacy threshold; without it they vanish.
    pub filtered_metrics_discriminator_column: Option<String>,
}

/// A parameter of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputParameter {
    /// The name used in the query.
    pub name: String,
    /// `"STRING"`, `"LONG"` …, or an object such as `{"type":"ARRAY","elementDataType":"STRING"}`.
    pub data_type: Value,
    /// `DIMENSION` or `METRIC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column_type: Option<String>,
    /// Used when a submit gives no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_value: Option<Value>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl NewWorkflow {
    /// A query without parameters.
    pub fn new(workflow_id: AmcWorkflowId, sql: Sql) -> Self {
        Self {
            workflow_id,
            sql,
            input_parameters: Vec::new(),
            filtered_metrics_discriminator_column: None,
        }
    }

    /// The workflow as it goes over the wire.
    pub fn body(&self) -> Value {
        let mut body = serde_json::json!({
            "workflowId": self.workflow_id,
            "sqlQuery": self.sql.as_str(),
        });
        if !self.input_parameters.is_empty() {
            body["inputParameters"] = serde_json::json!(self.input_parameters);
        }
        if let Some(column) = &self.filtered_metrics_discriminator_column {
            body["filteredMetricsDiscriminatorColumn"] = serde_json::json!(column);
        }
        body
    }
}

/// A workflow as AMC tells it.
///
/// AMC adds to what was sent, so compare what was sent before with what would be sent now, never with this.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Workflow {
    /// Its id; others than us choose theirs, so it is any text.
    pub workflow_id: String,
    /// The query; absent when the workflow is made of operations.
    #[serde(default, deserialize_with = "text")]
    pub sql_query: Option<String>,
    /// Its parameters.
    #[serde(default, deserialize_with = "lenient")]
    pub input_parameters: Vec<InputParameter>,
    /// The beginning of AMC's own text, at most 128 KiB.
    #[serde(skip)]
    pub raw: String,
}

impl Workflow {
    fn from_json(json: &str) -> Result<Self, String> {
        let mut workflow: Self = serde_json::from_str(json)
            .map_err(|_| "the answer has no usable `workflowId`".to_owned())?;
        workflow.raw = said::cut(&said::clean(json, &[]), RAW_MAX);
        Ok(workflow)
    }
}

/// What became of a workflow to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New,
    /// One with this id was there before, perhaps from a try whose answer got lost. Update it.
    Existing,
}

impl Client {
    /// All workflows of an instance, from all pages.
    pub async fn workflows(
        &self,
        caller: &Caller,
        instance: &AmcInstanceId,
    ) -> Result<Vec<Workflow>, Error> {
        let call = Call::get(Operation::ListWorkflows, caller, path(instance, None), MEDIA);
        self.all_pages(call, "workflows", Workflow::from_json).await
    }

    /// One workflow; `None` when AMC knows none of this id.
    pub async fn workflow(
        &self,
        caller: &Caller,
        instance: &AmcInstanceId,
        id: &AmcWorkflowId,
    ) -> Result<Option<Workflow>, Error> {
        let call = Call::get(Operation::GetWorkflow, caller, path(instance, Some(id)), MEDIA);
        let read = |answer: &str| Workflow::from_json(json::unwrapped(answer, "workflow")?);
        match self.call(&call, read).await {
            Ok(workflow) => Ok(Some(workflow)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Saves a new workflow. Safe to repeat.
    pub async fn create_workflow(
        &self,
        caller: &Caller,
        instance: &AmcInstanceId,
        workflow: &NewWorkflow,
    ) -> Result<Created, Error> {
        let call = Call::get(Operation::CreateWorkflow, caller, path(instance, None), MEDIA)
            .sending(Method::POST, workflow.body());
        match self.call(&call, |_| Ok(())).await {
            Ok(()) => Ok(Created::New),
            Err(error) if is_present(&error) => Ok(Created::Existing),
            Err(error) => Err(error),
        }
    }

    /// Replaces a saved workflow, all of it. Safe to repeat.
    pub async fn update_workflow(
        &self,
        caller: &Caller,
        instance: &AmcInstanceId,
        workflow: &NewWorkflow,
    ) -> Result<(), Error> {
        let path = path(instance, Some(&workflow.workflow_id));
        let call = Call::get(Operation::UpdateWorkflow, caller, path, MEDIA)
            .sending(Method::PUT, workflow.body());
        self.call(&call, |_| Ok(())).await
    }
}

fn path<'a>(instance: &'a AmcInstanceId, id: Option<&'a AmcWorkflowId>) -> Vec<&'a str> {
    let list = ["amc", "reporting", instance.as_str(), "workflows"];
    list.into_iter().chain(id.map(AmcWorkflowId::as_str)).collect()
}

fn is_absent(error: &Error) -> bool {
    error.status() == Some(404)
        || (error.status() == Some(400) && error.reason().contains("does not exist"))
}

fn is_present(error: &Error) -> bool {
    matches!(error.status(), Some(400 | 409)) && error.reason().contains("already exists")
}
