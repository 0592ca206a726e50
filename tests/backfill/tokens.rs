//! Tokens that end, are refused, and come back, in the middle of the work.

use super::site::{Site, quick};
use crate::harness::eventually::{eventually, eventually_some};
use recomamp::amc::AmcExecutionId;
use recomamp::jobs;
use recomamp::queue::{Attempt, Failure, Job, NewJob, Outcome};
use recomamp::register::users;
use recomamp::simulator::{Effect, Fault, Kind, Operation, Refreshes, Settings};
use recomamp::steering::{self, Because};
use recomamp::store::{ExecutionUuid, collections, executions};
use recomamp::tools::Tools;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const WEEKS: u32 = 12;

/// Looks at one execution, as a poll does, and meets whatever a poll meets.
#[derive(Serialize, Deserialize)]
struct Look {
    execution: ExecutionUuid,
}

impl Job for Look {
    type Tools = Tools;
    const KIND: &'static str = "look";
    const QUEUE: &'static str = "looks";

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let execution = executions::by_id(&tools.db, self.execution).await?.expect("it is there");
        let who = tools.sign_in(attempt, &execution).await?;
        let id = execution.amc_execution_id.as_deref().expect("AMC has it");
        let id = AmcExecutionId::new(id).map_err(Failure::permanent)?;
        match tools.amc.execution(&who.caller, &who.instance, &id).await {
            Ok(_) => Ok(Outcome::Done),
            Err(error) => Err(tools.judge(&who, &execution, error).await),
        }
    }
}

