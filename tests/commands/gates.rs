//! Jobs and gates on the command line: looked at, explained, set, paused and let go.

use super::{Site, done, refused};
use serde_json::json;

const JOB: &str = "insert into engine.jobs (
        run_at, created_at, timeout_ms, priority, max_attempts, queue, kind, args, uses, due
    )
    values (
        engine.now(), engine.now(), 1000, 2, 20, 'default', 'ping', '{}',
        '[{\"resource\": \"host:x\", \"cost\": 1, \"hold\": false}]', true
    )";

#[tokio::test]
async fn a_paused_job_is_explained_and_the_way_out_is_named() {
    let site = Site::new().await;
    site.execute(JOB).await;
    let jobs = site.json("jobs list --kind ping --json").await;
    let id = jobs[0]["id"].as_i64().expect("an id");
    let pause = ["gates", "pause", "host:x", "--why", "it is down", "--by", "ann"];
    done(site.program(&pause).run().await);
    let told = done(site.run(&format!("jobs explain {id}")).await).stdout;
    assert!(
        told.starts_with(&format!("Job {id} (ping, queue default) is waiting, held by 2")),
        "{told}"
    );
    assert!(told.contains("host:x is paused by ann since "), "{told}");
    assert!(told.contains("To end it: recomamp gates resume host:x"), "{told}");
    let explained = site.json(&format!("jobs explain {id} --json")).await;
    assert_eq!(explained["reasons"][1]["why"], "it is down");

    done(site.run("gates resume host:x --by bob").await);
    let shown = site.json("gates show host:x --json").await;
    assert_eq!((&shown["shut"], &shown["events"][0]["by"]), (&json!([]), &json!("bob")));
    let nothing = site.run("gates resume host:x").await;
    assert_eq!(refused(&nothing, 1), "host:x is neither paused nor is its breaker open");
    let shown = done(site.run(&format!("jobs show {id}")).await).stdout;
    assert!(shown.contains("1 of host:x"), "{shown}");
}

#[tokio::test]
async fn gates_are_set_listed_and_taken_away() {
    let site = Site::new().await;
    let set = "gates set host:y --running 4 --rate 10/1s --burst 5 --quota 30@Europe/Berlin --breaker {} --weight 2 --by ann";
    done(site.run(set).await);
    let list = site.json("gates list --json").await;
    assert_eq!((&list[0]["name"], &list[0]["max_running"]), (&json!("host:y"), &json!(4)));
    let list = done(site.run("gates list").await).stdout;
    assert!(
        list.contains(
            "running 0 of 4, rate 10 in 1s, quota 0 of 30 (Europe/Berlin), breaker closed, weight 2"
        ),
        "{list}"
    );
    done(site.run("gates set host:y --running none --rate none").await);
    let shown = site.json("gates show host:y --json").await;
    assert_eq!((&shown["max_running"], &shown["rate"]), (&json!(null), &json!(null)));

    let trip = ["gates", "trip", "host:y", "--why", "it returns rubbish", "--by", "bob"];
    done(site.program(&trip).run().await);
    let shown = done(site.run("gates show host:y").await).stdout;
    assert!(shown.contains("Breaker opened by bob: it returns rubbish"), "{shown}");
    let events = site.json("gates events host:y --json").await;
    assert_eq!((&events[0]["what"], &events[0]["by"]), (&json!("breaker_opened"), &json!("bob")));
}

#[tokio::test]
async fn a_pause_that_stops_nothing_is_warned_of_and_says_how_long_it_lasts() {
    let site = Site::furnished().await;
    let pause = async |resource: &str, lasts: &str| {
        let words = format!("gates pause {resource} --why x --for {lasts}");
        done(site.run(&words).await)
    };
    let typo = pause("amc_instance:amctset1", "30m").await;
    assert_eq!(typo.stdout, "amc_instance:amctset1 is paused for 30 min.");
    let said =
        "Warning: no job has used amc_instance:amctset1 so far and nothing of that name is known";
    assert!(typo.stderr.contains(said), "{}", typo.stderr);
    assert!(typo.stderr.contains("`recomamp gates resume amc_instance:amctset1`"));
    assert!(pause("kind:pong", "2h").await.stderr.contains("this release knows no \"pong\""));
    for (resource, lasts, said) in [
        ("amc_instance:amctest1", "90s", "for 90 s."),
        ("amc_access:amctest1", "2h", "for 2 h."),
        ("amc_account:ENTITY1", "90m", "for 90 min."),
        ("kind:poll_status", "30s", "for 30 s."),
    ] {
        let paused = pause(resource, lasts).await;
        assert!(paused.stdout.ends_with(said) && paused.stderr.is_empty(), "{paused:?}");
    }
}

#[tokio::test]
async fn what_a_terminal_would_obey_is_refused_in_names_and_reasons() {
    let site = Site::new().await;
    for words in [
        ["host:x", "--why", "a\x1b[2Jb", "--by", "ann"],
        ["host:x", "--why", "a\nb", "--by", "ann"],
        ["host:x", "--why", "x", "--by", "a\x07nn"],
        ["host:\tx", "--why", "x", "--by", "ann"],
    ] {
        let words: Vec<&str> = ["gates", "pause"].into_iter().chain(words).collect();
        let finished = site.program(&words).run().await;
        assert_eq!(finished.status.code(), Some(2), "{finished:?}");
        assert!(finished.stderr.contains("give one line of plain text"), "{}", finished.stderr);
    }
    assert_eq!(site.count("select count(*) from engine.resources").await, 0);
}

#[tokio::test]
async fn wrong_arguments_say_what_would_be_right_and_end_with_2() {
    let site = Site::new().await;
    for (words, remedy) in [
        ("gates set host:x", "required"),
        ("gates set host:x --rate ten", "as in 10/1s"),
        ("gates set host:x --rate 10/1s --burst 11", "between 1 and the rate's tokens"),
        ("gates set host:x --quota 30@Mars", "IANA"),
        ("gates set host:x --breaker [", "write {}"),
        ("gates pause host:x", "--why"),
        ("gates pause host:x --why down --for soon", "as in 30s or 5m"),
        ("jobs list --state failed", "waiting, running"),
        ("jobs list --limit 0", "1..=1000"),
    ] {
        let finished = site.run(words).await;
        assert_eq!(finished.status.code(), Some(2), "{finished:?}");
        assert!(finished.stderr.contains(remedy), "{words}: {}", finished.stderr);
    }
    let nobody = site.run("jobs explain 4711").await;
    assert_eq!(refused(&nobody, 1), "there is no job 4711: see `recomamp jobs list`");
    let nobody = site.run("gates show host:x").await;
    assert_eq!(refused(&nobody, 1), "nobody has ever used host:x: see `recomamp gates list`");
}
