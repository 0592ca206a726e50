//! Which of the jobs that are due may start: the decision, without I/O.
//!
//! The store reads the candidates and the resources they use, asks here, and writes the answer down
//! in the same transaction, so that limits hold exactly for the whole fleet.

use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};

/// A job that is due, and what it needs to start.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The job.
    pub job_id: i64,
    /// The outside things it uses.
    pub resources: Vec<String>,
    /// In whose name it takes a place on those that are limited.
    pub hold_as: Option<String>,
}

/// How a resource stands at the moment of the claim.
#[derive(Debug, Clone, Default)]
pub struct Resource {
    /// Places that are still free; `None` for any number.
    pub free: Option<i32>,
    /// Set when it is to be left alone until then.
    pub closed_until: Option<DateTime<Utc>>,
}

/// What becomes of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It starts, and takes a place on these resources.
    Start {
        /// The limited resources on which its holder had no place yet.
        takes: Vec<String>,
    },
    /// It waits until a place on this resource is free.
    Block(String),
    /// It waits until a resource may be used again.
    Wait(DateTime<Utc>),
}

/// The gates of one claim.
#[derive(Debug, Default)]
pub struct Gates {
    /// The resources with a row in the store; one without has neither limit nor pause.
    pub resources: HashMap<String, Resource>,
    /// Places that are already taken: (holder, resource).
    pub held: HashSet<(String, String)>,
}

impl Gates {
    /// Decides about one candidate, and remembers the places it took, so that the next one in line
    /// does not get them. All or none: a blocked candidate takes nothing.
    pub fn decide(&mut self, candidate: &Candidate) -> Decision {
        let uses = || candidate.resources.iter().filter_map(|name| self.resources.get(name));
        if let Some(until) = uses().filter_map(|resource| resource.closed_until).max() {
            return Decision::Wait(until);
        }
        let Some(holder) = &candidate.hold_as else {
            return Decision::Start { takes: Vec::new() };
        };
        let takes: Vec<String> = candidate
            .resources
            .iter()
            .filter(|name| self.resources.get(*name).is_some_and(|r| r.free.is_some()))
            .filter(|name| !self.held.contains(&(holder.clone(), (*name).clone())))
            .cloned()
            .collect();
        let is_full =
            |name: &&String| self.resources.get(*name).and_then(|r| r.free).is_some_and(|f| f <= 0);
        if let Some(full) = takes.iter().find(is_full) {
            return Decision::Block(full.clone());
        }
        for name in &takes {
            self.held.insert((holder.clone(), name.clone()));
            if let Some(free) = self.resources.get_mut(name).and_then(|r| r.free.as_mut()) {
                *free -= 1;
            }
        }
        Decision::Start { takes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gates(free: &[(&str, i32)]) -> Gates {
        let limited = |free| Resource { free: Some(free), closed_until: None };
        Gates {
            resources: free.iter().map(|(n, f)| ((*n).to_owned(), limited(*f))).collect(),
            held: HashSet::new(),
        }
    }

    fn candidate(job_id: i64, holder: &str, resources: &[&str]) -> Candidate {
        Candidate {
            job_id,
            resources: resources.iter().map(|r| (*r).to_owned()).collect(),
            hold_as: Some(holder.to_owned()),
        }
    }

    #[test]
    fn a_job_takes_a_place_on_all_its_resources_or_on_none() {
        let mut gates = gates(&[("instance", 1), ("account", 0)]);
        let blocked = gates.decide(&candidate(1, "a", &["instance", "account"]));
        assert_eq!(blocked, Decision::Block("account".to_owned()));
        let next = gates.decide(&candidate(2, "b", &["instance"]));
        assert_eq!(next, Decision::Start { takes: vec!["instance".to_owned()] });
    }

    #[test]
    fn a_holder_that_has_its_place_needs_no_second_one() {
        let mut gates = gates(&[("instance", 0)]);
        gates.held.insert(("a".to_owned(), "instance".to_owned()));
        let again = gates.decide(&candidate(1, "a", &["instance"]));
        assert_eq!(again, Decision::Start { takes: vec![] });
    }

    #[test]
    fn a_closed_resource_keeps_back_even_a_job_that_holds_nothing() {
        let until = DateTime::UNIX_EPOCH;
        let mut gates = Gates::default();
        let closed = Resource { free: None, closed_until: Some(until) };
        gates.resources.insert("host".to_owned(), closed);
        let mut poll = candidate(1, "a", &["host"]);
        poll.hold_as = None;
        assert_eq!(gates.decide(&poll), Decision::Wait(until));
    }

    #[test]
    fn a_resource_that_nobody_limited_keeps_nobody_back() {
        let start = Gates::default().decide(&candidate(1, "a", &["host"]));
        assert_eq!(start, Decision::Start { takes: vec![] });
    }

    proptest! {
        #[test]
        fn no_claim_ever_gives_out_more_places_than_are_free(
            free in 0..20_i32,
            holders in proptest::collection::vec(0..15_u8, 0..60),
        ) {
            let mut gates = gates(&[("r", free)]);
            let mut taken = HashSet::new();
            for (job_id, holder) in holders.iter().enumerate() {
                let job_id = i64::try_from(job_id).expect("few");
                let decision = gates.decide(&candidate(job_id, &holder.to_string(), &["r"]));
                if matches!(&decision, Decision::Start { takes } if !takes.is_empty()) {
                    prop_assert!(taken.insert(*holder), "one place a holder");
                }
            }
            prop_assert!(i32::try_from(taken.len()).expect("few") <= free);
        }
    }
}
