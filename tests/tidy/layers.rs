//! Who may use whom, downwards only, and which crate lives where.

use super::none;
use crate::sources::{Source, files};
use std::collections::BTreeSet;

/// What everybody stands on.
const GROUND: [&str; 9] = [
    "clock",
    "config",
    "given",
    "metrics",
    "plural",
    "schema",
    "telemetry",
    "transaction",
    "shutdown",
];

/// Every room and what it may use besides itself and the ground, from the ground up.
///
/// `queue`, `store` and `amc` are islands: none knows another, and the jobs bring them together.
/// `simulator` is an island too, so that it cannot agree with the client by sharing its code.
/// `api`, `console` and `schedule` never call AMC: they enqueue.
const ROOMS: [(&str, &[&str]); 18] = [
    ("embedded", &[]),
    ("queue", &[]),
    ("store", &[]),
    ("amc", &[]),
    ("webhooks", &[]),
    ("simulator", &[]),
    ("parameters", &[]),
    ("backfill", &["queue", "store", "parameters"]),
    ("reports", &["queue", "store"]),
    ("tools", &["queue", "store", "amc", "webhooks", "backfill", "reports"]),
    ("jobs", &["queue", "store", "amc", "webhooks", "parameters", "backfill", "reports", "tools"]),
    ("register", &["queue", "store", "amc", "webhooks", "parameters", "backfill", "tools", "jobs"]),
    ("steering", &["queue", "store", "parameters", "backfill", "tools", "jobs"]),
    (
        "schedule",
        &["queue", "store", "parameters", "backfill", "reports", "tools", "jobs", "steering"],
    ),
    (
        "api",
        &[
            "queue",
            "store",
            "webhooks",
            "parameters",
            "backfill",
            "reports",
            "tools",
            "jobs",
            "steering",
            "register",
            "schedule",
        ],
    ),
    (
        "console",
        &[
            "queue",
            "store",
            "parameters",
            "backfill",
            "reports",
            "tools",
            "jobs",
            "steering",
            "schedule",
        ],
    ),
    (
        "commands",
        &[
            "embedded",
            "queue",
            "store",
            "amc",
            "webhooks",
            "simulator",
            "parameters",
            "backfill",
            "reports",
            "tools",
            "jobs",
            "steering",
            "register",
            "schedule",
            "api",
            "console",
        ],
    ),
    ("main", &["commands"]),
];

/// A crate and the only places that may name it.
const HOMES: [(&str, &[&str]); 8] = [
    ("reqwest", &["src/amc", "src/webhooks"]),
    ("axum", &["src/api", "src/console", "src/commands", "src/simulator", "src/amc/tests"]),
    ("redis", &["src/queue/redis"]),
    ("apalis", &["src/queue/worker.rs"]),
    ("apalis_core", &["src/queue/worker.rs"]),
    ("clap", &["src/main.rs", "src/commands"]),
    ("indicatif", &["src/commands"]),
    ("nix", &["src/embedded"]),
];

#[test]
fn nobody_reaches_upwards_or_to_another_island() {
    let mut violations = Vec::new();
    for source in files(&["src", "jobs"], &[".rs"]) {
        // A fixture is mounted for unit tests only, so it may use the harness.
        if source.path == "src/lib.rs" || source.path.ends_with("/fixture.rs") {
            continue;
        }
        for used in rooms_used(&source) {
            match may_use(source.room(), &used) {
                Some(true) => {}
                Some(false) => violations.push(format!("{} uses {used}", source.path)),
                None => violations.push(format!(
                    "{} uses {used}: give both a line in ROOMS of tests/tidy/layers.rs",
                    source.path
                )),
            }
        }
    }
    none("Dependencies go downwards only", &violations);
}

/// Whether one room may use another; `None` when a room is not known.
fn may_use(room: &str, used: &str) -> Option<bool> {
    let known = |name: &str| GROUND.contains(&name) || ROOMS.iter().any(|(room, _)| *room == name);
    if room == used {
        return Some(true);
    }
    if !known(room) || !known(used) {
        return None;
    }
    let allowed = ROOMS.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, uses)| *uses);
    // Within the ground, settings are read by the rest.
    let ground = if GROUND.contains(&room) { used == "config" } else { GROUND.contains(&used) };
    Some(ground || allowed.contains(&used))
}

