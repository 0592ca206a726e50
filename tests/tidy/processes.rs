//! Every line of the Procfile is a command, and its time-outs leave room for the grace period.

use super::none;
use crate::sources::root;
use recomamp::config::{Process, Settings};
use std::fs;
use std::time::Duration;

/// The lines of the Procfile: a process and the words of its command.
fn lines() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(root().join("Procfile")).expect("there is a Procfile");
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let (process, command) = line.split_once(':').expect("a line is `process: command`");
            (process.to_owned(), command.split_whitespace().map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn the_procfile_lists_release_web_worker_and_scheduler() {
    let processes: Vec<String> = lines().into_iter().map(|(process, _)| process).collect();
    assert_eq!(processes, ["release", "web", "worker", "scheduler"]);
}

#[test]
fn every_line_of_the_procfile_is_a_command_with_a_file_of_its_own() {
    let commands = root().join("src/commands");
    if !commands.exists() {
        return;
    }
    let violations: Vec<String> = lines()
        .into_iter()
        .filter(|(_, words)| {
            let name = words.get(1).map_or("", String::as_str);
            let is_ours = words.first().is_some_and(|word| word == "./target/release/recomamp");
            let has_a_file = commands.join(format!("{name}.rs")).is_file()
                || commands.join(name).join("mod.rs").is_file();
            !(is_ours && has_a_file)
        })
        .map(|(process, words)| format!("{process}: {}", words.join(" ")))
        .collect();
    none("These lines of the Procfile have no file in src/commands", &violations);
}

#[test]
fn process_managers_wait_longer_than_the_grace_period() {
    let grace = Process::load(&|_| None).expect("the defaults are right").shutdown_grace;
    // Five seconds to release what is left and to close connections.
    let needed = grace + Duration::from_secs(5);
    for (file, name) in
        [(".overmind.env", "OVERMIND_TIMEOUT"), (".env.example", "HIVEMIND_TIMEOUT")]
    {
        let text = fs::read_to_string(root().join(file)).expect("it is there");
        let seconds: u64 = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
            .unwrap_or_else(|| panic!("{file} sets {name}"));
        assert!(Duration::from_secs(seconds) > needed, "{name} in {file} is too short");
    }
}
