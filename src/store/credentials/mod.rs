//! `lwa_credentials`: the encrypted tokens of each user, and whether they still work.
//!
//! Every new token raises the generation. Whoever refreshed on behalf of an older generation comes
//! too late and is refused, so that many who meet one expired token make one refresh.

mod row;
mod steps;

pub use row::{
    AccessToken, Credential, RefreshToken, TokenState, access_token, expiring_before, list,
    refresh_token, unsynced_since, usable,
};
pub use steps::{
    Refused, accept_client, authorise, hold_still, refuse, refuse_client, store_refreshed, synced,
};
