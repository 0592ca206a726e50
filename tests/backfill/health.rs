//! Instances that keep us out, that appear and that disappear.

use super::site::{Site, Wish, quick};
use crate::harness::eventually::{eventually, eventually_some};
use recomamp::backfill::status;
use recomamp::jobs;
use recomamp::queue::Queue;
use recomamp::queue::gate::Rule;
use recomamp::schedule::Desk;
use recomamp::schedule::duties::Duty;
use recomamp::simulator::{Fault, Kind, Operation as Op, Settings, User};
use recomamp::store::Region;
use recomamp::store::accounts::{self, NewAccount};
use recomamp::store::instances::{self, NewInstance};
use std::time::Duration;

const WEEKS: u32 = 6;

impl Site {
    fn desk(&self) -> Desk {
        let retention = Duration::from_hours(24);
        Desk { db: self.db.pool().clone(), queue: Queue::new(), retention }
    }

    async fn fulfil(&self, duty: Duty) {
        duty.fulfil(&self.desk(), true).await.expect("done");
    }

    async fn probed(&self, times: i64) {
        let probed = "select count(*) from engine.jobs_history where kind = 'probe_instance'";
        eventually("it was asked", async || self.count(probed).await == times).await;
    }

    /// Takes over from AMC what it lists, and waits until that is done.
    async fn synced(&self) {
        let done = "select count(*) from engine.jobs_history where kind = 'sync_instances'";
        let before = self.count(done).await;
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        let asked = jobs::sync_instances::ask_now(&self.tools.queue, &mut connection, self.user);
        asked.await.expect("asked");
        eventually("it is synced", async || self.count(done).await > before).await;
    }
}

