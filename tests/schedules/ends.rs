//! What a run does at Amazon, end to end, and what its end means for its schedule.

use super::{ADA, House, cron};
use crate::backfill::site::{Site, quick};
use crate::harness::eventually::{eventually, eventually_some};
use recomamp::jobs;
use recomamp::schedule::manage::{self, Request};
use recomamp::simulator::{Ending, Fault, Kind, Operation, Settings, User};
use recomamp::store::events::Because;
use recomamp::store::runs::{Run, RunStatus};
use recomamp::store::schedules::{OverlapPolicy, ScheduleStatus};

use RunStatus::{Cancelled, Failed, Pending, Succeeded};

fn fails(times: u32) -> Fault {
    let reason = "Internal error".to_owned();
    Fault::new(Kind::EndAs { status: Ending::Failed, reason }).times(times)
}

impl House {
    async fn weekly(site: Site, request: Request<'_>) -> Self {
        let house = Self::of(site).await;
        house.add(&request).await;
        house
    }

    /// Waits until so many runs have ended. Nobody waits out the pauses between two executions.
    async fn ended(&self, id: &str, count: usize) -> Vec<Run> {
        eventually_some("the runs have ended", async || {
            self.skip_pauses("run_schedule").await;
            let runs = self.runs(id).await;
            (runs.iter().filter(|run| run.status.is_terminal()).count() >= count).then_some(runs)
        })
        .await
    }

    /// Runs the schedule so often, one after the other.
    async fn run_times(&self, id: &str, times: usize) -> Vec<RunStatus> {
        for _ in 0..times {
            let before = self.runs(id).await.len();
            self.trigger(id).await;
            self.ended(id, before + 1).await;
        }
        self.statuses(id).await
    }
}

