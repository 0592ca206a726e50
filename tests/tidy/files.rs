//! What files say first, how long they are, and where they stand.

use super::none;
use crate::sources::{Source, files, root};
use std::collections::BTreeSet;
use std::fs;

/// Everything a person writes.
const EVERYWHERE: [&str; 6] = ["src", "jobs", "tests", "migrations", "benches", ".ci"];

/// Where a file has become two rooms. Tests at its foot do not count.
const LONGEST: usize = 450;

/// The card that a visitor is given: nothing else is visible in the root.
const CARD: [&str; 13] = [
    "Cargo.toml",
    "Cargo.lock",
    "Makefile",
    "Procfile",
    "README.md",
    "src",
    "jobs",
    "migrations",
    "dashboards",
    "docs",
    "benches",
    "tests",
    "target",
];

#[test]
fn every_file_says_first_what_it_is_for() {
    let mut sources = files(&EVERYWHERE, &[".rs", ".sql", ".lua"]);
    sources.extend(files(&[".ci"], &[""]));
    let violations: Vec<String> = sources
        .iter()
        .filter(|source| !says_what_it_is_for(source))
        .map(|source| source.path.clone())
        .collect();
    none("These files do not begin with a line that says what they are for", &violations);
}

fn says_what_it_is_for(source: &Source) -> bool {
    let mark = match source.path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("rs") => "//! ",
        Some("sql" | "lua") => "-- ",
        _ => "# ",
    };
    let first = source.text.lines().find(|line| !line.starts_with("#!"));
    let sentence = first.and_then(|line| line.strip_prefix(mark)).unwrap_or_default();
    sentence.split_whitespace().count() >= 3
}

#[test]
fn no_file_is_longer_than_a_person_reads() {
    let violations: Vec<String> = files(&EVERYWHERE, &[".rs", ".sql", ".lua"])
        .iter()
        .filter(|source| !source.path.starts_with("tests/data/"))
        .map(|source| (source.production_lines(), &source.path))
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, path)| format!("{path}: {lines}"))
        .collect();
    none(&format!("These files have more than {LONGEST} lines: make two of each"), &violations);
}

/// From this migration on; the older ones made a new database, in which nobody waits.
const FIRST_ON_A_BUSY_DATABASE: u32 = 28;

#[test]
fn a_migration_that_alters_a_table_waits_for_its_lock_only_so_long() {
    let violations: Vec<String> = files(&["migrations"], &[".up.sql", ".down.sql"])
        .iter()
        .filter(|source| number(&source.path) >= FIRST_ON_A_BUSY_DATABASE)
        .filter(|source| {
            let mut statements = source.text.lines().filter(|line| !line.starts_with("--"));
            let first = statements.find(|line| !line.trim().is_empty()).unwrap_or_default();
            locks_a_table(&source.text) && !first.starts_with("set local lock_timeout = ")
        })
        .map(|source| source.path.clone())
        .collect();
    none("These migrations do not begin with `set local lock_timeout = '10s';`", &violations);
}

fn number(path: &str) -> u32 {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split('_').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Whether it waits for those who use a table that is there, and lets them wait.
fn locks_a_table(sql: &str) -> bool {
    let starts = ["alter table", "drop table", "drop index", "drop trigger", "create index"];
    let more = ["create unique index", "create trigger", "truncate", "lock table"];
    sql.lines().any(|line| starts.iter().chain(&more).any(|start| line.starts_with(start)))
}

#[test]
fn the_root_shows_only_the_card() {
    let violations: Vec<String> = fs::read_dir(root())
        .expect("the root can be read")
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') && !name.starts_with("LICENSE-"))
        .filter(|name| !CARD.contains(&name.as_str()))
        .collect();
    none("The root shows more than the card: give these a room, or a dot", &violations);
}

#[test]
fn every_job_is_in_the_table_of_contents() {
    let Some(contents) = files(&["jobs"], &["/mod.rs"]).pop() else { return };
    let code = contents.code();
    let named: BTreeSet<&str> = code
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("pub ").strip_prefix("mod "))
        .filter_map(|line| line.strip_suffix(';'))
        .collect();
    let jobs = files(&["jobs"], &[".rs"]);
    let written: BTreeSet<&str> =
        jobs.iter().map(|job| job_name(&job.path)).filter(|name| *name != "mod").collect();
    assert_eq!(written, named, "the files in jobs/ (left) and the names in jobs/mod.rs (right)");
}

/// `jobs/poll_status.rs` and everything in `jobs/poll_status/` are the job `poll_status`.
fn job_name(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default().trim_end_matches(".rs")
}

#[test]
fn only_the_clock_asks_what_time_it_is() {
    let asks = ["Utc::now", "Local::now", "SystemTime::now"];
    let violations = lines_with(&asks, "src/clock.rs", Source::code);
    none("The store's clock decides what time it is: ask clock.rs", &violations);
}

#[test]
fn only_one_place_begins_transactions_of_a_pool() {
    let begins = ["db.begin(", "db().begin(", "pool.begin(", "pool().begin(", ".begin_with("];
    let violations = lines_with(&begins, "src/transaction.rs", Source::production_code);
    none("A dropped `begin` leaves a transaction open: use transaction::begin", &violations);
}

/// Where the program says one of these, but in the one file that may.
fn lines_with(words: &[&str], home: &str, code: impl Fn(&Source) -> String) -> Vec<String> {
    let mut found = Vec::new();
    for source in files(&["src", "jobs"], &[".rs"]).iter().filter(|source| source.path != home) {
        let code = code(source);
        let lines = code.lines().enumerate();
        let lines = lines.filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        found.extend(lines.map(|(index, _)| format!("{}:{}", source.path, index + 1)));
    }
    found
}
