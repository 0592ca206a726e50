//! Saved workflows: create, read, replace, list, delete; and what compiling one finds.

use super::answer::Answer;
use super::call::Call;
use super::paging;
use super::world::World;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A query in one of these fails: the way to make an execution fail by its SQL alone.
pub(crate) const MISSING_TABLE: &str = "no_such_table";

/// A workflow as it was saved or sent along.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Workflow {
    pub(crate) id: String,
    /// As it was sent.
    pub(crate) definition: Map<String, Value>,
}

impl Workflow {
    /// Checks the shape of a definition. `id` is the one to use when the definition has none.
    pub(crate) fn read(definition: &Map<String, Value>, id: &str) -> Result<Self, Answer> {
        let id = match definition.get("workflowId") {
            None | Some(Value::Null) => id,
            Some(Value::String(own)) => own,
            Some(_) => return Err(Answer::error(400, "workflowId must be a string.")),
        };
        let letter = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if id.is_empty() || !id.chars().all(letter) {
            let details = "workflowId must be letters, digits, periods, dashes and underscores.";
            return Err(Answer::error(400, details));
        }
        match (definition.get("sqlQuery"), definition.get("query")) {
            (Some(Value::String(sql)), _) if !sql.trim().is_empty() => {}
            (None, Some(_)) => {}
            _ => return Err(Answer::error(400, "sqlQuery must not be empty.")),
        }
        if definition.get("outputFormat").is_some_and(|format| !format.is_object()) {
            return Err(Answer::error(400, "outputFormat must be an object."));
        }
        Ok(Self { id: id.to_owned(), definition: definition.clone() })
    }

    /// The SQL; `None` for the old tree of operations.
    pub(crate) fn sql(&self) -> Option<&str> {
        self.definition.get("sqlQuery")?.as_str()
    }

    /// The column that says which rows are suppressed.
    pub(crate) fn discriminator(&self) -> &str {
        let column = self.definition.get("filteredMetricsDiscriminatorColumn");
        column.and_then(Value::as_str).unwrap_or("filtered")
    }

    /// What compiling complains about: a parameter that the SQL uses and nobody declared.
    pub(crate) fn undeclared_parameter(&self) -> Option<String> {
        let declared: BTreeSet<&str> = self
            .definition
            .get("inputParameters")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|parameter| parameter.get("name")?.as_str())
            .collect();
        let used = self.sql()?.split("CUSTOM_PARAMETER").skip(1);
        used.filter_map(|rest| {
            let rest = rest.trim_start().strip_prefix('(')?.trim_start().strip_prefix('\'')?;
            rest.split_once('\'').map(|(name, _)| name)
        })
        .find(|name| !declared.contains(name))
        .map(|name| {
            format!(
                "Was unable to compile workflow {} because it was found to be invalid: Filter \
                 operation filter_operation referenced an undeclared parameter {name}.",
                self.id
            )
        })
    }

    /// Saving a workflow compiles it.
    fn compiles(&self) -> Result<(), Answer> {
        match self.undeclared_parameter().or_else(|| self.missing_table()) {
            Some(complaint) => Err(Answer::error(400, &complaint)),
            None => Ok(()),
        }
    }

    /// What running complains about: a table that is not there.
    pub(crate) fn missing_table(&self) -> Option<String> {
        self.sql()?.contains(MISSING_TABLE).then(|| {
            format!(
                "Was unable to compile workflow {} because it was found to be invalid: From line \
                 1, column 10 to line 1, column 22: Object '{MISSING_TABLE}' not found.",
                self.id
            )
        })
    }
}

/// Answers `POST …/workflows`.
pub(crate) fn create(world: &mut World, call: &Call) -> Result<Answer, Answer> {
    let workflow = Workflow::read(&call.object()?, "")?;
    workflow.compiles()?;
    let saved = world.workflows.entry(call.instance.clone()).or_default();
    if saved.contains_key(&workflow.id) {
        let details = format!("Workflow with ID {} already exists.", workflow.id);
        return Err(Answer::error(400, &details));
    }
    saved.insert(workflow.id.clone(), workflow);
    Ok(Answer::ok(json!({})))
}

/// Answers `PUT …/workflows/{id}`: the definition is replaced as a whole.
pub(crate) fn update(world: &mut World, call: &Call) -> Result<Answer, Answer> {
    let workflow = Workflow::read(&call.object()?, &call.id)?;
    if workflow.id != call.id {
        return Err(Answer::error(400, "workflowId does not match the path."));
    }
    workflow.compiles()?;
    let saved = world.workflows.get_mut(&call.instance).and_then(|all| all.get_mut(&call.id));
    *saved.ok_or_else(|| unknown(404, &call.id))? = workflow;
    Ok(Answer::ok(json!({})))
}

/// Answers `GET …/workflows/{id}`.
pub(crate) fn get(world: &World, call: &Call) -> Result<Answer, Answer> {
    let workflow = find(world, &call.instance, &call.id).ok_or_else(|| unknown(404, &call.id))?;
    Ok(Answer::ok(json!({"workflow": show(workflow)})))
}

/// Answers `DELETE …/workflows/{id}`.
pub(crate) fn delete(world: &mut World, call: &Call) -> Result<Answer, Answer> {
    let removed = world.workflows.get_mut(&call.instance).and_then(|all| all.remove(&call.id));
    removed.map(|_| Answer::ok(json!({}))).ok_or_else(|| unknown(404, &call.id))
}

/// Answers `GET …/workflows`.
pub(crate) fn list(world: &World, call: &Call) -> Result<Answer, Answer> {
    let saved = world.workflows.get(&call.instance);
    let all = saved.into_iter().flat_map(|all| all.values()).map(show).collect();
    paging::page(call, "workflows", all)
}

/// The saved workflow with this id.
pub(crate) fn find<'a>(world: &'a World, instance: &str, id: &str) -> Option<&'a Workflow> {
    world.workflows.get(instance)?.get(id)
}

/// The answer about a workflow that nobody saved.
pub(crate) fn unknown(status: u16, id: &str) -> Answer {
    Answer::error(status, &format!("Workflow with ID {id} does not exist."))
}

fn show(workflow: &Workflow) -> Value {
    let mut shown = workflow.definition.clone();
    shown.insert("workflowId".to_owned(), json!(workflow.id));
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(definition: &Value) -> Result<Workflow, Answer> {
        Workflow::read(definition.as_object().expect("an object"), "own")
    }

    #[test]
    fn compiling_names_the_parameter_that_nobody_declared() {
        let sql = "select CUSTOM_PARAMETER('a'), CUSTOM_PARAMETER( 'b') from t";
        let workflow = read(&json!({"sqlQuery": sql, "inputParameters": [{"name": "a"}]}));
        let complaint = workflow.expect("a good shape").undeclared_parameter().expect("b");
        assert!(complaint.ends_with("undeclared parameter b."), "{complaint}");
    }

    #[test]
    fn a_definition_without_sql_or_with_an_odd_id_is_refused() {
        assert!(read(&json!({"sqlQuery": " "})).is_err());
        assert!(read(&json!({"sqlQuery": "select 1", "workflowId": "a b"})).is_err());
        assert!(read(&json!({"sqlQuery": "select 1", "outputFormat": "CSV"})).is_err());
        assert_eq!(read(&json!({"sqlQuery": "select 1"})).expect("fine").id, "own");
    }
}