impl Site {
    fn refreshes(&self) -> Refreshes {
        self.amc.counts().refreshes.get(&self.refresh_token()).copied().unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_jobs_that_meet_401_at_once_make_one_refresh() {
    let site = Site::new(Settings { record_bodies: true, ..Settings::manual() }).await;
    site.backfill(1).await;
    let working = site.work();
    let execution: ExecutionUuid = eventually_some("AMC has an execution", async || {
        sqlx::query_scalar("select id from workflow_executions where amc_execution_id is not null")
            .fetch_optional(site.db.pool())
            .await
            .expect("the store answers")
    })
    .await;
    working.stop().await;
    assert_eq!(site.refreshes(), Refreshes { granted: 1, refused: 0 });

    site.amc.forget_tokens();
    let held = Fault::new(Kind::Hold { effect: Effect::Before }).on([Operation::Token]);
    let held = site.amc.set_fault(held);
    let before = site.amc.counts().calls_of(Operation::GetExecution);
    let looks: Vec<NewJob> =
        (0..500).map(|_| NewJob::of(&Look { execution }).expect("JSON")).collect();
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    site.tools.queue.enqueue(&mut connection, &looks).await.expect("enqueued");
    drop(connection);
    let working = site.work_with(500, jobs::catalog().add::<Look>());
    // None of them gets a new token before all of them have been refused.
    site.until(|counts| counts.calls_of(Operation::GetExecution) >= before + 500).await;
    site.amc.lift_fault(held);
    eventually("all have looked", async || {
        site.count("select count(*) from engine.jobs_history where kind = 'look'").await == 500
    })
    .await;
    working.stop().await;
    assert_eq!(site.refreshes(), Refreshes { granted: 2, refused: 0 });
    let patient = "select count(*) from engine.jobs_history
        where kind = 'look' and state = 'done' and attempt = 1 and denials = 1";
    assert_eq!(site.count(patient).await, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_in_the_middle_of_a_backfill_is_renewed() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(WEEKS).await;
    let working = site.work();
    site.until(|counts| counts.accepted() >= 3).await;
    // By our own clock it has ended: nobody tries it.
    site.db.advance_clock(Duration::from_hours(1)).await;
    eventually("it is renewed", async || site.refreshes().granted == 2).await;
    // By Amazon's account it has ended too: whoever tries it is refused.
    site.amc.forget_tokens();
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
    assert_eq!(site.refreshes(), Refreshes { granted: 3, refused: 0 });
    site.assert_no_attempt_was_burnt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_grant_stops_the_users_work_until_it_is_good_again() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(WEEKS).await;
    let working = site.work();
    site.until(|counts| counts.accepted() >= 3).await;
    site.amc.revoke(&site.refresh_token(), None);
    let state = "select token_state::text from lwa_credentials";
    site.refusal_confirmed().await;
    let email = site.text("select email from users").await;
    let reason = site.text("select reason from events where entity = 'user'").await;
    assert!(reason.contains(&format!("the grant of {email} (")), "{reason}");
    assert!(reason.contains("invalid_grant"), "{reason}");
    assert!(reason.ends_with(&format!("`recomamp users authorise {email}`")), "{reason}");
    let named = "select detail ->> 'email' from events where entity = 'user'";
    assert_eq!(site.text(named).await, email);

    site.amc.restore(&site.refresh_token());
    eventually("it is tried again", async || {
        site.skip_pauses("refresh_token").await;
        site.text(state).await == "active"
    })
    .await;
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
    site.assert_no_attempt_was_burnt().await;
    assert_eq!(site.count("select count(*) from events where entity = 'user'").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_client_stops_everybody_and_everybody_goes_on_once_it_is_accepted() {
    let site = Site::new(quick()).await;
    let other = site.add_user("bob@example.com", "Atzr|simulator-second").await;
    let refused = site.amc.set_fault(Fault::new(Kind::InvalidClient));
    let mine = site.backfill(4).await;
    let working = site.work();
    let stopped = "select count(*) from lwa_credentials where token_state = 'client_invalid'";
    eventually("both users are stopped", async || site.count(stopped).await == 2).await;
    // Asked for by the one who never met the refusal.
    let instance = site.add_instance("amcdemous02").await;
    let theirs = site.ask(&super::site::Wish { user: other, instance, ..site.wish(4) }).await;
    site.amc.lift_fault(refused);
    eventually("both collections have ended", async || {
        site.skip_pauses("refresh_token").await;
        let (mine, theirs) = (site.progress(mine).await, site.progress(theirs).await);
        mine.status.is_terminal() && theirs.status.is_terminal()
    })
    .await;
    site.assert_completed(mine, 4).await;
    site.assert_completed(theirs, 4).await;
    site.assert_submitted_once(8).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_user_of_a_refused_client_is_told_what_is_true_of_everyone_and_nobody_else_is() {
    let site = Site::new(quick()).await;
    let other = site.add_user("bob@example.com", "Atzr|simulator-second").await;
    site.add_user("eve@example.com", "Atzr|simulator-third").await;
    let instance = site.add_instance("amcdemous02").await;
    site.backfill(4).await;
    site.ask(&super::site::Wish { user: other, instance, ..site.wish(4) }).await;
    for change in [
        // She has to log in again, which has nothing to do with the client.
        "update lwa_credentials set token_state = 'needs_reauth', token_error = 'no'
        from users where users.id = user_id and email like 'eve@%'",
        "insert into workflow_schedules (schedule_id, name, workflow_id, user_id, schedule_type,
            cron_expression, timezone, settled_until, next_run_at)
        select email, 'Nightly', (select id from workflows limit 1), id, 'cron', '0 2 * * *', 'UTC',
            engine.now(), engine.now()
        from users",
    ] {
        sqlx::query(change).execute(site.db.pool()).await.expect("changed");
    }
    site.amc.set_fault(Fault::new(Kind::InvalidClient));
    let working = site.work();
    let stopped = "select count(*) from lwa_credentials where token_state = 'client_invalid'";
    eventually("both users are stopped", async || site.count(stopped).await == 2).await;
    working.stop().await;

    let said = "(refresh_token is invalid_client (HTTP 401): invalid_client: Client authentication failed)";
    let told: Vec<(String, String, String)> = sqlx::query_as(
        "select split_part(email, '@', 1), reason, token_error
        from events
        join users on users.id::text = entity_id
        join lwa_credentials on user_id = users.id
        where entity = 'user' and to_status = 'client_invalid'
        order by email",
    )
    .fetch_all(site.db.pool())
    .await
    .expect("the store answers");
    assert_eq!(told.len(), 2, "{told:?}");
    let remedy = "correct RECOMAMP_LWA_CLIENT_ID and its secret, restart the workers, then run `recomamp users resume`";
    for (_, reason, error) in &told {
        assert_eq!(format!("({error})"), said);
        assert_eq!(reason, &format!("Amazon refuses our client {said}: {remedy}"));
    }
    let reasons: Vec<String> = sqlx::query_scalar(
        "select pause_reason from report_data_collections
        union all
        select pause_reason from workflow_schedules where status = 'auto_paused'",
    )
    .fetch_all(site.db.pool())
    .await
    .expect("the store answers");
    assert_eq!(reasons, vec![format!("Amazon refuses our client {said}: {remedy}"); 4]);
    let spared = "select schedule_id from workflow_schedules where status = 'active'";
    assert_eq!(site.text(spared).await, "eve@example.com");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_is_refused_once_by_mistake_alarms_nobody() {
    let site = Site::new(quick()).await;
    site.faults([Fault::new(Kind::InvalidGrant).times(3)]);
    let collection = site.backfill(4).await;
    let working = site.work();
    eventually("all is collected", async || {
        site.skip_pauses("refresh_token").await;
        site.progress(collection).await.status.is_terminal()
    })
    .await;
    site.assert_complete(collection, 4).await;
    site.assert_faults_met();
    working.stop().await;
    assert_eq!(site.count("select count(*) from events where entity = 'user'").await, 0);
    let forgotten = "select count(*) from lwa_credentials where grant_refused_at is null";
    assert_eq!(site.count(forgotten).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_grant_is_believed_after_ten_minutes_however_the_pauses_between_tries_grow() {
    let site = Site::new(quick()).await;
    site.amc.revoke(&site.refresh_token(), None);
    site.backfill(1).await;
    let working = site.work();
    let stopped = "select count(*) from lwa_credentials where token_state = 'needs_reauth'";
    eventually("a person has to act", async || {
        // Nobody looks before its time.
        sqlx::query(
            "with next as (
                select run_at, pg_notify('engine_wake', queue) from engine.jobs
                where kind = 'refresh_token' and state = 'waiting' and snoozes > 0
            )
            update engine.clock set moved_by = moved_by + greatest(
                interval '0', (select run_at from next) - engine.now()
            )
            where exists (select from next)
                and exists (select from lwa_credentials where token_state = 'active')",
        )
        .execute(site.db.pool())
        .await
        .expect("the clock moves");
        site.count(stopped).await > 0
    })
    .await;
    let waited =
        "select extract(epoch from engine.now() - grant_refused_at)::bigint from lwa_credentials";
    let waited = site.count(waited).await;
    assert!((600..660).contains(&waited), "{waited} s");
    assert_eq!(site.refreshes().refused, 7, "at once, and after 15, 30, 60, 120, 240 and 135 s");
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_tokens_that_amc_refuses_at_once_are_bought_ever_more_seldom() {
    let site = Site::new(quick()).await;
    let refused =
        site.amc.set_fault(Fault::new(Kind::Unauthorized).on([Operation::CreateExecution]));
    let collection = site.backfill(1).await;
    let working = site.work();
    let refused_young = "select refused_young::bigint from lwa_credentials";
    let waits = "select count(*) from engine.jobs
        where kind = 'refresh_token' and state = 'waiting' and run_at > engine.now()";
    for times in 1..=4 {
        eventually("another one is asked for, too early", async || site.count(waits).await == 1)
            .await;
        // Until it is old enough to be renewed, and not so long that it has lasted.
        sqlx::query(
            "update engine.clock set moved_by = moved_by + greatest(
                interval '0',
                (select token_refreshed_at from lwa_credentials)
                    + make_interval(secs => $1) - engine.now()
            )",
        )
        .bind(f64::from(5 << (times - 1)))
        .execute(site.db.pool())
        .await
        .expect("the clock moves");
        eventually("another token is bought in vain", async || {
            site.skip_pauses("refresh_token").await;
            site.count(refused_young).await >= i64::from(times)
        })
        .await;
    }
    let users = users::list(site.db.pool(), None).await.expect("listed");
    let trouble = users[0].access_trouble.clone().expect("people are told");
    assert!(trouble.contains("RECOMAMP_LWA_CLIENT_ID"), "{trouble}");
    // Young is what is refused within eighty seconds now; nobody has bought one more often.
    assert!(site.refreshes().granted <= 7, "{:?}", site.refreshes());
    site.amc.lift_fault(refused);
    eventually("all is collected", async || {
        site.db.advance_clock(Duration::from_secs(30)).await;
        site.skip_pauses("refresh_token").await;
        site.progress(collection).await.status.is_terminal()
    })
    .await;
    site.assert_completed(collection, 1).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_begun_while_its_users_credential_is_refused_is_paused_too_and_nothing_is_resumed()
{
    let site = Site::new(quick()).await;
    site.amc.revoke(&site.refresh_token(), None);
    let collection = site.backfill(2).await;
    let working = site.work();
    site.refusal_confirmed().await;
    let stands = async |collection| {
        let found = collections::by_id(site.db.pool(), collection).await.expect("read");
        found.expect("it is there")
    };
    eventually("it is paused", async || stands(collection).await.auto_paused).await;
    let id = stands(collection).await.collection_id;
    let because = Because { by: "ana", why: None };
    let mut tx = recomamp::transaction::begin(site.db.pool()).await.expect("begun");
    let resumed = steering::resume(&mut tx, &site.tools.queue, &id, &because).await;
    let message = resumed.expect_err("it would only stand still").to_string();
    assert!(message.contains("invalid_grant") && message.contains("users authorise"), "{message}");
    drop(tx);
    assert!(stands(collection).await.auto_paused);
    let begun = site.backfill(3).await;
    eventually("it is paused too", async || {
        site.skip_pauses("refresh_token").await;
        stands(begun).await.auto_paused
    })
    .await;
    let why = stands(begun).await.pause_reason.expect("a reason");
    assert!(why.contains("invalid_grant") && why.contains("users authorise"), "{why}");
    working.stop().await;
}
