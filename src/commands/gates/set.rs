//! `recomamp gates set`: gives a resource gates, changes them, takes them away.

use crate::commands::person::Person;
use crate::commands::{connect, output, wrong};
use crate::config::{self, Database};
use crate::given;
use crate::plural::counted;
use crate::queue::Queue;
use crate::queue::gate::Rule;
use crate::queue::gate::breaker::{self, Breaker};
use crate::queue::gate::quota::Quota;
use crate::queue::gate::rate::Rate;
use crate::telemetry::Mode;
use anyhow::Result;
use clap::Args;

/// Sets gates of a resource; what is not named stays. They hold for every job that starts from now on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp gates set host:api.example.com --running 4 --rate 10/1s --burst 5
  recomamp gates set amc_instance:amcacme --quota 30@Europe/Berlin --why 'executions a day, our contract'
  recomamp gates set kind:ping --breaker '{\"trips\": [{\"consecutive\": {\"k\": 5}}]}'
  recomamp gates set queue:default --running none")]
pub struct Set {
    /// The resource, such as host:api.example.com, queue:default or kind:ping.
    #[arg(value_parser = given::resource)]
    resource: String,
    #[command(flatten)]
    rules: Rules,
    /// How much of the rate may start at one instant.
    #[arg(long, requires = "rate")]
    burst: Option<u32>,
    /// Why, in a sentence for whoever finds it.
    #[arg(long, alias = "reason", value_parser = given::sentence, default_value = "no reason given")]
    why: String,
    #[command(flatten)]
    person: Person,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Rules {
    /// How many attempts may run at once; none for any number.
    #[arg(long, value_name = "N|none", value_parser = places)]
    running: Option<Given<i32>>,
    /// How many places there are, which outlive the jobs that take them; none for any number.
    #[arg(long, value_name = "N|none", value_parser = places)]
    holds: Option<Given<i32>>,
    /// How many jobs may start in any window, as in 10/1s or 100/5m; none for any number.
    #[arg(long, value_name = "N/TIME|none", value_parser = rate)]
    rate: Option<Given<Rate>>,
    /// How many jobs may start a day, and where the day begins, as in 30@Europe/Berlin; none for any. Where the
    /// resource has places, as an AMC instance has, so many of them may be taken a day.
    #[arg(long, value_name = "N@ZONE|none", value_parser = quota)]
    quota: Option<Given<Quota>>,
    /// When to leave it alone because it fails, as JSON; {} for the usual; none for never.
    #[arg(long, value_name = "JSON|none", value_parser = breaker_rule)]
    breaker: Option<Given<breaker::Rule>>,
    /// How many jobs of its lanes start in one turn, beside one of others.
    #[arg(long, value_parser = clap::value_parser!(i16).range(1..=1000))]
    weight: Option<i16>,
}

/// What was given for a gate: a rule, or that there be none.
#[derive(Debug, Clone)]
struct Given<T>(Option<T>);

impl Set {
    pub(super) async fn run(self) -> Result<()> {
        let (resource, by, why) = (&self.resource, self.person.name(), &self.why);
        let rules = self.rules.into_rules(self.burst)?;
        let database: Database = crate::commands::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let count = rules.len();
        for rule in rules {
            Queue::new().set_gate_by(&mut tx, resource, rule, by, why).await?;
        }
        tx.commit().await?;
        let what = counted(count, "gate", "gates");
        output::line(format!("{what} of {resource} set: see `recomamp gates show {resource}`."))
    }
}

impl Rules {
    fn into_rules(self, burst: Option<u32>) -> Result<Vec<Rule>> {
        let rate = match self.rate {
            Some(Given(Some(rate))) => Some(Given(Some(with_burst(rate, burst)?))),
            other => other,
        };
        let rules = [
            self.running.map(|Given(max)| Rule::Running(max)),
            self.holds.map(|Given(max)| Rule::Holds(max)),
            rate.map(|Given(rate)| Rule::Rate(rate)),
            self.quota.map(|Given(quota)| Rule::Quota(quota)),
            self.breaker.map(|Given(rule)| Rule::Breaker(rule)),
            self.weight.map(Rule::Weight),
        ];
        Ok(rules.into_iter().flatten().collect())
    }
}

fn with_burst(rate: Rate, burst: Option<u32>) -> Result<Rate> {
    match burst {
        Some(burst) => rate.with_burst(burst).map_err(wrong),
        None => Ok(rate),
    }
}

/// A rule, or the word none.
fn given<T>(text: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<Given<T>, String> {
    if text == "none" { Ok(Given(None)) } else { read(text).map(|rule| Given(Some(rule))) }
}

fn places(text: &str) -> Result<Given<i32>, String> {
    given(text, |text| {
        let places = text.parse().ok().filter(|places| *places >= 0);
        places.ok_or_else(|| "write a whole number from 0 on, or none".to_owned())
    })
}

fn rate(text: &str) -> Result<Given<Rate>, String> {
    given(text, |text| {
        let wrong = || "write a number and a time, as in 10/1s or 100/5m, or none".to_owned();
        let (tokens, period) = text.split_once('/').ok_or_else(wrong)?;
        let tokens = tokens.trim().parse().map_err(|_| wrong())?;
        let period = config::duration(period.trim()).map_err(|_| wrong())?;
        Rate::new(tokens, period).map_err(|invalid| invalid.to_string())
    })
}

fn quota(text: &str) -> Result<Given<Quota>, String> {
    given(text, |text| {
        let wrong = || "write a number and a time zone, as in 30@Europe/Berlin, or none".to_owned();
        let (limit, zone) = text.split_once('@').ok_or_else(wrong)?;
        let limit = limit.trim().parse().map_err(|_| wrong())?;
        Quota::new(limit, zone.trim()).map_err(|invalid| invalid.to_string())
    })
}

fn breaker_rule(text: &str) -> Result<Given<breaker::Rule>, String> {
    given(text, |text| {
        let rule: breaker::Rule = serde_json::from_str(text).map_err(|error| {
            format!("it is no rule ({error}): write {{}} for the usual one, or none")
        })?;
        Breaker::new(rule.clone()).map_err(|invalid| invalid.to_string())?;
        Ok(rule)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_a_rule_or_none() {
        assert!(places("none").is_ok_and(|given| given.0.is_none()));
        assert!(rate("10/1s").is_ok_and(|given| given.0.is_some_and(|rate| rate.tokens() == 10)));
        assert!(quota("30@Europe/Berlin").is_ok_and(|given| given.0.is_some()));
        assert!(breaker_rule("{}").is_ok_and(|given| given.0.is_some()));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (message, remedy) in [
            (places("-1").err(), "from 0 on"),
            (rate("10").err(), "as in 10/1s"),
            (rate("0/1s").err(), "pause it"),
            (quota("30").err(), "as in 30@Europe/Berlin"),
            (quota("30@Mars").err(), "IANA"),
            (breaker_rule("{\"probes\": 0}").err(), "between 1 and 1000"),
            (breaker_rule("[").err(), "write {}"),
        ] {
            assert!(message.as_ref().is_some_and(|said| said.contains(remedy)), "{message:?}");
        }
    }
}
