//! How executions move on: nothing happens by itself, the past is caught up at every call.
//!
//! Each open execution has at most one next event (the end of validation, of running or of
//! publishing). Catching up takes the events in the order of their times, so that a place that
//! becomes free is taken at that very moment by whoever waited longest.

use super::counts::Counts;
use super::execution::{Course, Execution, Output, Status};
use super::settings::Settings;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Every execution there ever was, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Executions {
    all: Vec<Execution>,
    places: HashMap<String, usize>,
    events: BTreeSet<(DateTime<Utc>, usize)>,
    /// Validated and pending, by instance, first in first out.
    waiting: BTreeMap<String, VecDeque<usize>>,
    open: BTreeMap<String, u32>,
    running: BTreeMap<String, u32>,
    running_in_account: BTreeMap<String, u32>,
}

impl Executions {
    /// Takes up executions, oldest first, where an earlier run left them.
    pub(crate) fn resume(all: Vec<Execution>, settings: &Settings) -> Self {
        let mut executions = Self { all, ..Self::default() };
        let mut waiting = Vec::new();
        for place in 0..executions.all.len() {
            let execution = &executions.all[place];
            executions.places.insert(execution.id.clone(), place);
            if execution.status.is_open() && !execution.is_dry() {
                *executions.open.entry(execution.instance.clone()).or_default() += 1;
            }
            if let Some(at) = execution.next_event(settings) {
                executions.events.insert((at, place));
            } else if execution.status == Status::Pending {
                waiting.extend(execution.validated_at.map(|at| (at, place)));
            }
            if execution.status.is_running() {
                executions.take_place(place);
            }
        }
        waiting.sort_unstable();
        for (_, place) in waiting {
            let instance = executions.all[place].instance.clone();
            executions.waiting.entry(instance).or_default().push_back(place);
        }
        executions
    }

    pub(crate) fn all(&self) -> &[Execution] {
        &self.all
    }

    pub(crate) fn get(&self, instance: &str, id: &str) -> Option<&Execution> {
        let execution = &self.all[*self.places.get(id)?];
        (execution.instance == instance).then_some(execution)
    }

    /// Takes a new execution in.
    pub(crate) fn add(&mut self, execution: Execution, settings: &Settings, counts: &mut Counts) {
        let place = self.all.len();
        if !execution.is_dry() {
            let open = self.open.entry(execution.instance.clone()).or_default();
            *open += 1;
            counts.saw_open(&execution.instance, *open);
        }
        if let Some(at) = execution.next_event(settings) {
            self.events.insert((at, place));
        }
        self.places.insert(execution.id.clone(), place);
        self.all.push(execution);
    }

    /// Catches up with everything that has happened until `now`.
    pub(crate) fn settle(&mut self, now: DateTime<Utc>, settings: &Settings, counts: &mut Counts) {
        while let Some(&(at, place)) = self.events.first().filter(|(at, _)| *at <= now) {
            self.events.pop_first();
            match self.all[place].status {
                Status::Pending => self.validated(place, at),
                Status::Running => self.ran(place, at, settings),
                _ => self.end(place, at, Status::Succeeded, None),
            }
            let account = self.all[place].account.clone();
            self.start_waiting(&account, at, settings, counts);
        }
    }

    /// Ends an open execution on the client's wish; false when it has ended already.
    pub(crate) fn cancel(
        &mut self,
        id: &str,
        now: DateTime<Utc>,
        settings: &Settings,
        counts: &mut Counts,
    ) -> bool {
        let Some(&place) = self.places.get(id) else { return false };
        if !self.all[place].status.is_open() {
            return false;
        }
        self.events.retain(|(_, other)| *other != place);
        for queue in self.waiting.values_mut() {
            queue.retain(|other| *other != place);
        }
        self.end(place, now, Status::Cancelled, None);
        let account = self.all[place].account.clone();
        self.start_waiting(&account, now, settings, counts);
        true
    }

    fn validated(&mut self, place: usize, at: DateTime<Utc>) {
        let execution = &mut self.all[place];
        execution.validated_at = Some(at);
        execution.updated_at = at;
        execution.window.choose(execution.created_at);
        match execution.course.clone() {
            Course::Refused(status, reason) => self.end(place, at, status, Some(reason)),
            Course::Dry => {
                execution.output = Output::None;
                self.end(place, at, Status::Succeeded, None);
            }
            Course::Run(..) | Course::Stuck => {
                self.waiting.entry(execution.instance.clone()).or_default().push_back(place);
            }
        }
    }

    fn ran(&mut self, place: usize, at: DateTime<Utc>, settings: &Settings) {
        let execution = &mut self.all[place];
        let Course::Run(seconds, ending) = execution.course.clone() else { return };
        if seconds > execution.timeout_seconds {
            let reason = format!(
                "Workflow execution exceeded its timeout of {} seconds.",
                execution.timeout_seconds
            );
            self.end(place, at, Status::Failed, Some(reason));
        } else if let Some((status, reason)) = ending {
            self.end(place, at, status, Some(reason));
        } else if settings.publishing_seconds > 0 {
            execution.status = Status::Publishing;
            execution.updated_at = at;
            self.events.extend(execution.next_event(settings).map(|at| (at, place)));
        } else {
            self.end(place, at, Status::Succeeded, None);
        }
    }

    fn end(&mut self, place: usize, at: DateTime<Utc>, status: Status, reason: Option<String>) {
        let execution = &mut self.all[place];
        if execution.status.is_running() {
            lower(&mut self.running, &execution.instance);
            lower(&mut self.running_in_account, &execution.account);
        }
        if !execution.is_dry() {
            lower(&mut self.open, &execution.instance);
        }
        execution.status = status;
        execution.reason = reason;
        execution.updated_at = at;
        execution.ended_at = Some(at);
    }

    /// Starts whoever waits in this account, longest first, while there are places.
    fn start_waiting(
        &mut self,
        account: &str,
        at: DateTime<Utc>,
        settings: &Settings,
        counts: &mut Counts,
    ) {
        while count(&self.running_in_account, account) < settings.running_per_account {
            let has_room =
                |instance: &str| count(&self.running, instance) < settings.running_per_instance;
            let next = self
                .waiting
                .iter()
                .filter(|(instance, _)| has_room(instance))
                .filter_map(|(_, queue)| queue.front().copied())
                .filter(|place| self.all[*place].account == account)
                .min();
            let Some(place) = next else { return };
            self.start(place, at, settings);
            let instance = &self.all[place].instance;
            counts.saw_running(instance, count(&self.running, instance));
        }
    }

    fn start(&mut self, place: usize, at: DateTime<Utc>, settings: &Settings) {
        let execution = &mut self.all[place];
        self.waiting.entry(execution.instance.clone()).or_default().pop_front();
        execution.status = Status::Running;
        execution.started_at = Some(at);
        execution.updated_at = at;
        self.events.extend(execution.next_event(settings).map(|at| (at, place)));
        self.take_place(place);
    }

    fn take_place(&mut self, place: usize) {
        let execution = &self.all[place];
        *self.running.entry(execution.instance.clone()).or_default() += 1;
        *self.running_in_account.entry(execution.account.clone()).or_default() += 1;
    }
}

fn count(counts: &BTreeMap<String, u32>, name: &str) -> u32 {
    counts.get(name).copied().unwrap_or_default()
}

fn lower(counts: &mut BTreeMap<String, u32>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
    }
}
