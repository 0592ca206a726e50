//! The gates that resources of Amazon's have before anybody sets one.
//!
//! An instance has as many places as AMC lets executions be open there. Instances, hosts and the token
//! service have a breaker each, so that few calls are wasted on what is down: the instance's is the one
//! that waits long; the host's trips later and asks again soon, because a host is everybody's, and one
//! instance that is down alone must not keep others waiting.
//!
//! What a person sets stays. A breaker that somebody takes away comes back when the next worker starts;
//! one that is never to open is given no trips.

use super::{Tools, resources};
use crate::config::Limits;
use crate::queue::gate::breaker::{self, Trip};
use crate::queue::{Error, Queue};
use crate::store::instances;
use sqlx::PgConnection;
use url::Url;

/// Failures in a row that open an instance's breaker.
const INSTANCE_TRIPS: u32 = 10;
/// Failures in a row that open a host's.
const HOST_TRIPS: u32 = 20;

/// When an instance, or the token service, is left alone.
pub fn instance_breaker() -> breaker::Rule {
    breaker::Rule {
        trips: vec![Trip::Consecutive { k: INSTANCE_TRIPS }],
        // Short at first, for what was only a hiccup; never so long that people wait for us.
        cool_downs_s: vec![15, 30, 60, 120, 300],
        ..breaker::Rule::default()
    }
}

/// When a host is left alone.
pub fn host_breaker() -> breaker::Rule {
    breaker::Rule {
        trips: vec![Trip::Consecutive { k: HOST_TRIPS }],
        cool_downs_s: vec![15, 30],
        ..breaker::Rule::default()
    }
}

/// Gives a new instance its gates, places for executions and a breaker, and its account's places with the
/// first of its instances: a later one gives none, for a person may have set another number since, or
/// taken the limit away.
pub async fn of_new_instance(
    queue: &Queue,
    connection: &mut PgConnection,
    amc_instance_id: &str,
    entity_id: &str,
    limits: &Limits,
) -> Result<(), Error> {
    let instance = resources::instance(amc_instance_id);
    let account = resources::account(entity_id);
    let of_account = Some((account, limits.max_open_per_account));
    let is_first = instances::is_alone(&mut *connection, amc_instance_id).await?;
    for (resource, places) in [(instance.clone(), limits.max_open_per_instance)]
        .into_iter()
        .chain(of_account.filter(|_| is_first))
    {
        let places = i32::try_from(places).unwrap_or(i32::MAX);
        queue.give_holds(&mut *connection, &[resource], places).await?;
    }
    queue.give_breaker(connection, &[instance], &instance_breaker()).await?;
    Ok(())
}

impl Tools {
    /// Gives every instance, every host and the token service a breaker that has none. How many.
    pub async fn guard(&self, connection: &mut PgConnection) -> Result<usize, Error> {
        let instances = instances::list(&mut *connection).await?;
        let own = instances.iter().filter_map(|one| Url::parse(one.endpoint_url.as_deref()?).ok());
        let shared = [&self.hosts.na, &self.hosts.eu, &self.hosts.fe].map(|host| host.amc.clone());
        let hosts: Vec<String> = own.chain(shared).map(|url| resources::host(&url)).collect();
        let places = instances.iter().map(|one| resources::instance(&one.instance_id));
        let lasting: Vec<String> = places.chain([resources::TOKENS.to_owned()]).collect();
        let given = self.queue.give_breaker(connection, &lasting, &instance_breaker()).await?;
        Ok(given + self.queue.give_breaker(connection, &hosts, &host_breaker()).await?)
    }
}
