//! What a call is called, and what an observer hears about each one.

use std::fmt;
use std::time::Duration;

/// Which call it was. The words are the labels of logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `POST workflowExecutions`, the only call that is not safe to repeat.
    SubmitExecution,
    /// `GET workflowExecutions/{id}`.
    GetExecution,
    /// `GET workflowExecutions`, one page.
    ListExecutions,
    /// `PUT workflowExecutions/{id}` with `CANCELLED`.
    CancelExecution,
    /// `GET workflowExecutions/{id}/downloadUrls`.
    DownloadUrls,
    /// `GET` of a signed URL at the storage service.
    DownloadFile,
    /// `GET workflows`, one page.
    ListWorkflows,
    /// `GET workflows/{id}`.
    GetWorkflow,
    /// `POST workflows`.
    CreateWorkflow,
    /// `PUT workflows/{id}`.
    UpdateWorkflow,
    /// `GET accounts`, one page.
    ListAccounts,
    /// `GET instances`, one page.
    ListInstances,
    /// `POST` to Login with Amazon.
    RefreshToken,
}

impl Operation {
    /// The word for logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SubmitExecution => "submit_execution",
            Self::GetExecution => "get_execution",
            Self::ListExecutions => "list_executions",
            Self::CancelExecution => "cancel_execution",
            Self::DownloadUrls => "download_urls",
            Self::DownloadFile => "download_file",
            Self::ListWorkflows => "list_workflows",
            Self::GetWorkflow => "get_workflow",
            Self::CreateWorkflow => "create_workflow",
            Self::UpdateWorkflow => "update_workflow",
            Self::ListAccounts => "list_accounts",
            Self::ListInstances => "list_instances",
            Self::RefreshToken => "refresh_token",
        }
    }

    /// Whether doing it twice does it twice, so that a lost answer may not be answered by a repeat.
    pub(super) fn must_not_repeat(self) -> bool {
        self == Self::SubmitExecution
    }

    /// Whether it names one execution, which AMC may not know yet just after it was created.
    pub(super) fn names_an_execution(self) -> bool {
        matches!(self, Self::GetExecution | Self::CancelExecution | Self::DownloadUrls)
    }

    /// Whether it names one thing that may be missing, so that a 404 can be AMC's own answer.
    pub(super) fn names_a_thing(self) -> bool {
        self.names_an_execution() || matches!(self, Self::GetWorkflow | Self::UpdateWorkflow)
    }

    /// Whether a good answer carries tokens or signatures, so that its text is never kept.
    pub(super) fn answers_secrets(self) -> bool {
        matches!(self, Self::DownloadUrls | Self::DownloadFile | Self::RefreshToken)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One HTTP exchange, as told to [`Settings::on_call`](super::Settings::on_call).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReport {
    /// Which call.
    pub operation: Operation,
    /// The HTTP status, `None` when no answer arrived.
    pub status: Option<u16>,
    /// `ok` or the word of the failure's class.
    pub outcome: &'static str,
    /// From sending to the last byte read; for a file, to the head of the answer.
    pub duration: Duration,
    /// How long the other side asked us to wait.
    pub retry_after: Option<Duration>,
}

impl CallReport {
    /// The HTTP status as a metric label, `error` when no answer arrived.
    pub fn code(&self) -> String {
        self.status.map_or_else(|| "error".to_owned(), |status| status.to_string())
    }
}
