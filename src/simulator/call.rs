//! One request as the simulator reads it: which operation, on what, with which headers and body.

use super::answer::Answer;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a client can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `POST /auth/o2/token`, Login with Amazon.
    Token,
    /// `GET /amc/accounts`
    ListAccounts,
    /// `GET /amc/instances`
    ListInstances,
    /// `GET …/workflows`
    ListWorkflows,
    /// `POST …/workflows`
    CreateWorkflow,
    /// `GET …/workflows/{id}`
    GetWorkflow,
    /// `PUT …/workflows/{id}`
    UpdateWorkflow,
    /// `DELETE …/workflows/{id}`
    DeleteWorkflow,
    /// `GET …/workflowExecutions`
    ListExecutions,
    /// `POST …/workflowExecutions`
    CreateExecution,
    /// `GET …/workflowExecutions/{id}`
    GetExecution,
    /// `PUT …/workflowExecutions/{id}`
    CancelExecution,
    /// `GET …/workflowExecutions/{id}/downloadUrls`
    DownloadUrls,
    /// `GET` of a result file from the storage.
    Download,
}

/// A request that has been read whole.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    /// The instance in the path; empty when the path names none.
    pub(crate) instance: String,
    /// The workflow or execution in the path; empty when the path names none.
    pub(crate) id: String,
    /// The file in the path of a download.
    pub(crate) file: String,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: Bytes,
}

impl Call {
    /// Reads a request; `None` when no operation answers to it.
    pub(crate) fn read(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Option<Self> {
        let parts: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
        let (operation, instance, id, file) = match (method.as_str(), parts.as_slice()) {
            ("POST", ["auth", "o2", "token"]) => (Operation::Token, "", "", ""),
            ("GET", ["storage", instance, id, file]) => {
                (Operation::Download, *instance, *id, *file)
            }
            ("GET", ["amc", "accounts"]) => (Operation::ListAccounts, "", "", ""),
            ("GET", ["amc", "instances"]) => (Operation::ListInstances, "", "", ""),
            (method, ["amc", "reporting", instance, rest @ ..]) => {
                let (operation, id) = reporting(method, rest)?;
                (operation, *instance, id, "")
            }
            _ => return None,
        };
        let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Some(Self {
            operation,
            instance: instance.to_owned(),
            id: id.to_owned(),
            file: file.to_owned(),
            query: query.into_owned().collect(),
            method,
            headers,
            body,
            uri,
        })
    }

    /// A header's text; `None` when it is absent, empty or not text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
    }

    /// A parameter of the query; `None` when it is absent or empty.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a parameter of the query says `true`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.query(name) == Some("true")
    }

    /// The page size that was asked for.
    pub(crate) fn limit(&self) -> Result<usize, Answer> {
        match self.query("limit").map_or(Ok(100), str::parse) {
            Ok(limit @ 1..=100) => Ok(limit),
            _ => Err(Answer::error(400, "limit must be a number from 1 to 100.")),
        }
    }

    /// The body as a JSON object.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Answer> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Answer::error(400, &format!("Unable to parse the body: {error}.")))
    }

    /// The body of a token request, form or JSON.
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        let media = self.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        if media.starts_with("application/json") {
            serde_json::from_slice(&self.body).unwrap_or_default()
        } else {
            url::form_urlencoded::parse(&self.body).into_owned().collect()
        }
    }
}

fn reporting<'a>(method: &str, path: &[&'a str]) -> Option<(Operation, &'a str)> {
    Some(match (method, path) {
        ("GET", ["workflows"]) => (Operation::ListWorkflows, ""),
        ("POST", ["workflows"]) => (Operation::CreateWorkflow, ""),
        ("GET", ["workflows", id]) => (Operation::GetWorkflow, *id),
        ("PUT", ["workflows", id]) => (Operation::UpdateWorkflow, *id),
        ("DELETE", ["workflows", id]) => (Operation::DeleteWorkflow, *id),
        ("GET", ["workflowExecutions"]) => (Operation::ListExecutions, ""),
        ("POST", ["workflowExecutions"]) => (Operation::CreateExecution, ""),
        ("GET", ["workflowExecutions", id]) => (Operation::GetExecution, *id),
        ("PUT", ["workflowExecutions", id]) => (Operation::CancelExecution, *id),
        ("GET", ["workflowExecutions", id, "downloadUrls"]) => (Operation::DownloadUrls, *id),
        _ => return None,
    })
}

impl Operation {
    /// The media type that AMC gives to this operation's bodies.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::ListWorkflows
            | Self::CreateWorkflow
            | Self::GetWorkflow
            | Self::UpdateWorkflow
            | Self::DeleteWorkflow => "application/vnd.amcworkflows.v1+json",
            Self::ListExecutions
            | Self::CreateExecution
            | Self::GetExecution
            | Self::CancelExecution
            | Self::DownloadUrls => "application/vnd.amcworkflowexecutions.v1+json",
            Self::ListInstances => "application/vnd.amcinstances.v1+json",
            Self::Token | Self::ListAccounts | Self::Download => "application/json",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: Method, uri: &'static str) -> Option<Call> {
        Call::read(method, Uri::from_static(uri), HeaderMap::new(), Bytes::new())
    }

    #[test]
    fn a_path_names_its_operation_its_instance_and_its_id() {
        let call = read(Method::GET, "/amc/reporting/amcx/workflowExecutions/7/downloadUrls")
            .expect("a known path");
        assert_eq!(call.operation, Operation::DownloadUrls);
        assert_eq!((call.instance.as_str(), call.id.as_str()), ("amcx", "7"));
    }

    #[test]
    fn what_amc_does_not_offer_is_no_operation() {
        assert!(read(Method::DELETE, "/amc/reporting/amcx/workflowExecutions/7").is_none());
        assert!(read(Method::GET, "/amc/reporting/amcx").is_none());
        assert!(read(Method::GET, "/auth/o2/token").is_none());
    }

    #[test]
    fn an_empty_parameter_is_no_parameter() {
        let call = read(Method::GET, "/amc/instances?nextToken=&limit=20").expect("a known path");
        assert_eq!(call.query("nextToken"), None);
        assert_eq!(call.limit().ok(), Some(20));
        let call = read(Method::GET, "/amc/instances?limit=101").expect("a known path");
        assert!(call.limit().is_err());
    }
}
