//! The sentences of an explanation, for somebody who was woken up by it.

use super::facts::{Facts, Holders, LaneStanding, Standing, Subject};
use super::{Rank, Reason, gates};
use crate::plural;
use crate::queue::gate::Gate;
use crate::queue::gate::breaker::{Breaker, State};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

pub(super) fn finished(facts: &Facts) -> String {
    let job = &facts.job;
    let when = job.finished_at.map(|at| past(at, facts.now)).unwrap_or_default();
    let why = job.last_error.as_ref().map(|error| format!("; its last failure: {error}"));
    format!("It has finished: {} {when}{}", job.state.as_str(), why.unwrap_or_default())
}

pub(super) fn running(facts: &Facts) -> String {
    let by = facts.runner.as_deref().unwrap_or("a process that is unknown here");
    let since = facts.job.claimed_at.map(|at| past(at, facts.now)).unwrap_or_default();
    format!("It runs, on {by}, claimed {since}: nothing holds it")
}

/// Why its time is still to come, as far as its counters tell.
pub(super) fn why_later(job: &Subject) -> String {
    if job.claimed_at.is_none() {
        return "it was asked for at this time".to_owned();
    }
    let of = format!(" of {}", job.max_attempts);
    let said = job.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    // A snooze ends every row of mishaps, so what is counted here came after the last one.
    if job.rescues > 0 && job.last_error.as_ref().is_some_and(|said| said.contains("died")) {
        return format!("its process died under it, {} so far{said}", times(job.rescues));
    }
    if job.throttles > 0 {
        return format!("it was asked to slow down, {} so far{said}", times(job.throttles));
    }
    match (job.attempt > 0, job.snoozes > 0) {
        (true, false) => format!("it tries again after failed attempt {}{of}{said}", job.attempt),
        (false, true) => format!("it asked to run again later, {} so far", times(job.snoozes)),
        (true, true) => format!(
            "it waits after a failed attempt or because it asked to: {}{of}, {}{said}",
            plural::counted(job.attempt, "failed attempt", "failed attempts"),
            plural::counted(job.snoozes, "snooze", "snoozes")
        ),
        (false, false) => "somebody moved its time".to_owned(),
    }
}

pub(super) fn not_due(facts: &Facts, why: &str) -> String {
    let when = facts.job.run_at.map(|at| future(at, facts.now)).unwrap_or_default();
    format!("Not due before {when}: {why}")
}

pub(super) fn credential(facts: &Facts, resource: &str) -> String {
    let job = &facts.job;
    let since = job.claimed_at.map(|at| past(at, facts.now)).unwrap_or_default();
    let by_itself = job.run_at.map(|at| future(at, facts.now)).unwrap_or_default();
    let said = job.last_error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
    format!(
        "Waits until {resource} is opened, which was refused to the attempt of {since}{said}; it looks \
         by itself after {by_itself}"
    )
}

/// What is wrong, and what has to happen.
pub(super) fn no_process(facts: &Facts) -> (String, String) {
    let job = &facts.job;
    let all = &facts.processes;
    let working: Vec<_> = all.iter().filter(|process| process.works_on(&job.queue)).collect();
    let newest = working.iter().filter_map(|process| process.version_of(&job.kind)).max();
    let (text, missing) = if all.is_empty() {
        ("No process has been heard of lately".to_owned(), "a worker starts".to_owned())
    } else if working.is_empty() {
        let names: Vec<&str> = all.iter().take(10).map(|process| process.name.as_str()).collect();
        (
            format!(
                "None of {} works on the queue {:?} ({})",
                plural::counted(all.len(), "live process", "live processes"),
                job.queue,
                names.join(", ")
            ),
            format!("a worker of the queue {:?} starts", job.queue),
        )
    } else if let Some(newest) = newest {
        (
            format!(
                "Its arguments are version {} of the kind {:?}; the newest that a live process of \
                 its queue can read is {newest}",
                job.version, job.kind
            ),
            format!("a newer build is deployed, which knows version {}", job.version),
        )
    } else {
        (
            format!(
                "None of {} of its queue knows the kind {:?}",
                plural::counted(working.len(), "live process", "live processes"),
                job.kind
            ),
            format!("a build is deployed that knows the kind {:?}", job.kind),
        )
    };
    (format!("{text}: it is left alone until {missing}"), missing)
}

