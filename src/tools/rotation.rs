//! Secrets at rest, sealed anew with the newest key, while everybody works.
//!
//! A row is written only when it still holds what was read, so that a token that was refreshed meanwhile is
//! never overwritten. Every row is a transaction of its own; killed in the middle and begun again, it
//! goes on with what is left.

use crate::config::Keys;
use crate::plural::counted;
use crate::store::Sealed;
use crate::store::sealed::{self, Secrets, Vault};
use sqlx::PgPool;

/// How many rows are read at once.
const PAGE: i64 = 100;

/// How everything is sealed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sealings {
    /// The tokens, user by user.
    pub tokens: Sealing,
    /// What signs, webhook by webhook.
    pub webhooks: Sealing,
}

/// How the rows of one kind are sealed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sealing {
    /// With the newest key, before anything was done.
    pub newest: u64,
    /// With an older one; by a rotation they were sealed anew.
    pub older: u64,
    /// No key that we have opens them.
    pub shut: u64,
}

/// One secret, or the secrets of a row.
enum Found<T> {
    Newest,
    /// With an older key; this is the same, sealed anew.
    Older(T),
    Shut,
}

/// How the stored secrets are sealed. Changes nothing.
pub async fn look(db: &PgPool, keys: &Keys) -> Result<Sealings, sqlx::Error> {
    walk(db, keys, false).await
}

/// Seals every stored secret with the newest key that is not yet. Those that no key opens stay.
pub async fn rotate(db: &PgPool, keys: &Keys) -> Result<Sealings, sqlx::Error> {
    walk(db, keys, true).await
}

/// Whether a key of the ring opens this secret.
pub fn opens(keys: &Keys, secret: &Sealed) -> bool {
    keys.ring().decrypt(secret.as_str()).is_ok()
}

async fn walk(db: &PgPool, keys: &Keys, write: bool) -> Result<Sealings, sqlx::Error> {
    Ok(Sealings {
        tokens: walk_through(db, keys, Vault::Tokens, write).await?,
        webhooks: walk_through(db, keys, Vault::Webhooks, write).await?,
    })
}

async fn walk_through(
    db: &PgPool,
    keys: &Keys,
    vault: Vault,
    write: bool,
) -> Result<Sealing, sqlx::Error> {
    let (mut sealing, mut last) = (Sealing::default(), None);
    loop {
        let page = sealed::after(db, vault, last, PAGE).await?;
        let Some(end) = page.last() else { return Ok(sealing) };
        last = Some(end.id);
        for row in page {
            sealing.count(&visit(db, keys, vault, row, write).await?);
        }
    }
}

async fn visit(
    db: &PgPool,
    keys: &Keys,
    vault: Vault,
    mut row: Secrets,
    write: bool,
) -> Result<Found<Secrets>, sqlx::Error> {
    loop {
        let found = row_anew(keys, &row);
        let Found::Older(anew) = &found else { return Ok(found) };
        if !write || sealed::reseal(db, vault, &row, anew).await? {
            return Ok(found);
        }
        // Somebody has stored others meanwhile: those are looked at.
        match sealed::of(db, vault, row.id).await? {
            Some(now) => row = now,
            None => return Ok(Found::Newest),
        }
    }
}

fn row_anew(keys: &Keys, row: &Secrets) -> Found<Secrets> {
    let first = anew(keys, &row.first);
    let second = row.second.as_ref().map(|second| anew(keys, second));
    match (&first, &second) {
        (Found::Shut, _) | (_, Some(Found::Shut)) => Found::Shut,
        (Found::Newest, None | Some(Found::Newest)) => Found::Newest,
        _ => Found::Older(Secrets {
            id: row.id,
            first: first.or(&row.first),
            second: row.second.as_ref().zip(second).map(|(stored, found)| found.or(stored)),
        }),
    }
}

fn anew(keys: &Keys, sealed: &Sealed) -> Found<Sealed> {
    if keys.newest().decrypt(sealed.as_str()).is_ok() {
        return Found::Newest;
    }
    match keys.ring().decrypt(sealed.as_str()) {
        Ok(clear) => Found::Older(Sealed::new(keys.newest().encrypt(&clear))),
        Err(_) => Found::Shut,
    }
}

impl Found<Sealed> {
    fn or(self, stored: &Sealed) -> Sealed {
        match self {
            Self::Older(sealed) => sealed,
            Self::Newest | Self::Shut => stored.clone(),
        }
    }
}

impl Sealings {
    /// A number of each kind as a phrase, as in "the tokens of 2 users and what signs for 1 webhook";
    /// empty when there is none of either.
    pub fn said(&self, number: impl Fn(&Sealing) -> u64) -> String {
        let tokens = match number(&self.tokens) {
            0 => None,
            users => Some(format!("the tokens of {}", counted(users, "user", "users"))),
        };
        let webhooks = match number(&self.webhooks) {
            0 => None,
            hooks => Some(format!("what signs for {}", counted(hooks, "webhook", "webhooks"))),
        };
        [tokens, webhooks].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

impl Sealing {
    fn count(&mut self, found: &Found<Secrets>) {
        match found {
            Found::Newest => self.newest += 1,
            Found::Older(_) => self.older += 1,
            Found::Shut => self.shut += 1,
        }
    }
}
