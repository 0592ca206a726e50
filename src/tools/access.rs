//! Tokens, opened and sealed; who calls Amazon, and in whose name.

use super::{Tools, resources};
use crate::amc::{Access, AmcInstanceId, Caller, EntityId, MarketplaceId, TokenError, Tokens};
use crate::queue::{Attempt, Failure};
use crate::store::credentials::{self, TokenState};
use crate::store::executions::Execution;
use crate::store::instances::Address;
use crate::store::{ExecutionUuid, InstanceUuid, Region, Sealed, UserId};
use anyhow::anyhow;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

/// An access token that ends sooner than this is not used any more. Seconds.
const LAST_SECONDS: i64 = 5;

/// A caller of AMC.
pub struct SignedIn {
    /// Who calls.
    pub caller: Caller,
    /// Which instance is called.
    pub instance: AmcInstanceId,
    /// Whose token it is.
    pub bearer: Bearer,
}

/// Whose token a call shows, and to which host.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// Whose token it is.
    pub user: UserId,
    /// Which of the user's tokens it is.
    pub generation: i64,
    /// The host that is called.
    pub host: String,
    /// The token that the job showed when it was refused last, if it has waited for another since.
    refused: Option<i64>,
    attempt: Attempt,
}

/// What a job remembers of a token that was refused: its cursor.
#[derive(Debug, Serialize, Deserialize)]
struct Refused {
    refused_token: i64,
}

impl Bearer {
    /// Whether the job has got a newer token since one was refused to it.
    pub fn is_renewed(&self) -> bool {
        self.refused.is_some_and(|refused| self.generation > refused)
    }

    /// Whether the job's last attempt was denied: a token, or the instance.
    pub fn was_denied(&self) -> bool {
        self.attempt.denials() > 0
    }

    /// Remembers that this token was refused, for the attempt that comes after.
    pub(super) async fn remember(&self) -> Result<(), Failure> {
        let refused = Refused { refused_token: self.generation };
        Ok(self.attempt.save_cursor(&Some(refused)).await?)
    }
}

/// Where Amazon is called, in whose name, and for which execution if for one.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// In whose name.
    pub user: UserId,
    /// The instance: our id.
    pub instance: InstanceUuid,
    /// The instance: AMC's id.
    pub amc_instance_id: &'a str,
    /// Where the instance's API answers, when not at the region's host.
    pub endpoint_url: Option<&'a str>,
    /// Amazon's id of the account.
    pub entity_id: &'a str,
    /// Amazon's id of the marketplace.
    pub marketplace_id: &'a str,
    /// Which of Amazon's hosts answer.
    pub region: Region,
    /// Whether the instance is of an account of the user's own. Who may not use another's says nothing
    /// about the instance.
    pub is_own: bool,
    /// For which execution; none when for none.
    pub execution: Option<ExecutionUuid>,
}

impl<'a> From<&'a Execution> for Place<'a> {
    fn from(execution: &'a Execution) -> Self {
        Self {
            user: execution.user_id,
            instance: execution.instance_id,
            amc_instance_id: &execution.amc_instance_id,
            endpoint_url: execution.endpoint_url.as_deref(),
            entity_id: &execution.entity_id,
            marketplace_id: &execution.marketplace_id,
            region: execution.region,
            is_own: execution.user_id == execution.account_user_id,
            execution: Some(execution.id),
        }
    }
}

impl<'a> Place<'a> {
    /// An instance, whatever it is called for.
    pub fn of(address: &'a Address, user: UserId) -> Self {
        Self {
            user,
            instance: address.id,
            amc_instance_id: &address.amc_instance_id,
            endpoint_url: address.endpoint_url.as_deref(),
            entity_id: &address.entity_id,
            marketplace_id: &address.marketplace_id,
            region: address.region,
            is_own: user == address.account_user_id,
            execution: None,
        }
    }
}

/// A live access token, and whose it is.
pub struct Pass {
    /// Where to call, and with which token.
    pub access: Access,
    /// Whose token it is.
    pub bearer: Bearer,
}

impl Pass {
    /// The same token, shown to another host.
    #[must_use]
    pub fn at(&self, base_url: Url) -> Self {
        let host = resources::host(&base_url);
        Self {
            access: Access { base_url, ..self.access.clone() },
            bearer: Bearer { host, ..self.bearer.clone() },
        }
    }
}