const STATUS: &str = "select status || ' ' || coalesce(block_reason, '') from amc_instances
    where instance_id = 'amcdemous01'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_instance_is_asked_now_and_then_and_goes_on_by_itself() {
    let site = Site::new(quick()).await;
    let terms = site.amc.set_fault(Fault::new(Kind::TermsNotAccepted));
    let collection = site.backfill(WEEKS).await;
    let working = site.work();
    let blocked = "select count(*) from report_data_weeks where status = 'blocked'";
    eventually("all weeks are blocked", async || {
        site.skip_pauses("collect_week").await;
        site.count(blocked).await == i64::from(WEEKS)
    })
    .await;
    let executions = "select count(*) from workflow_executions";
    let spent = site.count(executions).await;
    assert!(site.text(STATUS).await.starts_with("blocked Terms and conditions"));

    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let told = status::newest(&mut connection, 1).await.expect("the store answers").remove(0);
    let kept_out = told.kept_out.expect("it says why it stands still");
    assert!(kept_out.ends_with("run `recomamp instances unblock amcdemous01`"), "{kept_out}");

    // Too early: nobody asks. Then each probe is one call, ever more seldom.
    site.fulfil(Duty::ProbeInstances).await;
    site.probed(0).await;
    let calls = site.amc.counts().calls_of(Op::ListWorkflows);
    for (minutes, probes) in [(6, 1), (6, 1), (6, 2), (12, 2), (12, 3)] {
        site.db.advance_clock(Duration::from_mins(minutes)).await;
        site.fulfil(Duty::ProbeInstances).await;
        site.probed(probes).await;
    }
    assert_eq!(site.amc.counts().calls_of(Op::ListWorkflows) - calls, 3);
    assert_eq!(site.count(executions).await, spent, "nobody but the probes asked");

    site.amc.lift_fault(terms);
    site.db.advance_clock(Duration::from_mins(50)).await;
    site.fulfil(Duty::ProbeInstances).await;
    site.ended_without_pauses(collection).await;
    site.assert_completed(collection, WEEKS).await;
    assert_eq!(site.text(STATUS).await, "active ");
    let told = "select string_agg(coalesce(from_status, '') || '>' || to_status, ' ' order by id)
        from events where entity = 'instance'";
    assert_eq!(site.text(told).await, "active>blocked blocked>active");
    let why = "select reason from events where entity = 'instance' and to_status = 'blocked'";
    let why = site.text(why).await;
    assert!(why.contains("(Terms and conditions"), "{why}");
    assert!(why.contains("`recomamp instances unblock amcdemous01`"), "{why}");
    assert!(why.contains("asked"), "{why}");
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_amc_lists_is_added_and_what_it_lists_no_more_is_blocked_until_it_does() {
    let mut amazon = quick();
    let mut second = amazon.accounts[0].instances[0].clone();
    second.instance_id = "amcnew01".to_owned();
    second.name = "New".to_owned();
    amazon.accounts[0].instances.push(second);
    let site = Site::new(Settings { record_bodies: true, ..amazon }).await;
    site.add_instance("amcgone01").await;
    let owner = format!("amc_account:{}", site.amc.settings().accounts[0].account_id);
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let three = Rule::Holds(Some(3));
    site.tools.queue.set_gate(&mut connection, &owner, three).await.expect("set");
    let working = site.work();
    site.synced().await;
    let known = "select count(*) from amc_instances where status = 'active' and is_listed";
    let all: usize =
        site.amc.settings().accounts.iter().map(|account| account.instances.len()).sum();
    assert_eq!(site.count(known).await, i64::try_from(all).expect("few"));
    let gates = "select count(*) from engine.resources
        where name = 'amc_instance:amcnew01' and max_holds = 10 and breaker is not null";
    assert_eq!(site.count(gates).await, 1, "a new one has its gates");
    let limit = "select max_holds::bigint from engine.resources where name like 'amc_account:%'
        and max_holds <> 200";
    assert_eq!(site.count(limit).await, 3, "what a person set for its account stays");
    let why = "select block_reason from amc_instances where instance_id = 'amcgone01'";
    assert!(site.text(why).await.contains("not list it any more"));
    let told = "select count(*) from events where entity = 'instance'";
    let before = site.count(told).await;
    site.synced().await;
    assert_eq!(site.count(told).await, before, "the same list says nothing new");
    // Nobody asks what AMC does not have.
    site.db.advance_clock(Duration::from_hours(8)).await;
    site.fulfil(Duty::ProbeInstances).await;
    site.probed(0).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_an_account_that_amc_lists_without_a_marketplace_stay_as_they_are() {
    let mut amazon = quick();
    let mut nowhere = amazon.accounts[0].clone();
    nowhere.account_id = "ENTITY9NOWHERE".to_owned();
    nowhere.marketplace_id = String::new();
    nowhere.instances.clear();
    amazon.accounts.push(nowhere);
    let site = Site::new(amazon).await;
    let theirs = NewAccount {
        account_id: "ENTITY9NOWHERE",
        account_name: "Nowhere",
        marketplace_id: "ATVPDKIKX0DER",
        region: Region::Na,
        user_id: site.user,
    };
    let account_id = accounts::insert(site.db.pool(), &theirs).await.expect("added");
    let instance = NewInstance {
        instance_id: "amcnowhere01",
        instance_name: "Nowhere",
        account_id,
        endpoint_url: None,
    };
    instances::insert(site.db.pool(), &instance).await.expect("added");
    site.add_instance("amcgone01").await;
    let working = site.work();
    site.synced().await;
    let blocked = "select string_agg(instance_id, ' ') from amc_instances where status = 'blocked'";
    assert_eq!(site.text(blocked).await, "amcgone01");
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_list_blocks_nothing() {
    let site = Site::new(quick()).await;
    let working = site.work();
    site.faults([Fault::new(Kind::Truncated).on([Op::ListInstances]).times(2)]);
    site.synced().await;
    site.assert_faults_met();
    assert_eq!(site.text(STATUS).await, "active ");
    working.stop().await;
}

impl Site {
    /// What was told of accounts, the first first.
    async fn told_of_accounts(&self) -> String {
        let told = "select coalesce(string_agg(reason, '; ' order by id), '') from events
            where entity = 'account'";
        self.text(told).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_whose_instances_amc_does_not_tell_keeps_them_and_stands_in_no_others_way() {
    let site = Site::new(quick()).await;
    let listed: usize =
        site.amc.settings().accounts.iter().map(|account| account.instances.len()).sum();
    let own = site.amc.settings().accounts[0].instances.len();
    site.add_instance("amcgone01").await;
    let working = site.work();
    let refused = "AMC does not tell its instances, which stay as they are: \
        Terms and conditions must be accepted to continue.";
    for _ in 0..2 {
        // The account that is asked first is the one that the site's instance belongs to.
        site.faults([Fault::new(Kind::TermsNotAccepted).on([Op::ListInstances]).times(1)]);
        site.synced().await;
        let active = "select count(*) from amc_instances where status = 'active'";
        let others = i64::try_from(listed - own).expect("few");
        assert_eq!(site.count(active).await, others + 2, "the others', and both that were there");
        assert_eq!(site.told_of_accounts().await, refused, "told once");
    }
    site.synced().await;
    let blocked = "select string_agg(instance_id, ' ') from amc_instances where status = 'blocked'";
    assert_eq!(site.text(blocked).await, "amcgone01");
    let told = format!("{refused}; AMC tells its instances again");
    assert_eq!(site.told_of_accounts().await, told);
    site.synced().await;
    assert_eq!(site.told_of_accounts().await, told);
    working.stop().await;
    site.assert_faults_met();
    let ended = "select string_agg(distinct state::text, ' ') from engine.jobs_history
        where kind = 'sync_instances'";
    assert_eq!(site.text(ended).await, "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_refused_without_a_reason_is_asked_for_with_a_new_token_before_it_is_left() {
    let site = Site::new(quick()).await;
    site.add_instance("amcgone01").await;
    site.faults([Fault::new(Kind::Forbidden).on([Op::ListInstances]).times(2)]);
    let working = site.work();
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let asked = jobs::sync_instances::ask_now(&site.tools.queue, &mut connection, site.user);
    asked.await.expect("asked");
    let done = "select count(*) from engine.jobs_history where kind = 'sync_instances'";
    eventually("it is synced", async || {
        site.age_tokens().await;
        site.skip_pauses("refresh_token").await;
        site.count(done).await == 1
    })
    .await;
    working.stop().await;
    site.assert_faults_met();
    let blocked = "select count(*) from amc_instances where status = 'blocked'";
    assert_eq!(site.count(blocked).await, 0);
    assert!(site.told_of_accounts().await.ends_with(": Forbidden"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_amc_is_still_creating_is_asked_now_and_then_until_it_is_ready() {
    let site = Site::new(quick()).await;
    let word = "IN_PROGRESS".to_owned();
    let creating = site.amc.set_fault(Fault::new(Kind::CreationStatus { word }));
    let working = site.work();
    site.synced().await;
    let why = "blocked AMC is still creating it (IN_PROGRESS)";
    assert_eq!(site.text(STATUS).await, why);
    let others = "update amc_instances set status = 'disabled', block_reason = null
        where instance_id <> 'amcdemous01'";
    sqlx::query(others).execute(site.db.pool()).await.expect("switched off");
    for (minutes, probes) in [(6, 1), (6, 1), (6, 2)] {
        site.db.advance_clock(Duration::from_mins(minutes)).await;
        site.fulfil(Duty::ProbeInstances).await;
        site.probed(probes).await;
        assert_eq!(site.text(STATUS).await, why);
    }
    site.amc.lift_fault(creating);
    site.db.advance_clock(Duration::from_mins(25)).await;
    site.fulfil(Duty::ProbeInstances).await;
    site.probed(3).await;
    assert_eq!(site.text(STATUS).await, "active ");
    assert_eq!(site.amc.counts().calls_of(Op::ListWorkflows), 0, "the list tells");
    let known = "select count(*) from amc_instances where status = 'active' and is_listed";
    assert_eq!(site.count(known).await, 1);
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_use_anothers_instance_waits_with_the_remedy_and_keeps_nobody_else_out() {
    let mut amazon = quick();
    let elsewhere = vec!["ENTITY2SIMUK".to_owned()];
    amazon.users.push(User { refresh_token: "Atzr|simulator-bob".to_owned(), accounts: elsewhere });
    let site = Site::new(amazon).await;
    let bob = site.add_user("bob@example.com", "Atzr|simulator-bob").await;
    let theirs = site.ask(&Wish { user: bob, ..site.wish(2) }).await;
    let working = site.work();
    let paused = "select pause_reason from report_data_collections where status = 'paused'";
    let reason = eventually_some("it is paused", async || {
        site.age_tokens().await;
        site.skip_pauses("refresh_token").await;
        let mut rows = sqlx::query_scalar::<_, String>(paused).fetch_all(site.db.pool()).await;
        rows.as_mut().expect("the store answers").pop()
    })
    .await;
    assert!(reason.contains("bob@example.com may not use amcdemous01"), "{reason}");
    assert!(reason.ends_with("then run `recomamp instances unblock amcdemous01`"), "{reason}");
    let mine = site.backfill(2).await;
    site.assert_completed(mine, 2).await;
    let of_the_instance = "select count(*) from events where entity = 'instance'";
    assert_eq!(site.count(of_the_instance).await, 0);
    assert_eq!(site.progress(theirs).await.failed, 0);

    // Given access.
    sqlx::query("update report_data_collections set user_id = $1")
        .bind(site.user)
        .execute(site.db.pool())
        .await
        .expect("the store answers");
    assert!(site.unblock(site.instance).await > 0);
    site.assert_completed(theirs, 2).await;
    assert_eq!(site.unblock(site.instance).await, 0);
    assert_eq!(site.count(of_the_instance).await, 1, "told once, and not when there is nothing");
    working.stop().await;
}
