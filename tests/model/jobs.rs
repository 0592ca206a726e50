//! The jobs of the sequences: three kinds, made as a plan says, and what their handlers answer.

use super::steps::{How, Plan};
use recomamp::queue::job::Priority;
use recomamp::queue::{Attempt, Failure, Job, NewJob, Outcome, Share};
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub const MAX_ATTEMPTS: i16 = 4;

macro_rules! kind {
    ($name:ident, $kind:literal, $queue:literal) => {
        #[derive(Serialize, Deserialize)]
        struct $name {
            name: String,
            key: Option<u8>,
        }

        impl Job for $name {
            type Tools = ();
            const KIND: &'static str = $kind;
            const QUEUE: &'static str = $queue;
            const MAX_ATTEMPTS: i16 = MAX_ATTEMPTS;

            fn unique_key(&self) -> Option<String> {
                self.key.map(|key| key.to_string())
            }

            async fn run(&self, (): &(), _: &Attempt) -> Result<Outcome, Failure> {
                Ok(Outcome::Done)
            }
        }
    };
}

kind!(Alpha, "alpha", "default");
kind!(Beta, "beta", "default");
kind!(Gamma, "gamma", "other");

/// What is enqueued when the job of this name is discarded.
pub fn last_will() -> Plan {
    Plan {
        kind: 1,
        version: 1,
        key: None,
        delay_ms: 0,
        uses: Vec::new(),
        holder: None,
        priority: Priority::Normal,
        share: Share::Live,
        if_discarded: false,
    }
}

pub fn new_job(name: &str, plan: &Plan) -> NewJob {
    let (name, key) = (name.to_owned(), plan.key);
    let will = plan.if_discarded.then(|| new_job(&format!("{name}d"), &last_will()));
    let job = match plan.kind {
        0 => NewJob::of(&Alpha { name, key }),
        1 => NewJob::of(&Beta { name, key }),
        _ => NewJob::of(&Gamma { name, key }),
    };
    let mut job = job
        .expect("it is JSON")
        .after(Duration::from_millis(plan.delay_ms))
        .with_priority(plan.priority)
        .with_share(plan.share)
        .of_version(plan.version);
    for (resource, cost) in &plan.uses {
        job = job.taking(*cost, (*resource).to_owned());
    }
    if let Some(holder) = plan.holder {
        job = job.holding_as(format!("h{holder}"));
    }
    match will {
        Some(will) => job.if_discarded(will),
        None => job,
    }
}

/// How an attempt ends, as its handler says it. `names` are those of the jobs that follow.
pub fn result(how: &How, names: &[String]) -> Result<Outcome, Failure> {
    let error = || anyhow::anyhow!("boom");
    match how {
        How::Done => Ok(Outcome::Done),
        How::Then(plans) => Ok(Outcome::Then(
            names.iter().zip(plans).map(|(name, plan)| new_job(name, plan)).collect(),
        )),
        How::Snooze(ms) => Ok(Outcome::Snooze(Duration::from_millis(*ms))),
        How::Transient => Err(Failure::transient(error())),
        How::Throttled(told, resource) => {
            Err(Failure::throttled(error(), told.map(Duration::from_secs), *resource))
        }
        How::Unauthorized(credential) => Err(Failure::unauthorized(error(), *credential)),
        How::Permanent => Err(Failure::permanent(error())),
        How::Cancelled => Err(Failure::new(recomamp::queue::error::Class::Cancelled, error())),
        How::Interrupted => Err(Failure::interrupted()),
    }
}