impl Tools {
    /// Signs in. Without a live token it asks for one, and the job waits for it.
    pub async fn sign_in<'a>(
        &self,
        attempt: &Attempt,
        place: impl Into<Place<'a>>,
    ) -> Result<SignedIn, Failure> {
        let place = place.into();
        let pass = self.pass(attempt, place.user, place.region, place.endpoint_url).await?;
        let named = |error: crate::amc::IdError| Failure::permanent(error);
        Ok(SignedIn {
            caller: Caller {
                access: pass.access,
                entity_id: EntityId::new(place.entity_id).map_err(named)?,
                marketplace_id: MarketplaceId::new(place.marketplace_id).map_err(named)?,
            },
            instance: AmcInstanceId::new(place.amc_instance_id).map_err(named)?,
            bearer: pass.bearer,
        })
    }

    /// A live access token of this user. Without one it asks for one, and the job waits for it.
    pub async fn pass(
        &self,
        attempt: &Attempt,
        user: UserId,
        region: Region,
        endpoint: Option<&str>,
    ) -> Result<Pass, Failure> {
        let token = credentials::access_token(&self.db, user).await?.ok_or_else(|| {
            Failure::unauthorized(
                anyhow!("this user has no token: run `recomamp users authorise`"),
                resources::credential(user),
            )
        })?;
        let generation = token.generation;
        if token.state != TokenState::Active {
            let said = token.error.unwrap_or_default();
            let why = format!("the user's credential is {}: {said}", token.state);
            // Tried again now and then, even when another user's refusal has stopped this one.
            return Err(self.ask_for_token(user, generation, &why).await?);
        }
        let live = token.encrypted.filter(|_| token.seconds_left > Some(LAST_SECONDS));
        let Some(sealed) = live else {
            return Err(self.ask_for_token(user, generation, "no live access token").await?);
        };
        let access_token = self
            .unseal(&sealed)
            .map_err(|error| Failure::unauthorized(error, resources::credential(user)))?;
        let base_url = self.api_url(region, endpoint)?;
        let host = resources::host(&base_url);
        let access = Access { base_url, client_id: self.lwa.client_id.clone(), access_token };
        // A job that went on since then may meet a token that has grown old meanwhile.
        let refused = match attempt.denials() {
            0 => None,
            _ => attempt.cursor::<Refused>().await?.map(|refused| refused.refused_token),
        };
        let bearer = Bearer { user, generation, host, refused, attempt: attempt.clone() };
        Ok(Pass { access, bearer })
    }

    /// Asks for one refresh, however many ask, and gives the failure with which the job waits for it.
    pub async fn ask_for_token(
        &self,
        user: UserId,
        generation: i64,
        why: &str,
    ) -> Result<Failure, Failure> {
        let job = (self.renewal)(user, generation)?;
        let mut connection = self.db.acquire().await?;
        self.queue.enqueue(&mut connection, &[job]).await?;
        Ok(Failure::unauthorized(anyhow!("{why}"), resources::credential(user)))
    }

    /// The address of the API for a region, unless the instance has one of its own.
    pub fn api_url(&self, region: Region, endpoint: Option<&str>) -> Result<Url, Failure> {
        match endpoint {
            Some(text) => Url::parse(text).map_err(|error| {
                let error = anyhow::Error::new(error);
                Failure::permanent(error.context("the instance's endpoint_url is not a URL"))
            }),
            None => Ok(self.host(region).amc.clone()),
        }
    }

    /// Buys an access token.
    pub async fn refresh(
        &self,
        region: Region,
        lwa_client_id: Option<&str>,
        refresh_token: &SecretString,
    ) -> Result<Tokens, TokenError> {
        let client_id = lwa_client_id.unwrap_or(&self.lwa.client_id);
        let url = &self.host(region).token;
        self.amc.refresh(url, client_id, &self.lwa.client_secret, refresh_token).await
    }

    /// A secret as it is stored.
    pub fn seal(&self, secret: &SecretString) -> Sealed {
        Sealed::new(self.keys.encrypt(secret.expose_secret().as_bytes()))
    }

    /// A stored secret, in clear.
    pub fn unseal(&self, sealed: &Sealed) -> anyhow::Result<SecretString> {
        let clear = self.keys.decrypt(sealed.as_str()).map_err(|_| {
            anyhow!("no key in RECOMAMP_ENCRYPTION_KEYS opens the stored secret: add the key it was stored with")
        })?;
        Ok(SecretString::from(String::from_utf8(clear)?))
    }
}
