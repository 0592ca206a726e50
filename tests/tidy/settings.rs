//! Documents name every setting there is, with its default, and no other.

use super::none;
use crate::sources::root;
use recomamp::config::{Errors, VARIABLES, unknown};
use std::fs;

fn ours(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !(letter.is_ascii_uppercase() || letter == '_'))
        .filter(|word| word.starts_with("RECOMAMP_") && !word.ends_with('_'))
        .map(str::to_owned)
}

fn check(file: &str, shows: impl Fn(&str, &str, Option<&str>) -> bool) {
    let Ok(text) = fs::read_to_string(root().join(file)) else { return };
    let mut violations: Vec<String> = VARIABLES
        .iter()
        .filter(|variable| !shows(&text, variable.name, variable.default))
        .map(|variable| format!("{} ({})", variable.name, variable.default.unwrap_or("no default")))
        .collect();
    violations.extend(unknown(ours(&text)).into_iter().map(|p| Errors(vec![p]).to_string()));
    none(&format!("{file} and src/config.rs do not say the same"), &violations);
}

#[test]
fn the_readme_has_a_row_for_every_setting_with_its_default() {
    check("README.md", |text, name, default| {
        text.lines().any(|line| {
            line.starts_with('|')
                && line.contains(&format!("`{name}`"))
                && default.is_none_or(|default| line.contains(&format!("`{default}`")))
        })
    });
}

#[test]
fn the_example_environment_has_a_line_for_every_setting_with_its_default() {
    check(".env.example", |text, name, default| {
        text.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ']);
            line.strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('='))
                .is_some_and(|value| default.is_none_or(|default| value == default))
        })
    });
}