/// The rooms that a file names, by `crate::…`, `recomamp::…` or enough `super::`.
fn rooms_used(source: &Source) -> BTreeSet<String> {
    let code = source.production_code();
    let mut used = BTreeSet::new();
    for start in ["crate::", "recomamp::"] {
        for (at, _) in words(&code, start) {
            used.extend(first_names(&code[at + start.len()..]));
        }
    }
    let depth = depth(&source.path);
    for (at, _) in words(&code, "super::") {
        // Only the first of a chain, which then says how far up it goes.
        if code[..at].ends_with("super::") {
            continue;
        }
        let chain = code[at..].split("super::").take_while(|part| part.is_empty()).count();
        if chain >= depth {
            used.extend(first_names(&code[at + chain * "super::".len()..]));
        }
    }
    used
}

/// How many `super::` lead from a file to the root of the crate.
fn depth(path: &str) -> usize {
    let modules = path.strip_prefix("src/").unwrap_or(path).trim_end_matches("/mod.rs");
    modules.split('/').count()
}

/// Where a word stands that is not the end of a longer one.
fn words<'c>(code: &'c str, word: &'c str) -> impl Iterator<Item = (usize, &'c str)> {
    code.match_indices(word).filter(|(at, _)| {
        let before = code[..*at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == '$')
    })
}

/// The names that a path begins with: one for `queue::Job`, two for `{amc, store::users}`.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut names = Vec::new();
    let mut level = 0;
    let mut begin = 0;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => level += 1,
            ',' | '}' if level == 0 => {
                names.push(name(group[begin..at].trim()));
                begin = at + 1;
                if letter == '}' {
                    break;
                }
            }
            '}' => level -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn name(path: &str) -> String {
    path.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

#[test]
fn every_crate_stays_in_its_home() {
    let mut violations = Vec::new();
    for source in files(&["src", "jobs"], &[".rs"]) {
        let code = source.production_code();
        for (name, homes) in HOMES {
            let at_home = homes.iter().any(|home| {
                source
                    .path
                    .strip_prefix(home)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            let path = format!("{name}::");
            let import = format!("use {name}");
            let named = words(&code, &path).next().is_some()
                || words(&code, &import)
                    .any(|(at, _)| code[at + import.len()..].starts_with([';', ' ']));
            if named && !at_home {
                violations.push(format!("{} names {name}: its home is {homes:?}", source.path));
            }
        }
    }
    none("One home per dependency", &violations);
}

#[test]
fn a_reach_is_seen_however_it_is_written() {
    let used = |path: &str, text: &str| {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        rooms_used(&source).into_iter().collect::<Vec<_>>().join(" ")
    };
    let claim = "src/queue/postgres/claim.rs";
    assert_eq!(used(claim, "use crate::store::users;"), "store");
    assert_eq!(used(claim, "use crate::{amc::{Client, Error}, clock, store};"), "amc clock store");
    assert_eq!(used(claim, "fn f() { crate::amc::get() }"), "amc");
    assert_eq!(used(claim, "use super::super::super::amc::Client;"), "amc");
    assert_eq!(used(claim, "use super::super::job::Job;"), "");
    assert_eq!(used("src/queue/mod.rs", "use super::amc;"), "amc");
    assert_eq!(used("src/main.rs", "use recomamp::commands::Command;"), "commands");
    assert_eq!(used(claim, "/// As [`crate::amc`].\nlet x = \"crate::store\";"), "");
    assert_eq!(used(claim, "#[cfg(test)]\nmod tests {\n    use crate::store;\n}"), "");
}

#[test]
fn islands_stay_islands() {
    for (room, used) in [("queue", "store"), ("amc", "queue"), ("store", "amc"), ("api", "amc")] {
        assert_eq!(may_use(room, used), Some(false), "{room} → {used}");
    }
    assert_eq!(may_use("jobs", "amc"), Some(true));
    assert_eq!(may_use("queue", "clock"), Some(true));
    assert_eq!(may_use("clock", "queue"), Some(false));
    assert_eq!(may_use("attic", "queue"), None);
}
