//! What follows a group of members comes once, in the transaction that decides it, and always.

mod members;
mod model;
mod rules;

use super::{House, name_of, named};
use recomamp::queue::error::Class;
use recomamp::queue::group::{NewGroup, Progress, Rule, Standing};
use recomamp::queue::store::Lease;
use recomamp::queue::{Failure, NewJob, Outcome, State};
use std::time::Duration;

/// Verbs of groups that read well in a test.
impl House {
    pub async fn make(&self, group: NewGroup) -> i64 {
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        let made = self.queue.make_group(&mut connection, &group).await.expect("made");
        made.id()
    }

    pub async fn seal(&self, group: i64) {
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        let mut transaction = sqlx::Connection::begin(&mut *connection).await.expect("begun");
        assert!(self.queue.seal(&mut transaction, group).await.expect("sealed"));
        transaction.commit().await.expect("committed");
    }

    pub async fn add_members(&self, group: i64, names: &[String]) -> u64 {
        let mut transaction = self.db.pool().begin().await.expect("begun");
        let added = self.queue.add_members(&mut transaction, group, names).await.expect("added");
        transaction.commit().await.expect("committed");
        added
    }

    pub async fn end_member(&self, group: i64, member: &str, state: State) -> bool {
        let mut transaction = self.db.pool().begin().await.expect("begun");
        let ended = self.queue.end_member(&mut transaction, group, member, state).await;
        transaction.commit().await.expect("committed");
        ended.expect("ended")
    }

    pub async fn reopen_member(&self, group: i64, member: &str) -> u64 {
        let mut transaction = self.db.pool().begin().await.expect("begun");
        let names = [member.to_owned()];
        let changed = self.queue.reopen_members(&mut transaction, group, &names).await;
        transaction.commit().await.expect("committed");
        changed.expect("taken up again")
    }

    pub async fn progress(&self, group: i64) -> Progress {
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        let progress = self.queue.group(&mut connection, group).await.expect("answered");
        progress.expect("there is such a group")
    }

    pub async fn standing(&self, group: i64) -> Standing {
        self.progress(group).await.state
    }

    /// How many jobs of this name are waiting.
    pub async fn waiting(&self, name: &str) -> i64 {
        sqlx::query_scalar(
            "select count(*) from engine.jobs where state = 'waiting' and args ->> 'name' = $1",
        )
        .bind(name)
        .fetch_one(self.db.pool())
        .await
        .expect("counted")
    }

    pub async fn events_of(&self, group: &str) -> Vec<String> {
        sqlx::query_scalar("select what from engine.events where resource = $1 order by id")
            .bind(format!("group:{group}"))
            .fetch_all(self.db.pool())
            .await
            .expect("read")
    }

    /// Claims everything that is due and ends it as its name begins: `good`, `bad` or `stop`.
    pub async fn work(&self) -> Vec<String> {
        let mut names = Vec::new();
        for lease in self.claim(100).await {
            self.end(&lease, by_name(&lease)).await;
            names.push(name_of(&lease).to_owned());
        }
        names
    }
}

pub fn by_name(lease: &Lease) -> Result<Outcome, Failure> {
    let name = name_of(lease);
    if name.starts_with("bad") {
        Err(Failure::permanent(anyhow::anyhow!("bad")))
    } else if name.starts_with("stop") {
        Err(Failure::new(Class::Cancelled, anyhow::anyhow!("stopped")))
    } else {
        Ok(Outcome::Done)
    }
}

/// A group with both kinds of follow-up, which are due in a year, so that nobody claims them.
pub fn group(name: &str, rule: Rule) -> NewGroup {
    NewGroup::new(name, rule).then(later("then")).if_failed(later("else"))
}

pub fn later(name: &str) -> NewJob {
    named(name).after(Duration::from_secs(365 * 86400))
}

/// A sealed group of jobs with these names.
pub async fn of_jobs(house: &House, group: NewGroup, names: &[&str]) -> i64 {
    let id = house.make(group).await;
    let jobs: Vec<NewJob> = names.iter().map(|name| named(name).in_group(id)).collect();
    house.enqueue(&jobs).await;
    house.seal(id).await;
    id
}
