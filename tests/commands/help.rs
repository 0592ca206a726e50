//! Every command explains itself.

use super::done;
use crate::harness::process::Program;
use fernet::Fernet;

/// Every command of one's own, and what it must offer to programs.
pub const COMMANDS: [(&str, bool); 82] = [
    ("serve", false),
    ("work", false),
    ("schedule", false),
    ("migrate", true),
    ("keys generate", false),
    ("keys check", true),
    ("keys rotate", true),
    ("users add", true),
    ("users authorise", true),
    ("users resume", true),
    ("users list", true),
    ("accounts add", true),
    ("accounts list", true),
    ("instances add", true),
    ("instances sync", true),
    ("instances unblock", true),
    ("instances limit", false),
    ("instances list", true),
    ("workflows add", true),
    ("workflows update", true),
    ("workflows list", true),
    ("workflows show", true),
    ("workflows sync", true),
    ("workflows recheck", true),
    ("backfill", true),
    ("collections list", true),
    ("collections show", true),
    ("collections pause", true),
    ("collections resume", true),
    ("collections cancel", true),
    ("collections retry", true),
    ("collections recollect", true),
    ("collections widen", true),
    ("collections shrink", true),
    ("batches add", true),
    ("batches list", true),
    ("batches show", true),
    ("batches cancel", true),
    ("batches retry", true),
    ("plans list", true),
    ("plans show", true),
    ("collections report", true),
    ("plans pause", true),
    ("plans resume", true),
    ("plans cancel", true),
    ("plans retry", true),
    ("schedules add", true),
    ("schedules update", true),
    ("schedules list", true),
    ("schedules show", true),
    ("schedules preview", true),
    ("schedules runs", true),
    ("schedules trigger", true),
    ("schedules pause", true),
    ("schedules resume", true),
    ("schedules cancel", true),
    ("schedules remove", true),
    ("jobs list", true),
    ("jobs show", true),
    ("jobs explain", true),
    ("gates list", true),
    ("gates show", true),
    ("gates set", false),
    ("gates pause", false),
    ("gates resume", false),
    ("gates trip", false),
    ("gates events", true),
    ("events", true),
    ("jobs cancel", true),
    ("jobs discard", true),
    ("jobs replay", true),
    ("jobs edit", true),
    ("webhooks add", true),
    ("webhooks list", true),
    ("webhooks show", true),
    ("webhooks test", true),
    ("webhooks disable", false),
    ("webhooks enable", false),
    ("webhooks remove", false),
    ("webhooks deliveries", true),
    ("status", true),
    ("doctor", true),
];

#[tokio::test]
async fn every_command_shows_an_example_and_prints_json_where_it_prints_data() {
    for (command, prints_data) in COMMANDS {
        let mut words: Vec<&str> = command.split(' ').collect();
        words.push("--help");
        let help = done(Program::new(&words).run().await).stdout;
        let example = format!("\n  recomamp {command}");
        let shown = help.contains(&example) || help.contains(&format!("$(recomamp {command})"));
        assert!(help.contains("\nExample") && shown, "{help}");
        assert_eq!(help.contains("--json"), prints_data, "{help}");
    }
}

#[tokio::test]
async fn every_command_that_changes_something_takes_who_asks_and_unless_it_adds_why() {
    for (command, _) in COMMANDS.iter().filter(|(command, _)| changes_something(command)) {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = done(Program::new(&words).run().await).stdout;
        assert!(help.contains("--by <NAME>"), "{help}");
        let adds = command.ends_with(" add") || *command == "backfill";
        assert!(adds || help.contains("--why <"), "{help}");
    }
}

/// Whether a command does more than look, and more than this machine's own work.
fn changes_something(command: &str) -> bool {
    const LOOKS: [&str; 10] = [
        "list",
        "show",
        "explain",
        "report",
        "runs",
        "preview",
        "deliveries",
        "events",
        "status",
        "doctor",
    ];
    const OWN: [&str; 5] = ["serve", "work", "schedule", "migrate", "keys"];
    let mut words = command.split(' ');
    let (first, last) = (words.next().unwrap_or_default(), words.next_back());
    !OWN.contains(&first) && !LOOKS.contains(&last.unwrap_or(first))
}

#[tokio::test]
async fn the_list_above_is_the_list_of_commands() {
    // These need a server of their own, and are shown by their own tests.
    let mut strange = Vec::new();
    for name in listed(&[]).await {
        if ["bench", "simulate", "demo"].contains(&name.as_str()) {
            continue;
        }
        let verbs = listed(&[&name]).await.into_iter().map(|verb| format!("{name} {verb}"));
        let mut all: Vec<String> = verbs.collect();
        if all.is_empty() {
            all.push(name);
        }
        strange
            .extend(all.into_iter().filter(|one| COMMANDS.iter().all(|(known, _)| known != one)));
    }
    assert!(strange.is_empty(), "new: {strange:?}");
}

/// The commands that the help of a command lists.
async fn listed(words: &[&str]) -> Vec<String> {
    let words: Vec<&str> = words.iter().copied().chain(["--help"]).collect();
    let help = done(Program::new(&words).run().await).stdout;
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[tokio::test]
async fn a_new_key_is_a_key_and_never_the_same() {
    let one = done(Program::new(&["keys", "generate"]).run().await).stdout;
    let other = done(Program::new(&["keys", "generate"]).run().await).stdout;
    assert!(Fernet::new(&one).is_some() && one != other);
}
