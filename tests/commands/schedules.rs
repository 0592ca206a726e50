//! `recomamp schedules`: what runs by itself, from the command line.

use super::{Site, done, refused};

const DAILY: &str = "schedules add --schedule-id daily --workflow campaigns --every-days 1 --from 2025-01-06 --at 03:30";

#[tokio::test]
async fn what_amazon_keeps_out_is_not_resumed_by_a_person_and_the_remedy_is_told() {
    let site = Site::furnished().await;
    let backfill = "backfill --workflow campaigns --from 2025-01-06 --until 2025-02-03";
    let id = done(site.run(backfill).await).stdout;
    done(site.run(DAILY).await);
    let pause = format!("collections pause {id} --why holidays");
    done(site.run(&pause).await);
    done(site.run("schedules pause daily --why holidays").await);
    let stays = |kind: &str, id: &str, why: &str| format!("{kind} \"{id}\" stays paused: {why}");

    site.execute(
        "update lwa_credentials set token_state = 'needs_reauth', token_error = 'invalid_grant: x'",
    )
    .await;
    let why = "Amazon refuses the grant of ana@example.com (invalid_grant: x): let the user log in again, then \
               run `recomamp users authorise ana@example.com`";
    let collection = site.run(&format!("collections resume {id}")).await;
    assert_eq!(refused(&collection, 1), stays("collection", &id, why));
    let schedule = site.run("schedules resume daily").await;
    assert_eq!(refused(&schedule, 1), stays("schedule", "daily", why));
    assert!(done(site.run(&format!("status {id}")).await).stdout.contains("holidays"));

    site.execute("update lwa_credentials set token_state = 'client_invalid'").await;
    let schedule = site.run("schedules resume daily").await;
    assert!(refused(&schedule, 1).ends_with("then run `recomamp users resume`"));

    site.execute("update lwa_credentials set token_state = 'active', token_error = null").await;
    site.execute("update amc_instances set status = 'blocked', block_reason = '403'").await;
    let schedule = site.run("schedules resume daily").await;
    let why = "Amazon does not let it run (403): settle it, then run `recomamp instances unblock amctest1`";
    assert_eq!(refused(&schedule, 1), stays("schedule", "daily", why));
    site.execute("update amc_instances set status = 'active', block_reason = null").await;
    assert_eq!(done(site.run("schedules resume daily").await).stdout, "daily is active");
    let goes_on = done(site.run(&format!("collections resume {id}")).await).stdout;
    assert_eq!(goes_on, format!("{id} goes on"));
}

