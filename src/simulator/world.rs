//! Everything the simulator knows, behind one lock: a call changes it in one step.

use super::access;
use super::answer::{Answer, Payload};
use super::call::{Call, Operation};
use super::clock::Clock;
use super::counts::{Entry, Exchange, Witness};
use super::executions;
use super::faults::{Faults, Kind};
use super::listing;
use super::misbehave::{self, Delivery};
use super::progress::Executions;
use super::results;
use super::settings::Settings;
use super::tokens::{self, Tokens};
use super::workflows::{self, Workflow};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::BTreeMap;

/// The state of the simulated Amazon.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) born_at: DateTime<Utc>,
    pub(crate) base_url: String,
    pub(crate) storage_key: String,
    pub(crate) tokens: Tokens,
    /// Saved workflows by instance and id.
    pub(crate) workflows: BTreeMap<String, BTreeMap<String, Workflow>>,
    pub(crate) executions: Executions,
    pub(crate) faults: Faults,
    pub(crate) witness: Witness,
}

impl World {
    pub(crate) fn new(settings: Settings, base_url: String) -> Self {
        let born_at = settings.started_at.unwrap_or_else(crate::clock::machine);
        Self {
            clock: Clock::new(born_at, settings.speed),
            born_at,
            base_url,
            storage_key: uuid::Uuid::new_v4().to_string(),
            tokens: Tokens::default(),
            workflows: BTreeMap::new(),
            executions: Executions::default(),
            faults: Faults::new(settings.seed, settings.faults.clone()),
            witness: Witness::default(),
            settings,
        }
    }

    /// AMC's time and the client's.
    pub(crate) fn clocks(&self) -> [DateTime<Utc>; 2] {
        [self.clock.now(), self.clock.felt()]
    }

    /// Catches up with the executions' progress.
    pub(crate) fn settle(&mut self) {
        let now = self.clock.now();
        self.executions.settle(now, &self.settings, &mut self.witness.counts);
    }

    /// Counts a call and finds the fault it meets.
    pub(crate) fn arrive(&mut self, call: &Call) -> Option<(u64, Kind)> {
        let felt = self.clock.felt();
        self.witness.arrived(call.operation, felt);
        let window_start = self.window_start(call);
        self.faults.meet(call, &window_start, felt)
    }

    /// Does what a call asks for, or what its fault makes of it.
    pub(crate) fn act(&mut self, call: &Call, fault: Option<&(u64, Kind)>) -> Delivery {
        self.settle();
        let known = self.executions.all().len();
        let kind = fault.map(|(_, kind)| kind);
        let instead = kind.and_then(|kind| misbehave::instead(self, call, kind));
        let delivery = match instead {
            Some(delivery) => {
                if call.operation == Operation::Token {
                    let refresh_token = call.form().remove("refresh_token").unwrap_or_default();
                    self.witness.counts.refreshed(&refresh_token, false);
                }
                delivery
            }
            None => misbehave::afterwards(call, kind, self.answer(call, kind)),
        };
        let created = self.executions.all().get(known).map(|execution| execution.id.clone());
        self.note(call, fault.map(|(id, _)| *id), created, &delivery);
        delivery
    }

    fn answer(&mut self, call: &Call, fault: Option<&Kind>) -> Answer {
        self.dispatch(call, fault).unwrap_or_else(|refusal| refusal)
    }

    fn dispatch(&mut self, call: &Call, fault: Option<&Kind>) -> Result<Answer, Answer> {
        if !matches!(call.operation, Operation::Token | Operation::Download) {
            access::check(self, call)?;
        }
        match call.operation {
            Operation::Token => tokens::grant(self, call),
            Operation::ListAccounts => access::list_accounts(self, call),
            Operation::ListInstances => access::list_instances(self, call),
            Operation::ListWorkflows => workflows::list(self, call),
            Operation::CreateWorkflow => workflows::create(self, call),
            Operation::GetWorkflow => workflows::get(self, call),
            Operation::UpdateWorkflow => workflows::update(self, call),
            Operation::DeleteWorkflow => workflows::delete(self, call),
            Operation::ListExecutions => listing::list(self, call),
            Operation::CreateExecution => executions::create(self, call, fault),
            Operation::GetExecution => executions::get(self, call),
            Operation::CancelExecution => executions::cancel(self, call),
            Operation::DownloadUrls => results::download_urls(self, call),
            Operation::Download => results::download(self, call),
        }
    }

    /// The start of the window that a call is about, as it was sent.
    fn window_start(&self, call: &Call) -> String {
        if call.operation == Operation::CreateExecution {
            let start = call.object().ok().and_then(|mut body| body.remove("timeWindowStart"));
            return start.and_then(|start| start.as_str().map(str::to_owned)).unwrap_or_default();
        }
        let execution = self.executions.get(&call.instance, &call.id);
        execution.map(|execution| execution.window.sent[0].clone()).unwrap_or_default()
    }

    fn note(&mut self, call: &Call, fault: Option<u64>, created: Option<String>, sent: &Delivery) {
        let status = sent.status();
        let entry = Entry {
            sequence: 0,
            operation: call.operation,
            instance: call.instance.clone(),
            id: created.unwrap_or_else(|| call.id.clone()),
            window_start: self.window_start(call),
            status,
            fault,
            at: self.clock.now(),
            felt_at: self.clock.felt(),
        };
        let sequence = self.witness.answered(entry, self.settings.log_limit);
        if self.settings.record_bodies {
            self.witness.exchanges.push(Exchange {
                sequence,
                method: call.method.to_string(),
                path: call.uri.to_string(),
                request: request(call),
                status,
                response: match sent {
                    Delivery::Answer(Answer { body: Payload::Json(body), .. }, _) => {
                        Some(body.clone())
                    }
                    _ => None,
                },
                fault,
            });
        }
    }
}

fn request(call: &Call) -> Option<Value> {
    match call.operation {
        _ if call.body.is_empty() => None,
        Operation::Token => serde_json::to_value(call.form()).ok(),
        _ => serde_json::from_slice(&call.body).ok(),
    }
}
