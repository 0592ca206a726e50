//! Reads the parameters of an address one by one, so that an error names the one that is wrong.

use super::error::Problem;
use crate::given;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use std::collections::BTreeMap;
use std::str::FromStr;

/// As axum gives them.
pub type Given = Result<Query<BTreeMap<String, String>>, QueryRejection>;

/// The parameters that have not been read yet.
#[derive(Debug)]
pub struct Parameters {
    map: BTreeMap<String, String>,
    known: Vec<&'static str>,
}

impl Parameters {
    /// Those of a request.
    pub fn of(given: Given) -> Result<Self, Problem> {
        let Query(map) = given.map_err(|rejection| {
            Problem::unreadable(format!("the query cannot be read: {rejection}"))
        })?;
        if map.values().any(|value| value.contains('\0')) {
            return Err(Problem::unreadable("the query has a NUL character in it: leave it out"));
        }
        Ok(Self { map, known: Vec::new() })
    }

    /// One that may be missing.
    pub fn optional<T: FromStr>(
        &mut self,
        name: &'static str,
        must_be: &str,
    ) -> Result<Option<T>, Problem> {
        self.known.push(name);
        let Some(text) = self.map.remove(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            Problem::invalid(name, format!("{name} is not {must_be}"))
                .with_remedy(format!("give {must_be}"))
        })
    }

    /// A text of a form that may be missing. `read` tells what is wrong with it as a phrase that follows
    /// the parameter's name, with the remedy after a colon.
    pub fn text<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.optional::<String>(name, "text")? else { return Ok(None) };
        read(&text).map(Some).map_err(|wrong| {
            let (what, remedy) = wrong.split_once(": ").unwrap_or((&wrong, ""));
            Problem::invalid(name, format!("{name} {what}")).with_remedy(remedy)
        })
    }

    /// Who asks: `by`; `api` when nobody says.
    pub fn who(&mut self) -> Result<String, Problem> {
        Ok(self.text("by", given::name)?.unwrap_or_else(|| "api".to_owned()))
    }

    /// Ends the reading of a list that is always whole.
    pub fn none(given: Given) -> Result<(), Problem> {
        Self::of(given)?.end()
    }

    /// How many to list: 1 to 1000, and 50 when it is not said.
    pub fn limit(&mut self) -> Result<i64, Problem> {
        const MUST_BE: &str = "a whole number from 1 to 1000";
        let limit = self.optional("limit", MUST_BE)?.unwrap_or(50);
        if (1..=1000).contains(&limit) {
            return Ok(limit);
        }
        Err(Problem::invalid("limit", format!("limit is not {MUST_BE}"))
            .with_remedy(format!("give {MUST_BE}")))
    }

    /// Ends the reading: one that nobody asked for is most likely misspelt.
    pub fn end(self) -> Result<(), Problem> {
        let Some(stranger) = self.map.into_keys().next() else { return Ok(()) };
        let remedy = match self.known.as_slice() {
            [] => "leave it out: all of them are listed".to_owned(),
            known => format!("give only {}", known.join(", ")),
        };
        Err(Problem::invalid(&stranger, format!("{stranger} is not a parameter"))
            .with_remedy(remedy))
    }
}
