//! What a simulated AMC is like: who may use it, how fast it is, where it misbehaves.

use super::{dice, faults::Fault};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Everything that can be chosen about a [`Simulator`](super::Simulator).
///
/// The secrets in here open nothing but the simulator itself, so they are plain texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Port on 127.0.0.1; zero takes a free one.
    pub port: u16,
    /// Decides every number in the results, every run time and every chance.
    pub seed: u64,
    /// AMC seconds per second that clients feel. Zero stops time until it is advanced by hand.
    pub speed: u32,
    /// Where the clocks start; the machine's time by default.
    pub started_at: Option<DateTime<Utc>>,
    /// The one Login with Amazon client that is known.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Who has granted that client a refresh token.
    pub users: Vec<User>,
    /// The AMC accounts with their instances.
    pub accounts: Vec<Account>,
    /// Campaigns, that is rows per result.
    pub campaigns: u32,
    /// AMC seconds from the submit to the end of validation.
    pub validation_seconds: u32,
    /// How long executions run.
    pub run_time: RunTime,
    /// AMC seconds in `PUBLISHING` between running and success; zero skips that status.
    pub publishing_seconds: u32,
    /// Executions that run at the same time in one instance; the rest are pending, first in first out.
    pub running_per_instance: u32,
    /// The same for all instances of one account.
    pub running_per_account: u32,
    /// Executions that one instance accepts per day (UTC); more are answered 422.
    pub daily_budget: Option<u32>,
    /// Wrap single objects (`{"workflowExecution": {…}}`), as the specification does; the samples
    /// in Amazon's guide are flat.
    pub wrapped: bool,
    /// What a time window that ends in `Z` does.
    pub trailing_z: TrailingZ,
    /// AMC seconds until a new execution appears in the list.
    pub list_delay_seconds: u32,
    /// AMC seconds until a new execution can be asked for by its id; before that it "does not exist".
    pub get_delay_seconds: u32,
    /// How long access tokens live.
    pub token_lifetime: Lifetime,
    /// How long download addresses live.
    pub url_lifetime: Lifetime,
    /// Whether a token answer repeats the refresh token; both occur.
    pub refresh_token_echoed: bool,
    /// HTTP status of "unavailable for download".
    pub not_ready_status: u16,
    /// Whether result files are compressed.
    pub gzip: Gzip,
    /// Files per result; one to three, depending on the window, by default.
    pub result_files: Option<u32>,
    /// Faults that are set from the start.
    pub faults: Vec<Fault>,
    /// Keep the bodies of all requests and answers, so that a test can check them.
    pub record_bodies: bool,
    /// Where workflows, executions and counts are kept between two runs: read at the start, if it
    /// is there, and written at the stop. `None` forgets.
    pub memory: Option<PathBuf>,
    /// Entries kept in the request log; the oldest go first.
    pub log_limit: usize,
}

/// Somebody who granted the client access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The refresh token, `Atzr|…`.
    pub refresh_token: String,
    /// Ids of the accounts that this user sees; empty for all.
    #[serde(default)]
    pub accounts: Vec<String>,
}

/// One AMC account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// `ENTITY…`, what the header `Amazon-Advertising-API-AdvertiserId` carries.
    pub account_id: String,
    /// A name for people.
    pub name: String,
    /// Amazon's marketplace id, such as `ATVPDKIKX0DER`.
    pub marketplace_id: String,
    /// Its instances.
    pub instances: Vec<Instance>,
}

/// One AMC instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// AMC's text id, such as `amcdemous01`.
    pub instance_id: String,
    /// A name for people.
    pub name: String,
    /// Which data it has: `SPONSORED_ADS`, `DISPLAY`.
    pub advertiser_types: Vec<String>,
    /// Until the owner has accepted Amazon's terms every call is answered 403.
    pub terms_accepted: bool,
}

/// How long an execution runs, in AMC seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunTime {
    /// Always the same.
    Fixed {
        /// Seconds.
        seconds: u32,
    },
    /// Evenly spread.
    Between {
        /// Shortest.
        from: u32,
        /// Longest.
        to: u32,
    },
    /// As real ones are: most are short, a few very long (a log-normal shape, by its quantiles).
    LogNormal {
        /// Half are shorter.
        median: u32,
        /// One in ten is longer.
        p90: u32,
        /// The longest.
        tail: u32,
    },
}

