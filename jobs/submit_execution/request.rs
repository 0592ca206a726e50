//! The request for an execution: its query with nothing left to fill in, its window, and our mark.

use crate::amc::{self, AmcWorkflowId, NewWorkflow, Sql, TimeWindow, Window};
use crate::parameters::window::Days;
use crate::parameters::{check, declare, fill};
use crate::store::executions::{Execution, SubmitMode};
use chrono_tz::Tz;
use std::collections::BTreeMap;

/// How the names begin under which this execution is sent. Each request has a name of its own, so that
/// the record tells which one AMC took.
pub fn mark(execution: &Execution) -> String {
    format!("rec-{}-", execution.id.0.simple())
}

/// The request for this execution. An inline query carries our own mark as its workflow's id, so that
/// it can be found by it.
pub fn request(execution: &Execution, client_ref: &str) -> Result<amc::NewExecution, String> {
    let window = window(execution)?;
    let text = |error: &dyn std::error::Error| error.to_string();
    let (sql, inputs, values) = filled(execution)?;
    let mut request = if execution.submit_mode == SubmitMode::Saved {
        let id = execution.amc_workflow_id.as_deref().ok_or("AMC does not keep a copy of it")?;
        let id = AmcWorkflowId::new(id).map_err(|error| text(&error))?;
        amc::NewExecution::saved(id, window)
    } else {
        let id = AmcWorkflowId::new(client_ref).map_err(|error| text(&error))?;
        let mut workflow = NewWorkflow::new(id, sql);
        workflow.input_parameters = inputs;
        amc::NewExecution::inline(workflow, window).map_err(|error| text(&error))?
    };
    request.parameter_values = values;
    Ok(request)
}

/// The query with its values, the parameters that AMC fills itself, and their values. Nothing is left
/// to fill in, or it is refused.
pub fn filled(execution: &Execution) -> Result<Filled, String> {
    let say = |invalid: crate::parameters::Invalid| invalid.to_string();
    let declared = declare::parse(&execution.input_parameters).map_err(say)?;
    let values = check::values(&declared, &execution.parameters).map_err(say)?;
    let days = Days::of(execution.window_start, execution.window_end);
    let form = match execution.submit_mode {
        SubmitMode::Inline => fill::Form::Inline,
        SubmitMode::Saved => fill::Form::Saved,
    };
    let (query, values) =
        fill::fill(&execution.sql_query, &declared, &values, days, form).map_err(say)?;
    let sql = Sql::normalise(&query.sql).map_err(|error| error.to_string())?;
    let inputs = serde_json::from_value(query.inputs.into())
        .map_err(|error| format!("the declared parameters: {error}"))?;
    Ok((sql, inputs, values))
}

/// A query, the parameters that AMC fills itself, and their values.
pub type Filled = (Sql, Vec<amc::InputParameter>, BTreeMap<String, serde_json::Value>);

/// The window, as AMC is told.
pub fn window(execution: &Execution) -> Result<TimeWindow, String> {
    let zone: Tz = execution
        .window_tz
        .parse()
        .map_err(|_| format!("{:?} is no IANA time zone", execution.window_tz))?;
    let window = Window::new(execution.window_start, execution.window_end, zone);
    window.map(TimeWindow::Explicit).map_err(|error| error.to_string())
}