#[tokio::test]
async fn of_a_plan_those_go_on_that_amazon_lets_in_and_the_others_are_named() {
    let site = Site::furnished().await;
    let more = "instances add --instance-id amctest2 --name Shop --account ENTITY1";
    done(site.run(more).await);
    let words = "backfill --workflow campaigns --instance amctest1 --instance amctest2 --weeks 1";
    let plan = done(site.run(words).await).stdout;
    done(site.run(&format!("plans pause {plan} --why holidays")).await);
    site.execute(
        "insert into users (id, email, name)
            values ('01900000-0000-7000-8000-000000000002', 'bob@example.com', 'Bob');
        insert into lwa_credentials
            (user_id, region, refresh_token_encrypted, token_state, token_error, grant_refused_at)
            values ('01900000-0000-7000-8000-000000000002', 'na', 'gAAAAABnrefresh', 'needs_reauth',
                'invalid_grant', engine.now());
        update report_data_collections set user_id = '01900000-0000-7000-8000-000000000002'
        where collection_id = (select max(collection_id) from report_data_collections)",
    )
    .await;
    let resumed = done(site.run(&format!("plans resume {plan}")).await).stdout;
    assert!(resumed.starts_with("1 of 2 unfinished collections are going on now; "), "{resumed}");
    assert!(resumed.contains(" stays paused: Amazon refuses the grant of bob@"), "{resumed}");
    let again = site.run(&format!("plans resume {plan}")).await;
    assert!(refused(&again, 1).contains(" stays paused: Amazon refuses the grant of bob@"));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_2_and_a_plain_message() {
    let site = Site::furnished().await;
    done(site.run(DAILY).await);
    let cron = "schedules add --schedule-id weekly --workflow campaigns --timezone UTC --cron";
    let by_cron: Vec<&str> = cron.split(' ').chain(["0 2 * * 1"]).collect();
    done(site.program(&by_cron).run().await);
    let add = "schedules add --schedule-id both --workflow campaigns";
    for (words, said) in [
        (
            format!("{add} --cron X --from 2025-01-01"),
            "'--cron <EXPRESSION>' cannot be used with '--from <DATE>'",
        ),
        (format!("{add} --cron X --at 05:00"), "cannot be used with '--at <HH:MM>'"),
        (format!("{add} --from 2025-01-01"), "--every-days <DAYS>"),
        (format!("{add} --every-days 1"), "--from <DATE>"),
        (
            "schedules update daily --cron X --at 05:00".to_owned(),
            "cannot be used with '--at <HH:MM>'",
        ),
        ("schedules update weekly --at 05:00".to_owned(), "an interval needs its days and the day"),
        (
            format!("{add} --every-days=-1 --from 2025-01-01"),
            "an interval of -1 days is not possible: give between 1 and 366",
        ),
        (
            format!("{DAILY} --failure-threshold=-1"),
            "failure_threshold is -1: give between 0 and 1000",
        ),
        (
            "backfill --workflow campaigns --from 2025-03-31 --until 2025-01-06".to_owned(),
            "until is 2025-01-06, which is not after 2025-03-31, the first day: give a later one",
        ),
    ] {
        let finished = site.run(&words).await;
        assert_eq!(finished.status.code(), Some(2), "{words}: {finished:?}");
        assert!(finished.stderr.contains(said), "{words}: {}", finished.stderr);
        assert!(!finished.stderr.contains("constraint"), "{}", finished.stderr);
    }
    let minute: Vec<&str> = cron.split(' ').chain(["61 2 * * 1"]).collect();
    let message = site.program(&minute).run().await;
    let message = refused(&message, 2);
    assert!(message.contains("is no cron expression (") && !message.contains("error"), "{message}");
}

#[tokio::test]
async fn what_is_not_given_of_an_interval_stays() {
    let site = Site::furnished().await;
    done(site.run(DAILY).await);
    let interval = async || {
        sqlx::query_as::<_, (i32, String, String)>(
            "select interval_days, anchor_date::text, anchor_time::text from workflow_schedules",
        )
        .fetch_one(site.db.pool())
        .await
        .expect("there is one")
    };
    let is = |days: i32, date: &str, time: &str| (days, date.to_owned(), time.to_owned());
    done(site.run("schedules update daily --at 05:00").await);
    assert_eq!(interval().await, is(1, "2025-01-06", "05:00:00"));
    done(site.run("schedules update daily --every-days 14").await);
    assert_eq!(interval().await, is(14, "2025-01-06", "05:00:00"));
    done(site.run("schedules update daily --from 2025-01-07").await);
    assert_eq!(interval().await, is(14, "2025-01-07", "05:00:00"));
    let by_cron = ["schedules", "update", "daily", "--cron", "0 4 * * 1"];
    done(site.program(&by_cron).run().await);
    done(site.run("schedules update daily --every-days 7 --from 2025-01-06").await);
    assert_eq!(interval().await, is(7, "2025-01-06", "00:00:00"), "midnight, after cron");
}

#[tokio::test]
async fn a_schedule_is_shown_with_its_rules_and_previewed_from_when_it_goes_on() {
    let site = Site::furnished().await;
    done(
        site.run(&format!("{DAILY} --jitter-seconds 90 --max-attempts 4 --failure-threshold 6"))
            .await,
    );
    let shown = done(site.run("schedules show daily").await).stdout;
    for words in ["up to 90 s", "4 executions a run", "0 (paused at 6)"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(site.json("schedules show daily --json").await["max_attempts"], 4);
    done(site.run("schedules update daily --failure-threshold 0").await);
    let shown = done(site.run("schedules show daily").await).stdout;
    assert!(shown.contains("0 (never paused for them)"), "{shown}");

    done(site.run("schedules pause daily --why holidays --until 2999-01-01T03:30:00Z").await);
    let preview = done(site.run("schedules preview daily --count 2").await);
    let rows: Vec<&str> = preview.stdout.lines().skip(1).collect();
    assert!(rows[0].starts_with("2999-01-01 03:30"), "{rows:?}");
    assert!(rows[1].starts_with("2999-01-02 03:30"), "{rows:?}");
    let said = "it is paused until 2999-01-01 03:30 UTC: what is due before then is left out here";
    assert!(preview.stderr.contains(said), "{}", preview.stderr);
}