fn monday<'a>() -> Request<'a> {
    cron("monday", "0 2 * * 1", "America/New_York")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bugs_1_and_2_a_run_has_succeeded_when_its_result_is_stored_and_not_before() {
    let house = House::weekly(Site::new(quick()).await, monday()).await;
    // Nobody gets the result before we say so.
    let held = Kind::Hold { effect: recomamp::simulator::Effect::Before };
    let held = house.amc.set_fault(Fault::new(held).on([Operation::Download]));
    house.trigger("monday").await;
    let working = house.work();
    house.until_met(held, 1).await;
    assert_eq!(house.statuses("monday").await, [RunStatus::Running]);
    house.amc.lift_fault(held);
    let runs = house.ended("monday", 1).await;
    assert_eq!(runs[0].status, Succeeded);
    assert_eq!(house.count("select count(*) from execution_results").await, 1);
    house.assert_nothing_is_left().await;
    working.stop().await;

    let run = &runs[0];
    let window = house
        .text(
            "select to_char(window_start, 'YYYY-MM-DD HH24:MI') || ' ' || to_char(window_end, 'YYYY-MM-DD HH24:MI')
            || ' ' || window_tz || ' ' || origin from workflow_executions",
        )
        .await;
    let (start, end) = (run.window_start.unwrap(), run.window_end.unwrap());
    assert_eq!(window, format!("{start} 00:00 {end} 00:00 America/New_York schedule"));
    assert_eq!((end - start).num_days(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bugs_7_and_9_a_run_whose_submit_was_not_answered_is_found_and_not_sent_again() {
    let house = House::weekly(Site::new(quick()).await, monday()).await;
    let lost = Kind::Reset { effect: recomamp::simulator::Effect::After };
    house.faults([Fault::new(lost).on([Operation::CreateExecution]).times(1)]);
    house.trigger("monday").await;
    let working = house.work();
    let runs = house.ended("monday", 1).await;
    assert_eq!(runs[0].status, Succeeded);
    working.stop().await;
    house.assert_submitted_once(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_execution_failed_gets_another_one_and_that_is_one_run() {
    let house = House::weekly(Site::new(quick()).await, monday()).await;
    house.faults([fails(1)]);
    let working = house.work();
    assert_eq!(house.run_times("monday", 1).await, [Succeeded]);
    house.assert_nothing_is_left().await;
    working.stop().await;
    assert_eq!(house.count("select count(*) from workflow_executions").await, 2);
    assert_eq!(house.schedule("monday").await.consecutive_failures, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_13_failed_runs_in_a_row_pause_the_schedule_with_reason_and_remedy() {
    let house = House::weekly(Site::new(quick()).await, monday()).await;
    let working = house.work();
    // Two fail, one succeeds, and the count begins anew: two executions are one failed run.
    house.faults([fails(4)]);
    assert_eq!(house.run_times("monday", 3).await, [Failed, Failed, Succeeded]);
    assert_eq!(house.schedule("monday").await.consecutive_failures, 0);

    house.faults([fails(5)]);
    house.run_times("monday", 2).await;
    assert_eq!(house.schedule("monday").await.status, ScheduleStatus::Active);
    house.run_times("monday", 1).await;
    let schedule = house.schedule("monday").await;
    // The third run had one execution that failed and one that did not.
    assert_eq!((schedule.status, schedule.consecutive_failures), (ScheduleStatus::Active, 0));

    house.faults([fails(6)]);
    house.run_times("monday", 3).await;
    let schedule = house.schedule("monday").await;
    assert_eq!((schedule.status, schedule.consecutive_failures), (ScheduleStatus::AutoPaused, 3));
    let reason = schedule.pause_reason.unwrap();
    assert!(reason.starts_with("3 runs in a row failed"), "{reason}");
    assert!(reason.contains("Internal error") && reason.contains("schedules resume monday"));
    assert_eq!(
        house.story("monday").await.last().unwrap(),
        &("auto_paused".into(), "engine".into())
    );
    // Whoever is told that a run failed is told of which schedule it is, and in whose name it ran.
    let named = "select string_agg(distinct (detail ->> 'schedule') || ' ' || users.email, ',')
        from events
        join users on users.email = detail ->> 'email'
        where webhook_event(entity, from_status, to_status, actor) = 'run_failed'";
    let email = house.text("select email from users").await;
    assert_eq!(house.text(named).await, format!("monday {email}"));

    house.resume("monday").await;
    assert_eq!(house.run_times("monday", 1).await.last(), Some(&Succeeded));
    assert_eq!(house.schedule("monday").await.status, ScheduleStatus::Active);
    house.assert_nothing_is_left().await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_does_not_compile_fails_its_run_at_once() {
    let house = House::weekly(Site::new(quick()).await, monday()).await;
    sqlx::query(
        "update schedule_runs set status = 'cancelled', finished_at = engine.now() where false",
    )
    .execute(house.db.pool())
    .await
    .unwrap();
    house.faults([Fault::new(Kind::EndAs {
        status: Ending::Failed,
        reason: "Was unable to compile workflow".to_owned(),
    })
    .times(1)]);
    let working = house.work();
    assert_eq!(house.run_times("monday", 1).await, [Failed]);
    assert_eq!(house.count("select count(*) from workflow_executions").await, 1);
    let why = house.text("select reason from events where entity = 'schedule_run'").await;
    assert!(why.starts_with("failed after 1 execution: "), "{why}");
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_outages_deploys_and_cancelled_runs_are_no_failures() {
    let request = Request { failure_threshold: Some(1), ..monday() };
    let house = House::weekly(Site::new(quick()).await, request).await;
    let away = Kind::ServerError { status: 503, effect: recomamp::simulator::Effect::Before };
    house.faults([
        Fault::new(Kind::Throttle { retry_after: Some(1), html: false })
            .on([Operation::CreateExecution])
            .times(1),
        Fault::new(away).on([Operation::GetExecution]).times(3),
    ]);
    house.trigger("monday").await;
    let working = house.work();
    house.until(|counts| counts.calls_of(Operation::GetExecution) >= 1).await;
    working.stop_at_once().await;
    let working = house.work();
    eventually("the run has ended", async || {
        for kind in ["run_schedule", "submit_execution", "poll_status", "fetch_result"] {
            house.skip_pauses(kind).await;
        }
        house.statuses("monday").await == [Succeeded]
    })
    .await;

    let by_hand = Kind::EndAs { status: Ending::Cancelled, reason: "by hand".to_owned() };
    house.faults([Fault::new(by_hand).times(1)]);
    assert_eq!(house.run_times("monday", 1).await, [Succeeded, Cancelled]);
    let schedule = house.schedule("monday").await;
    assert_eq!((schedule.status, schedule.consecutive_failures), (ScheduleStatus::Active, 0));
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_amazons_pauses_at_once_and_the_run_goes_on_when_it_is_settled() {
    let house = House::weekly(Site::new(quick()).await, monday()).await;
    let terms = house.amc.set_fault(Fault::new(Kind::TermsNotAccepted));
    house.trigger("monday").await;
    let working = house.work();
    let paused = eventually_some("the schedule is paused", async || {
        let schedule = house.schedule("monday").await;
        (schedule.status == ScheduleStatus::AutoPaused).then_some(schedule)
    })
    .await;
    let reason = paused.pause_reason.unwrap();
    assert!(reason.contains("Terms and conditions") && reason.contains("unblock"), "{reason}");
    assert_eq!(paused.consecutive_failures, 0, "the run has not failed: it waits");

    house.amc.lift_fault(terms);
    house.unblock(house.instance).await;
    let runs = house.ended("monday", 1).await;
    assert_eq!(runs[0].status, Succeeded);
    assert_eq!(house.schedule("monday").await.status, ScheduleStatus::Active);
    house.assert_nothing_is_left().await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_on_an_instance_that_its_user_may_not_use_fails_once_and_says_what_to_do() {
    let mut amazon = quick();
    let elsewhere = vec!["ENTITY2SIMUK".to_owned()];
    amazon.users.push(User { refresh_token: "Atzr|simulator-bob".to_owned(), accounts: elsewhere });
    let house = House::weekly(Site::new(amazon).await, monday()).await;
    let bob = house.add_user("bob@example.com", "Atzr|simulator-bob").await;
    for change in
        ["update workflow_schedules set user_id = $1", "update workflows set user_id = $1"]
    {
        sqlx::query(change).bind(bob).execute(house.db.pool()).await.expect("changed");
    }
    // Also of a schedule that stands still already: it cannot say for what it waits.
    let because = Because { why: Some("holidays"), ..ADA };
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    manage::pause(&mut connection, "monday", None, &because).await.expect("paused");
    house.trigger("monday").await;
    let working = house.work();
    let runs = eventually_some("the run has ended", async || {
        house.age_tokens().await;
        house.skip_pauses("refresh_token").await;
        let runs = house.runs("monday").await;
        runs.first().is_some_and(|run| run.status.is_terminal()).then_some(runs)
    })
    .await;
    let why = runs[0].error_summary.clone().unwrap_or_default();
    assert!(why.contains("bob@example.com may not use amcdemous01"), "{why}");
    assert!(why.ends_with("then run `recomamp instances unblock amcdemous01`"), "{why}");
    house.idle().await;
    assert_eq!(house.count("select count(*) from workflow_executions").await, 1, "none again");
    assert_eq!(house.count("select count(*) from events where entity = 'instance'").await, 0);
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_credential_pauses_at_once_and_a_good_one_lets_it_go_on() {
    let house = House::weekly(Site::new(quick()).await, monday()).await;
    let refused = house.amc.set_fault(Fault::new(Kind::InvalidGrant));
    house.trigger("monday").await;
    let working = house.work();
    house.refusal_confirmed().await;
    let paused = eventually_some("the schedule is paused", async || {
        let schedule = house.schedule("monday").await;
        (schedule.status == ScheduleStatus::AutoPaused).then_some(schedule)
    })
    .await;
    let reason = paused.pause_reason.unwrap();
    assert!(reason.contains("refuses the grant") && reason.contains("users authorise"), "{reason}");

    house.amc.lift_fault(refused);
    eventually("the schedule goes on", async || {
        house.skip_pauses("refresh_token").await;
        house.schedule("monday").await.status == ScheduleStatus::Active
    })
    .await;
    assert_eq!(house.ended("monday", 1).await[0].status, Succeeded);
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_one_schedule_take_turns_and_a_cancelled_one_is_stopped_at_amc() {
    // Executions of this Amazon end when they are told to.
    let amazon = Settings { record_bodies: true, ..Settings::manual() };
    let request = Request { overlap: OverlapPolicy::QueueOne, ..monday() };
    let house = House::weekly(Site::new(amazon).await, request).await;
    house.trigger("monday").await;
    house.trigger("monday").await;
    let working = house.work();
    house.until(|counts| counts.accepted() == 1).await;
    eventually("AMC is known to have it", async || {
        house.count("select count(*) from workflow_executions where status = 'pending'").await == 1
    })
    .await;
    assert_eq!(house.statuses("monday").await, [RunStatus::Running, Pending]);

    let mut tx = house.db.pool().begin().await.unwrap();
    let queue = &house.tools.queue;
    assert_eq!(manage::cancel_runs(&mut tx, queue, "monday", &ADA).await.unwrap(), 2);
    tx.commit().await.unwrap();
    eventually("it is stopped at AMC", async || {
        house.count("select count(*) from workflow_executions where status = 'cancelled'").await
            == 1
    })
    .await;
    house.until(|counts| counts.calls_of(Operation::CancelExecution) >= 1).await;
    house.assert_nothing_is_left().await;
    working.stop().await;
    assert_eq!(house.statuses("monday").await, [Cancelled, Cancelled]);
    assert_eq!(house.amc.counts().accepted(), 1, "the second one was never sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_nobody_works_on_is_picked_up() {
    let house = House::weekly(Site::new(quick()).await, monday()).await;
    house.trigger("monday").await;
    sqlx::query("delete from engine.jobs").execute(house.db.pool()).await.unwrap();
    let mut connection = house.db.pool().acquire().await.unwrap();
    let forgotten = jobs::run_schedule::forgotten(&mut connection).await.unwrap();
    assert_eq!(forgotten.len(), 1);
    let job = jobs::run_schedule::job(forgotten[0]).unwrap();
    house.tools.queue.enqueue(&mut connection, &[job]).await.unwrap();
    assert_eq!(jobs::run_schedule::forgotten(&mut connection).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_is_stopped_at_amc_even_when_its_job_is_lost() {
    let house = House::weekly(Site::new(quick()).await, monday()).await;
    house.faults([Fault::new(Kind::RunFor { seconds: 20_000 })]);
    house.trigger("monday").await;
    let working = house.work();
    let at_amc = "select count(*) from workflow_executions where status in ('pending', 'running')";
    eventually("it is at AMC", async || house.count(at_amc).await == 1).await;
    working.stop().await;
    let (queue, mut tx) = (&house.tools.queue, house.db.pool().begin().await.unwrap());
    assert_eq!(manage::cancel_runs(&mut tx, queue, "monday", &ADA).await.unwrap(), 1);
    sqlx::query("delete from engine.jobs").execute(&mut *tx).await.unwrap();
    let forgotten = jobs::run_schedule::forgotten(&mut tx).await.unwrap();
    assert_eq!(forgotten.len(), 1);
    let job = jobs::run_schedule::job(forgotten[0]).unwrap();
    queue.enqueue(&mut tx, &[job]).await.unwrap();
    assert_eq!(jobs::run_schedule::forgotten(&mut tx).await.unwrap(), []);
    tx.commit().await.unwrap();
    let working = house.work();
    let stopped = "select count(*) from workflow_executions where amc_status = 'CANCELLED'";
    eventually("it is stopped", async || house.count(stopped).await == 1).await;
    house.assert_nothing_is_left().await;
    working.stop().await;
}

#[tokio::test]
async fn runs_come_out_of_the_live_share_and_weeks_out_of_the_backfills() {
    let house = House::weekly(Site::new(quick()).await, monday()).await;
    house.trigger("monday").await;
    house.backfill(2).await;
    let shares =
        "select string_agg(kind || ' ' || share || ' ' || priority, ', ' order by kind, id)
        from engine.jobs";
    let (live, backfill) = (0, 1);
    let expected =
        format!("collect_week {backfill} 2, collect_week {backfill} 2, run_schedule {live} 1");
    assert_eq!(house.text(shares).await, expected);
}
