//! Executions over the wire: submit, look, list, cancel.

use super::answer::Answer;
use super::call::Call;
use super::dice;
use super::execution::{Course, Execution, Output, Status};
use super::faults::{Ending, Kind};
use super::settings::TrailingZ;
use super::window::Window;
use super::workflows::{self, Workflow};
use super::world::World;
use chrono::TimeDelta;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Longest text of one parameter value.
const PARAMETER_LENGTH: usize = 1_024;

/// Answers `POST …/workflowExecutions`. `fault` may decide the execution's course.
pub(crate) fn create(
    world: &mut World,
    call: &Call,
    fault: Option<&Kind>,
) -> Result<Answer, Answer> {
    let execution = read(world, call, fault)?;
    if execution.is_dry() {
        world.witness.counts.dry_runs += 1;
    } else {
        let [start, end] = &execution.window.sent;
        world.witness.submitted(&call.instance, &execution.workflow.id, [start, end]);
    }
    let shown = single(world, execution.show(false));
    let World { executions, settings, witness, .. } = world;
    executions.add(execution, settings, &mut witness.counts);
    Ok(shown)
}

fn read(world: &mut World, call: &Call, fault: Option<&Kind>) -> Result<Execution, Answer> {
    let body = call.object()?;
    let bad = |details: String| Answer::error(400, &details);
    let (workflow, saved) = workflow(world, call, &body)?;
    let window = Window::read(&body).map_err(bad)?;
    if window.has_z() {
        world.witness.counts.trailing_z += 1;
        if world.settings.trailing_z == TrailingZ::Refuse {
            return Err(bad("timeWindowStart and timeWindowEnd must not end in Z.".to_owned()));
        }
    }
    let timeout_seconds = timeout(&body).map_err(bad)?;
    parameters(&body).map_err(bad)?;
    budget(world, call)?;
    let empty = window.has_z() && world.settings.trailing_z == TrailingZ::EmptyResult;
    let flag = |name: &str| body.get(name).and_then(Value::as_bool).unwrap_or(false);
    let now = world.clock.now();
    Ok(Execution {
        id: Uuid::new_v4().to_string(),
        instance: call.instance.clone(),
        account: account_of(world, &call.instance),
        course: course(world, call, &workflow, saved, &window, flag("dryRun"), fault),
        output: match fault {
            _ if flag("skipPublish") => Output::None,
            Some(Kind::EmptyResult) => Output::Header,
            _ if empty => Output::Header,
            _ => Output::Rows,
        },
        workflow,
        window,
        timeout_seconds,
        status: Status::Pending,
        reason: None,
        created_at: now,
        updated_at: now,
        validated_at: None,
        started_at: None,
        ended_at: None,
        request: body,
    })
}

/// The workflow that is meant, and whether it is a saved one.
fn workflow(
    world: &World,
    call: &Call,
    body: &Map<String, Value>,
) -> Result<(Workflow, bool), Answer> {
    match (body.get("workflowId"), body.get("workflow")) {
        (Some(Value::String(id)), None) => {
            let saved = workflows::find(world, &call.instance, id).cloned();
            Ok((saved.ok_or_else(|| workflows::unknown(400, id))?, true))
        }
        (None, Some(Value::Object(definition))) => {
            let transient = format!("transient_{}", Uuid::new_v4());
            Ok((Workflow::read(definition, &transient)?, false))
        }
        _ => Err(Answer::error(400, "Exactly one of workflowId and workflow is required.")),
    }
}

fn course(
    world: &World,
    call: &Call,
    workflow: &Workflow,
    saved: bool,
    window: &Window,
    dry: bool,
    fault: Option<&Kind>,
) -> Course {
    let usual = || {
        let nth = u64::try_from(world.executions.all().len()).unwrap_or(u64::MAX);
        let parts =
            [world.settings.seed, dice::text(&call.instance), dice::text(&window.sent[0]), nth];
        world.settings.run_time.seconds(dice::mix(&parts))
    };
    if workflow.sql().is_none() {
        return Course::Stuck;
    }
    if let Some(complaint) = workflow.undeclared_parameter().filter(|_| !saved) {
        return Course::Refused(Status::Rejected, complaint);
    }
    if let Some(complaint) = workflow.missing_table() {
        return Course::Refused(Status::Failed, complaint);
    }
    match fault {
        _ if dry => Course::Dry,
        Some(Kind::EndAs { status: Ending::Rejected, reason }) => {
            Course::Refused(Status::Rejected, reason.clone())
        }
        Some(Kind::EndAs { status: Ending::Failed, reason }) => {
            Course::Run(usual(), Some((Status::Failed, reason.clone())))
        }
        Some(Kind::EndAs { status: Ending::Cancelled, reason }) => {
            Course::Run(usual(), Some((Status::Cancelled, reason.clone())))
        }
        Some(Kind::RunFor { seconds }) => Course::Run(*seconds, None),
        _ => Course::Run(usual(), None),
    }
}

