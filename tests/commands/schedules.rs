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