/// What a trailing `Z` in a time window does. Reports about the real API disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrailingZ {
    /// Nothing.
    Accept,
    /// The execution succeeds without a single row.
    EmptyResult,
    /// The submit is answered 400.
    Refuse,
}

/// How long something is valid, and by which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifetime {
    /// Seconds.
    pub seconds: u32,
    /// The clock they are counted on.
    pub clock: Pace,
}

/// Which of the two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// AMC's, which may run fast.
    Amc,
    /// The client's.
    Felt,
}

/// Whether result files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gzip {
    /// Plain text.
    Off,
    /// Compressed, with nothing but the first two bytes to tell.
    Bare,
    /// Compressed, with `Content-Encoding: gzip`.
    Declared,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 0,
            seed: 1,
            speed: 1,
            started_at: None,
            client_id: "amzn1.application-oa2-client.simulator".to_owned(),
            client_secret: "simulator-client-secret".to_owned(),
            users: users(),
            accounts: accounts(),
            campaigns: 12,
            validation_seconds: 2,
            run_time: RunTime::LogNormal { median: 180, p90: 900, tail: 7_200 },
            publishing_seconds: 0,
            running_per_instance: 10,
            running_per_account: 200,
            daily_budget: None,
            wrapped: false,
            trailing_z: TrailingZ::EmptyResult,
            list_delay_seconds: 0,
            get_delay_seconds: 0,
            token_lifetime: Lifetime { seconds: 3_600, clock: Pace::Felt },
            url_lifetime: Lifetime { seconds: 600, clock: Pace::Felt },
            refresh_token_echoed: true,
            not_ready_status: 404,
            gzip: Gzip::Off,
            result_files: None,
            faults: Vec::new(),
            record_bodies: false,
            memory: None,
            log_limit: 100_000,
        }
    }
}

impl Settings {
    /// For a lively demonstration: a minute of AMC's time per second, executions of one to three
    /// such minutes, a short stay in `PUBLISHING`.
    pub fn demo() -> Self {
        Self {
            speed: 60,
            run_time: RunTime::Between { from: 60, to: 180 },
            validation_seconds: 10,
            publishing_seconds: 10,
            ..Self::default()
        }
    }

    /// For tests: time stands still until it is advanced, and every execution runs one minute.
    pub fn manual() -> Self {
        Self { speed: 0, run_time: RunTime::Fixed { seconds: 60 }, ..Self::default() }
    }

    /// What is wrong with these settings, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut seen = std::collections::BTreeSet::new();
        for instance in self.accounts.iter().flat_map(|account| &account.instances) {
            if !seen.insert(&instance.instance_id) {
                return Err(format!("accounts: instance {} is listed twice", instance.instance_id));
            }
        }
        if self.running_per_instance == 0 || self.running_per_account == 0 {
            return Err("running_per_instance, running_per_account: at least 1".to_owned());
        }
        if self.result_files.is_some_and(|files| !(1..=5).contains(&files)) {
            return Err("result_files: AMC gives 1 to 5 files".to_owned());
        }
        if !(400..500).contains(&self.not_ready_status) {
            return Err("not_ready_status: a status from 400 to 499".to_owned());
        }
        Ok(())
    }
}

impl RunTime {
    /// The run time that belongs to a number, in seconds.
    pub(crate) fn seconds(self, roll: u64) -> u32 {
        match self {
            Self::Fixed { seconds } => seconds,
            Self::Between { from, to } => {
                from + dice::below(to.saturating_sub(from).saturating_add(1), &[roll])
            }
            Self::LogNormal { median, p90, tail } => {
                let late = p90.saturating_mul(2).clamp(p90, tail.max(p90));
                let quantiles = [
                    (0, median / 4),
                    (5_000, median),
                    (9_000, p90),
                    (9_900, late),
                    (10_000, tail.max(late)),
                ];
                between(&quantiles, dice::below(10_000, &[roll]))
            }
        }
    }
}