/// What a shut gate says. The reason has everything but its text.
pub(super) fn shut(facts: &Facts, standing: &Standing, gate: Gate, reason: &Reason) -> String {
    let now = facts.now;
    let name = &standing.needed.resource;
    let resource = &standing.resource;
    let until = reason.until.map(|at| future(at, now));
    let set = gates::set_by(standing.set_by.get(&gate));
    match gate {
        Gate::Paused => {
            let since = reason.since.map(|at| past(at, now)).unwrap_or_default();
            let by = reason.by.as_deref().unwrap_or("somebody");
            let why = reason.why.as_deref().unwrap_or("no reason given");
            let until = until.unwrap_or_else(|| "somebody resumes it".to_owned());
            format!("{name} is paused by {by} since {since}, until {until}: {why}")
        }
        Gate::Breaker => breaker(name, resource.breaker.as_ref(), until.as_deref()),
        Gate::NotBefore => {
            let why = resource.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{name} asked to be left alone until {}{why}", until.unwrap_or_default())
        }
        Gate::Limit if resource.max_running == Some(0) => {
            format!("Nobody may run on {name}, because its limit is 0{set}")
        }
        Gate::Hold if resource.max_holds == Some(0) => format!(
            "Nobody may begin on {name}, because its limit is 0 places{set}; {}",
            named("held by", &standing.places, now)
        ),
        Gate::Limit => format!(
            "{name} has its limit of {}{set}; {}",
            plural::counted(resource.max_running.unwrap_or(0), "running job", "running jobs"),
            named("running now", &standing.running, now)
        ),
        Gate::Hold => format!(
            "All {} places on {name} are taken ({} held{set}); {}",
            resource.max_holds.unwrap_or(0),
            resource.held,
            named("held by", &standing.places, now)
        ),
        Gate::Rate => rate(facts, standing, &until.unwrap_or_default(), &set),
        Gate::Quota => {
            let (used, limit, zone) = resource.quota.as_ref().map_or((0, 0, "UTC"), |quota| {
                (quota.used_today(now), quota.limit(), quota.zone())
            });
            format!(
                "{name} has used {used} of {limit} for today{set}; the next day begins in {zone} at {}",
                until.unwrap_or_default()
            )
        }
    }
}

fn breaker(name: &str, breaker: Option<&Breaker>, until: Option<&str>) -> String {
    match breaker.map(Breaker::state) {
        Some(State::Open { since, why, .. }) => {
            let until = until.unwrap_or("somebody resumes it");
            format!("The breaker of {name} is open since {}, until {until}: {why}", said(*since))
        }
        Some(State::HalfOpen { since, good, probes, .. }) => {
            let jobs: Vec<String> =
                probes.iter().take(10).map(|(job, _)| format!("job {job}")).collect();
            format!(
                "The breaker of {name} is half-open since {}: {} under way ({}), {good} succeeded \
                 so far; the others wait",
                said(*since),
                plural::counted(probes.len(), "probe", "probes"),
                jobs.join(", ")
            )
        }
        Some(State::Closed { .. }) | None => format!("The breaker of {name} is closed"),
    }
}

fn rate(facts: &Facts, standing: &Standing, until: &str, set: &str) -> String {
    let name = &standing.needed.resource;
    let Some(rate) = &standing.resource.rate else { return String::new() };
    let scale = rate.scale(facts.now);
    let slowed = if scale < 1.0 {
        format!(", lowered to {:.0} % after it was refused", scale * 100.0)
    } else {
        String::new()
    };
    let line = match rate.line_ends(facts.now) {
        Some(last) => format!("; others are in line for the starts until {}", said(last)),
        None => String::new(),
    };
    format!(
        "{name} starts at most {} in {:?}{set}{slowed}: the next may start at {until}{line}",
        rate.tokens(),
        rate.period()
    )
}

pub(super) fn left_shut(
    lane: &LaneStanding,
    resource: &str,
    gate: &str,
    now: DateTime<Utc>,
) -> String {
    let then = match lane.opens_at {
        Some(at) => format!("its turn comes at {}", future(at, now)),
        None => {
            "those who have waited longer go first, and a sweep lets in whoever is left".to_owned()
        }
    };
    format!("Its lane was shut by the gate {gate} of {resource}, which is open now: {then}")
}

pub(super) fn turn(facts: &Facts) -> String {
    let Some(rank) = facts.rank else {
        return "No gate is shut: the next free slot takes it".to_owned();
    };
    let slot = match (rank.free(), rank.slots) {
        (Some(0), Some(slots)) => {
            format!("all {slots} slots of the queue are taken: it starts when its turn comes")
        }
        (Some(free), Some(slots)) => {
            format!("{free} of {slots} slots of the queue are free: it starts with a next claim")
        }
        _ => "it starts in a free slot when its turn comes".to_owned(),
    };
    format!(
        "No gate is shut. {} of its lane go first, {} of its queue take turns with it; {slot}",
        counted(rank.ahead, "job", "jobs"),
        counted(rank.lanes, "other lane", "other lanes"),
    )
}

fn times(count: impl std::fmt::Display) -> String {
    plural::counted(count, "time", "times")
}

fn counted(count: i64, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {one}"),
        count if count >= Rank::MOST => format!("{count} or more {many}"),
        count => plural::counted(count, one, many),
    }
}

fn named(what: &str, holders: &Holders, now: DateTime<Utc>) -> String {
    if holders.first.is_empty() {
        return format!("{what}: nobody");
    }
    let names: Vec<String> = holders
        .first
        .iter()
        .map(|holder| {
            let since = holder.since.map(|at| format!(" since {}", past(at, now)));
            format!("{} (job {}{})", holder.name, holder.job_id, since.unwrap_or_default())
        })
        .collect();
    let shown = i64::try_from(names.len()).unwrap_or(i64::MAX);
    let more = match holders.count - shown {
        more if more > 0 => format!(" and {more} more"),
        _ => String::new(),
    };
    format!("{what}: {}{more}", names.join(", "))
}

fn said(time: DateTime<Utc>) -> String {
    time.trunc_subsecs(0).format("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn past(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ({} ago)", said(time), span(now - time))
}

fn future(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} (in {})", said(time), span(time - now))
}

fn span(length: TimeDelta) -> String {
    match length.num_seconds().max(0) {
        s if s < 120 => format!("{s} s"),
        s if s < 7200 => format!("{} min", s / 60),
        s if s < 172_800 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}