fn timeout(body: &Map<String, Value>) -> Result<u32, String> {
    let Some(value) = body.get("workflowExecutionTimeoutSeconds") else { return Ok(21_600) };
    let seconds = value.as_u64().and_then(|seconds| u32::try_from(seconds).ok());
    seconds
        .filter(|seconds| (900..=86_400).contains(seconds))
        .ok_or_else(|| "workflowExecutionTimeoutSeconds must be from 900 to 86400.".to_owned())
}

fn parameters(body: &Map<String, Value>) -> Result<(), String> {
    let values = match body.get("parameterValues") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(values)) => values,
        Some(_) => return Err("parameterValues must be an object.".to_owned()),
    };
    let length = |value: &Value| value.as_str().map_or_else(|| value.to_string().len(), str::len);
    match values.iter().find(|(_, value)| length(value) > PARAMETER_LENGTH) {
        None => Ok(()),
        Some((name, _)) => Err(format!(
            "The value of parameter {name} exceeded maximum allowed length of {PARAMETER_LENGTH}."
        )),
    }
}

fn budget(world: &World, call: &Call) -> Result<(), Answer> {
    let Some(budget) = world.settings.daily_budget else { return Ok(()) };
    let today = world.clock.now().date_naive();
    let recent = world.executions.all().iter().rev();
    let used = recent
        .take_while(|execution| execution.created_at.date_naive() == today)
        .filter(|execution| execution.instance == call.instance)
        .count();
    if u32::try_from(used).is_ok_and(|used| used < budget) {
        Ok(())
    } else {
        Err(Answer::error(422, "Service Limit Exceeded"))
    }
}

fn account_of(world: &World, instance: &str) -> String {
    let mut accounts = world.settings.accounts.iter();
    let account =
        accounts.find(|account| account.instances.iter().any(|one| one.instance_id == instance));
    account.map(|account| account.account_id.clone()).unwrap_or_default()
}

/// Answers `GET …/workflowExecutions/{id}`.
pub(crate) fn get(world: &World, call: &Call) -> Result<Answer, Answer> {
    let execution = find(world, call)?;
    Ok(single(world, execution.show(call.flag("includeWorkflow"))))
}

/// Answers `PUT …/workflowExecutions/{id}`.
pub(crate) fn cancel(world: &mut World, call: &Call) -> Result<Answer, Answer> {
    if call.object()?.get("status") != Some(&json!("CANCELLED")) {
        return Err(Answer::error(400, "The status of an execution can only become CANCELLED."));
    }
    let execution = find(world, call)?;
    let (id, status) = (execution.id.clone(), execution.status.word());
    let now = world.clock.now();
    let World { executions, settings, witness, .. } = world;
    if executions.cancel(&id, now, settings, &mut witness.counts) {
        Ok(Answer::ok(json!({})))
    } else {
        let details =
            format!("Workflow execution with ID {id} is {status} and cannot be cancelled.");
        Err(Answer::error(400, &details))
    }
}

/// The execution that the path names, once it can be seen.
pub(crate) fn find<'a>(world: &'a World, call: &Call) -> Result<&'a Execution, Answer> {
    let delay = TimeDelta::seconds(world.settings.get_delay_seconds.into());
    let execution = world.executions.get(&call.instance, &call.id);
    execution.filter(|execution| execution.created_at + delay <= world.clock.now()).ok_or_else(
        || Answer::error(400, &format!("Workflow execution with ID {} does not exist.", call.id)),
    )
}

/// The answer with one execution, flat or wrapped.
fn single(world: &World, shown: Map<String, Value>) -> Answer {
    Answer::ok(if world.settings.wrapped {
        json!({"workflowExecution": shown})
    } else {
        Value::Object(shown)
    })
}
