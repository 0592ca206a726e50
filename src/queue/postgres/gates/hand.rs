//! What a person does to gates, by name and with a reason: sets one, opens a breaker.

use super::{lanes, resources, rules, standing};
use crate::queue::error::Error;
use crate::queue::gate::breaker::{self, Breaker};
use crate::queue::gate::{Gate, Gates, Rule};
use crate::queue::postgres::Queue;
use sqlx::PgConnection;
use std::collections::BTreeMap;

impl Queue {
    /// As [`set_gate`](Self::set_gate), and remembers who did it and why. `why` is a sentence.
    pub async fn set_gate_by(
        &self,
        connection: &mut PgConnection,
        resource: &str,
        rule: Rule,
        by: &str,
        why: &str,
    ) -> Result<(), Error> {
        let gate = gate_of(&rule);
        rules::set(connection, resource, rule).await?;
        match gate {
            Some(gate) => standing::note_set(connection, resource, gate, by, why).await,
            None => resources::note(connection, resource, "weight_set", by, why).await,
        }
    }

    /// As [`resume`](Self::resume), and remembers why. `why` is a sentence.
    pub async fn resume_because(
        &self,
        connection: &mut PgConnection,
        resource: &str,
        by: &str,
        why: &str,
    ) -> Result<bool, Error> {
        rules::resume(connection, resource, by, why).await
    }

    /// Opens the resource's breaker until somebody resumes it. A resource without one gets one that
    /// only people open.
    pub async fn trip(
        &self,
        connection: &mut PgConnection,
        resource: &str,
        by: &str,
        why: &str,
    ) -> Result<(), Error> {
        let (mut found, now) = rules::locked(connection, resource).await?;
        let by_hand = || Breaker::new(breaker::Rule { trips: Vec::new(), ..Default::default() });
        let mut breaker = found.breaker.take().map_or_else(by_hand, Ok)?;
        let change = breaker.trip(now, by, why);
        found.breaker = Some(breaker);
        let resources = BTreeMap::from([(resource.to_owned(), found)]);
        let changes = vec![(resource.to_owned(), change)];
        resources::write(connection, &Gates { resources, changes }, by).await?;
        lanes::gate(connection, resource).await
    }
}

/// The gate that a rule is about; `None` for a weight, which is no gate.
fn gate_of(rule: &Rule) -> Option<Gate> {
    match rule {
        Rule::Holds(_) => Some(Gate::Hold),
        Rule::Running(_) => Some(Gate::Limit),
        Rule::Rate(_) => Some(Gate::Rate),
        Rule::Quota(_) => Some(Gate::Quota),
        Rule::Breaker(_) => Some(Gate::Breaker),
        Rule::Weight(_) => None,
    }
}
