//! Secrets are sealed anew while everybody works.

use super::site::{Site, quick};
use crate::harness::eventually::eventually;
use recomamp::config::{Keys, Settings as _};
use recomamp::jobs;
use recomamp::tools::rotation::{self, Sealing, Sealings};
use std::time::Duration;

const OLD: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";

fn keys(ring: &str) -> Keys {
    let ring = ring.to_owned();
    let find = move |name: &str| (name == "RECOMAMP_ENCRYPTION_KEYS").then(|| ring.clone());
    Keys::load(&find).expect("keys")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_rotated_while_tokens_are_refreshed_and_none_is_lost() {
    let new = fernet::Fernet::generate_key();
    let both = format!("{new},{OLD}");
    let ring = format!("{OLD},{new}");
    // Workers that can read both and still write with the old one, which is the worst there is.
    let site = Site::with(quick(), &[("RECOMAMP_ENCRYPTION_KEYS", &ring)]).await;
    for n in 0..150 {
        site.add_user(&format!("user{n}@example.com"), "Atzr|simulator-second").await;
    }
    let collection = site.backfill(6).await;
    let working = site.work();
    let refresh = async {
        for _ in 0..20 {
            site.db.advance_clock(Duration::from_hours(1)).await;
            let generation = "select token_generation from lwa_credentials
                order by token_generation desc limit 1";
            let before = site.count(generation).await;
            let mut connection = site.db.pool().acquire().await.expect("a connection");
            let job = jobs::refresh_token::job(site.user, before).expect("JSON");
            site.tools.queue.enqueue(&mut connection, &[job]).await.expect("enqueued");
            eventually("it is refreshed", async || site.count(generation).await > before).await;
            // Whoever asks before the job has ended is answered by it.
            let asked = "select count(*) from engine.jobs where kind = 'refresh_token'";
            eventually("nobody refreshes", async || site.count(asked).await == 0).await;
        }
    };
    let rotate = async {
        let mut anew = 0;
        for _ in 0..20 {
            anew +=
                rotation::rotate(site.db.pool(), &keys(&both)).await.expect("rotated").tokens.older;
        }
        anew
    };
    let ((), anew) = tokio::join!(refresh, rotate);
    assert!(anew >= 151, "{anew}");
    site.assert_completed(collection, 6).await;
    working.stop().await;

    // Once nobody writes with the old key, it is needed no more; and it can be done again.
    rotation::rotate(site.db.pool(), &keys(&both)).await.expect("rotated");
    let of_users = |tokens| Sealings { tokens, ..Sealings::default() };
    let done = of_users(Sealing { newest: 151, older: 0, shut: 0 });
    assert_eq!(rotation::rotate(site.db.pool(), &keys(&both)).await.expect("rotated"), done);
    assert_eq!(rotation::look(site.db.pool(), &keys(&new)).await.expect("looked"), done);
    let lost = of_users(Sealing { newest: 0, older: 0, shut: 151 });
    assert_eq!(rotation::rotate(site.db.pool(), &keys(OLD)).await.expect("rotated"), lost);
    let secret = "select refresh_token_encrypted from lwa_credentials
        join users on users.id = user_id where email = 'ada@example.com'";
    let clear = keys(&new).ring().decrypt(&site.text(secret).await).expect("it opens");
    assert_eq!(String::from_utf8(clear).expect("text"), site.refresh_token());
}
