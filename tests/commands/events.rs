//! The journal on the command line.

use super::{Site, done};
use recomamp::store::events::ENTITIES;
use serde_json::json;

#[tokio::test]
async fn the_journal_says_who_moved_what_from_where_to_where_and_why() {
    let site = Site::furnished().await;
    site.execute(
        "insert into events (at, entity, entity_id, from_status, to_status, actor, reason) values
            ('2025-12-01T10:00:00Z', 'schedule', 'monday', 'active', 'paused', 'ann', 'holidays'),
            ('2025-12-02T10:00:00Z', 'schedule', 'monday', 'paused', 'active', 'bob', E'they\\nare over')",
    )
    .await;
    let monday = "events --entity schedule --id monday";
    assert_eq!(
        done(site.run(monday).await).stdout,
        "AT                    ENTITY    ID      FROM    TO      WHO  WHY\n\
         2025-12-02 10:00:00Z  schedule  monday  paused  active  bob  they are over\n\
         2025-12-01 10:00:00Z  schedule  monday  active  paused  ann  holidays"
    );
    let newest = site.json(&format!("{monday} --limit 1 --json")).await;
    assert_eq!((newest.as_array().map(Vec::len), &newest[0]["actor"]), (Some(1), &json!("bob")));
    let since = site.json(&format!("{monday} --since 2025-12-02T11:00:00+01:00 --json")).await;
    assert_eq!(since.as_array().map(Vec::len), Some(1));
    // People know an email, not what a user is called inside.
    let ana = site.json("events --entity user --id ana@example.com --json").await;
    assert_eq!((ana.as_array().map(Vec::len), &ana[0]["entity"]), (Some(1), &json!("user")));

    let help = done(site.run("events --help").await).stdout;
    for entity in ENTITIES {
        assert!(help.contains(&format!("`{entity}`")), "{entity}: {help}");
    }
    let id = |length: usize| format!("events --entity resource --id {}", "x".repeat(length));
    done(site.run(&id(512)).await);

    for (words, remedy) in [
        (id(513).as_str(), "at most 512"),
        ("events --entity run", "schedule_run"),
        ("events --id monday", "--entity"),
        ("events --since today", "2026-01-31T08:00:00Z"),
        ("events --limit 1001", "1..=1000"),
    ] {
        let finished = site.run(words).await;
        assert_eq!(finished.status.code(), Some(2), "{finished:?}");
        assert!(finished.stderr.contains(remedy), "{words}: {}", finished.stderr);
    }
}
