//! Which executions to list.

use super::ids::AmcWorkflowId;
use super::window::to_wire;
use chrono::{DateTime, Utc};

/// Which executions to list. AMC wants a beginning or a workflow, so one of the two starts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionFilter {
    min_creation_time: Option<DateTime<Utc>>,
    workflow_id: Option<AmcWorkflowId>,
    include_cancelled: bool,
    include_workflow: bool,
    limit: Option<u8>,
}

impl ExecutionFilter {
    /// All that were created at this moment (in whole seconds) or later.
    pub fn since(min_creation_time: DateTime<Utc>) -> Self {
        Self { min_creation_time: Some(min_creation_time), ..Self::everything() }
    }

    /// All of this workflow.
    pub fn of_workflow(workflow_id: AmcWorkflowId) -> Self {
        Self { workflow_id: Some(workflow_id), ..Self::everything() }
    }

    fn everything() -> Self {
        Self {
            min_creation_time: None,
            workflow_id: None,
            include_cancelled: false,
            include_workflow: false,
            limit: None,
        }
    }

    /// Of these, only those of one workflow.
    #[must_use]
    pub fn and_workflow(self, workflow_id: AmcWorkflowId) -> Self {
        Self { workflow_id: Some(workflow_id), ..self }
    }

    /// Also the cancelled ones, which AMC hides otherwise.
    #[must_use]
    pub fn include_cancelled(self) -> Self {
        Self { include_cancelled: true, ..self }
    }

    /// With the query of each.
    #[must_use]
    pub fn include_workflow(self) -> Self {
        Self { include_workflow: true, ..self }
    }

    /// How many per page, 1 to 100; AMC's default is 100.
    #[must_use]
    pub fn per_page(self, limit: u8) -> Self {
        Self { limit: Some(limit.clamp(1, 100)), ..self }
    }

    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        if let Some(at) = self.min_creation_time {
            query.push(("minCreationTime", to_wire(at.naive_utc())));
            query.push(("timeZone", "UTC".to_owned()));
        }
        if let Some(id) = &self.workflow_id {
            query.push(("workflowId", id.to_string()));
        }
        for (name, set) in [
            ("includeCancelled", self.include_cancelled),
            ("includeWorkflow", self.include_workflow),
        ] {
            if set {
                query.push((name, "true".to_owned()));
            }
        }
        query.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        query
    }
}
