//! What the documents promise exists.

use super::none;
use crate::sources::{files, root};
use recomamp::store::events::ENTITIES;
use std::collections::BTreeSet;
use std::fs;

#[test]
fn every_mistake_of_the_first_version_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/first-version.md")).expect("it can be read");
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.trim_start_matches("| ").starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert_eq!(rows.len(), 35, "the mistakes");
    let tests: BTreeSet<String> = files(&["src", "jobs", "tests"], &[".rs"])
        .iter()
        .flat_map(|source| names_of_functions(&source.text))
        .collect();
    let mut violations = Vec::new();
    for row in rows {
        let (_, caught_by) = row.trim_end_matches(" |").rsplit_once("| ").expect("three columns");
        for name in caught_by.split(", ").map(|name| name.trim_matches('`')) {
            if !tests.contains(name) {
                violations.push(format!("{name}: {row}"));
            }
        }
    }
    none("These tests do not exist", &violations);
}

#[test]
fn whatever_events_happen_to_can_be_looked_for_in_the_journal() {
    let sources = files(&["src", "jobs"], &[".rs"]);
    let written: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| source.text.split("entity: \"").skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let known: BTreeSet<&str> = ENTITIES.into_iter().collect();
    assert_eq!(written, known, "in the sources (left) and in store::events::ENTITIES (right)");
}

fn names_of_functions(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim_start().trim_start_matches("async ").strip_prefix("fn "))
        .filter_map(|line| line.split(['(', '<']).next())
        .map(str::to_owned)
        .collect()
}