/// Reads a value off a line through ascending points.
fn between(points: &[(u32, u32)], x: u32) -> u32 {
    let next = points.iter().position(|(at, _)| *at > x).unwrap_or(points.len() - 1).max(1);
    let ((x0, y0), (x1, y1)) = (points[next - 1], points[next]);
    let rise = u64::from(y1.saturating_sub(y0)) * u64::from(x - x0) / u64::from(x1 - x0);
    y0 + u32::try_from(rise).expect("no more than the rise between two points")
}

fn users() -> Vec<User> {
    vec![
        User { refresh_token: "Atzr|simulator-demo".to_owned(), accounts: Vec::new() },
        User {
            refresh_token: "Atzr|simulator-second".to_owned(),
            accounts: vec!["ENTITY1SIMUS".to_owned()],
        },
    ]
}

fn accounts() -> Vec<Account> {
    let account = |account_id: &str, name: &str, marketplace_id: &str, instances| Account {
        account_id: account_id.to_owned(),
        name: name.to_owned(),
        marketplace_id: marketplace_id.to_owned(),
        instances,
    };
    let instance = |instance_id: &str, name: &str, types: &[&str]| Instance {
        instance_id: instance_id.to_owned(),
        name: name.to_owned(),
        advertiser_types: types.iter().map(|&one| one.to_owned()).collect(),
        terms_accepted: true,
    };
    vec![
        account(
            "ENTITY1SIMUS",
            "Simulated advertiser, US",
            "ATVPDKIKX0DER",
            vec![
                instance("amcdemous01", "Demo US", &["SPONSORED_ADS", "DISPLAY"]),
                instance("amcdemous02", "Demo US, sponsored ads only", &["SPONSORED_ADS"]),
                instance("amcdemosbx1", "Demo US, sandbox", &["SPONSORED_ADS", "DISPLAY"]),
            ],
        ),
        account(
            "ENTITY2SIMUK",
            "Simulated advertiser, UK",
            "A1F83G8C2ARO7P",
            vec![instance("amcdemouk01", "Demo UK", &["SPONSORED_ADS", "DISPLAY"])],
        ),
        account(
            "ENTITY3SIMJP",
            "Simulated advertiser, JP",
            "A1VC38T7YXB528",
            vec![instance("amcdemojp01", "Demo JP", &["SPONSORED_ADS", "DISPLAY"])],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_survive_a_round_trip_and_hold_three_accounts_with_five_instances() {
        let text = serde_json::to_string(&Settings::demo()).expect("settings are plain data");
        let back: Settings = serde_json::from_str(&text).expect("what was written can be read");
        assert_eq!(back, Settings::demo());
        assert_eq!(back.accounts.len(), 3);
        assert_eq!(back.accounts.iter().flat_map(|account| &account.instances).count(), 5);
    }

    #[test]
    fn a_misspelt_setting_is_refused() {
        let error = serde_json::from_str::<Settings>(r#"{"sped":3}"#).expect_err("unknown field");
        assert!(error.to_string().contains("sped"), "{error}");
    }

    #[test]
    fn settings_that_contradict_amc_are_refused_by_name() {
        let refused = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check().expect_err("refused")
        };
        assert!(refused(|s| s.result_files = Some(6)).contains("result_files"));
        assert!(refused(|s| s.running_per_instance = 0).contains("running_per_instance"));
        assert!(refused(|s| s.not_ready_status = 200).contains("not_ready_status"));
        assert!(refused(|s| s.accounts.extend(accounts())).contains("listed twice"));
        assert_eq!(Settings::default().check(), Ok(()));
    }

    #[test]
    fn run_times_follow_their_quantiles() {
        let run_time = RunTime::LogNormal { median: 180, p90: 900, tail: 7_200 };
        let mut seconds: Vec<u32> = (0..10_000).map(|roll| run_time.seconds(roll)).collect();
        seconds.sort_unstable();
        assert!((150..=210).contains(&seconds[5_000]), "median {}", seconds[5_000]);
        assert!((800..=1_000).contains(&seconds[9_000]), "p90 {}", seconds[9_000]);
        assert!(seconds[9_999] <= 7_200 && seconds[9_990] > 1_800);
        assert!((0..500).all(|roll| {
            (60..=180).contains(&RunTime::Between { from: 60, to: 180 }.seconds(roll))
        }));
    }
}
