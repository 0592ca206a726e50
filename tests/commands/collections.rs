//! `recomamp collections`: backfills steered from the command line.

use super::{Site, done, refused};

#[tokio::test]
async fn a_backfill_is_steered_and_says_where_it_stands_and_why() {
    let site = Site::furnished().await;
    let words = "backfill --workflow campaigns --from 2025-01-06 --until 2025-02-03";
    let id = done(site.run(words).await).stdout;
    let run = async |words: &str| done(site.run(&format!("collections {words}")).await).stdout;

    let paused =
        run(&format!("pause {id} --why holidays --until 2999-01-01T00:00:00Z --by ana")).await;
    assert_eq!(paused, format!("{id} is paused"));
    let shown = run(&format!("show {id}")).await;
    assert!(shown.contains("Paused by ana: holidays"), "{shown}");
    assert!(shown.contains("It goes on at 2999-01-01"), "{shown}");
    assert!(run("list").await.contains("paused"));
    let status = done(site.run(&format!("status {id}")).await).stdout;
    assert!(status.contains("(paused): 0 of 4 weeks done"), "{status}");

    assert_eq!(run(&format!("resume {id}")).await, format!("{id} goes on"));
    assert_eq!(run(&format!("resume {id}")).await, format!("{id} is not paused"));
    assert_eq!(run(&format!("shrink {id} --from 2025-01-20")).await, format!("{id} skips 2 weeks"));
    let narrower = site.run(&format!("collections widen {id} --from 2025-01-27")).await;
    assert!(refused(&narrower, 2).contains("give an earlier from or a later until"));
    let wider = run(&format!("widen {id} --from 2025-01-13")).await;
    assert_eq!(wider, format!("{id} collects 1 week more"));
    let wider = run(&format!("widen {id} --from 2024-12-30")).await;
    assert_eq!(wider, format!("{id} collects 2 weeks more"));
}

#[tokio::test]
async fn the_journal_says_what_was_done_and_a_persons_reason_first() {
    let site = Site::furnished().await;
    let words = "backfill --workflow campaigns --from 2025-01-06 --until 2025-02-03";
    let id = done(site.run(words).await).stdout;
    for words in [
        "shrink ID --from 2025-01-13 --until 2025-01-27",
        "cancel ID --why mistake",
        "retry ID --week 2025-01-13",
        "retry ID --why again",
        "widen ID --from 2024-12-30 --why more",
    ] {
        done(site.run(&format!("collections {}", words.replace("ID", &id))).await);
    }
    let told = site.json(&format!("events --entity collection --id {id} --json")).await;
    let told: Vec<&str> = told
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["reason"].as_str())
        .collect();
    for words in [
        "skips 2 weeks",
        "takes up the week of 2025-01-13",
        "again; takes up 1 week",
        "more; collects 2 weeks more",
    ] {
        assert!(told.contains(&words), "{words}: {told:?}");
    }
}

#[tokio::test]
async fn what_is_called_off_is_listed_as_such_and_can_be_taken_up_again() {
    let site = Site::furnished().await;
    let words = "backfill --workflow campaigns --from 2025-01-06 --until 2025-02-03";
    let id = done(site.run(words).await).stdout;
    let cancel = format!("collections cancel {id} --why mistake --by ana --json");
    let cancelled = site.json(&cancel).await;
    assert_eq!((&cancelled["weeks"], &cancelled["status"]), (&4.into(), &"cancelled".into()));
    assert_eq!(site.json(&cancel).await["changed"], false);
    let shown = site.json(&format!("collections show {id} --json")).await;
    assert_eq!(shown["last_error"], "cancelled by ana: mistake");
    let listed = site.json("collections list --limit 1 --json").await;
    assert_eq!(listed[0]["progress"]["cancelled"], 4);

    let refused_pause = site.run(&format!("collections pause {id} --why x")).await;
    let message = refused(&refused_pause, 1);
    assert!(message.contains(&format!("`recomamp collections retry {id}`")), "{message}");
    let one = done(site.run(&format!("collections retry {id} --week 2025-01-13")).await);
    assert_eq!(one.stdout, format!("{id} takes up 1 week"));
    let none = done(site.run(&format!("collections recollect {id} --weeks 4")).await).stdout;
    let stored = format!("{id} has no stored week among its last 4 that is not being collected");
    assert!(none.starts_with(&stored), "{none}");
    assert!(none.ends_with(&format!(
        "`recomamp collections retry {id}` takes up what failed or was cancelled"
    )));
    site.execute(
        "update report_data_collections set status = 'completed', finished_at = engine.now()",
    )
    .await;
    let completed = site.run(&format!("collections cancel {id} --why x")).await;
    assert_eq!(
        refused(&completed, 1),
        format!(
            "collection \"{id}\" has ended (completed), and nothing of it is left to do: `recomamp collections recollect {id}` asks AMC again"
        )
    );
    let unknown = site.run("collections resume nothing").await;
    assert!(refused(&unknown, 1).contains("`recomamp collections list`"));
}
