//! Who is calling: the host, the token and, for most calls, the AMC account.

use super::ids::EntityId;
use super::region::MarketplaceId;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

const CLIENT_ID: HeaderName = HeaderName::from_static("amazon-advertising-api-clientid");
const ADVERTISER_ID: HeaderName = HeaderName::from_static("amazon-advertising-api-advertiserid");
const MARKETPLACE_ID: HeaderName = HeaderName::from_static("amazon-advertising-api-marketplaceid");

/// Where to call, and with which token.
#[derive(Debug, Clone)]
pub struct Access {
    /// The host of the Ads API, for example [`Region::base_url`](super::Region::base_url); a path is kept.
    pub base_url: Url,
    /// The client id of Login with Amazon.
    pub client_id: String,
    /// The access token, good for an hour.
    pub access_token: SecretString,
}

/// An [`Access`] in the name of an AMC account.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Where to call, and with which token.
    pub access: Access,
    /// The AMC account.
    pub entity_id: EntityId,
    /// The account's marketplace.
    pub marketplace_id: MarketplaceId,
}

impl Access {
    /// The headers that say who calls. The deprecated header Scope is not sent.
    pub(super) fn headers(&self) -> Result<HeaderMap, String> {
        let bearer = format!("Bearer {}", self.access_token.expose_secret());
        let mut bearer = header("access_token", &bearer)?;
        bearer.set_sensitive(true);
        Ok(HeaderMap::from_iter([
            (AUTHORIZATION, bearer),
            (CLIENT_ID, header("client_id", &self.client_id)?),
        ]))
    }

    /// The address of a resource; each segment is percent-encoded.
    pub(super) fn url(&self, path: &[&str]) -> Result<Url, String> {
        let mut url = self.base_url.clone();
        url.path_segments_mut()
            .map_err(|()| "base_url cannot carry a path; give an http or https address".to_owned())?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }
}

impl Caller {
    /// The headers that say who calls, and for which account.
    pub(super) fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = self.access.headers()?;
        headers.insert(ADVERTISER_ID, header("entity_id", self.entity_id.as_str())?);
        headers.insert(MARKETPLACE_ID, header("marketplace_id", self.marketplace_id.as_str())?);
        Ok(headers)
    }
}

fn header(field: &str, value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value)
        .map_err(|_| format!("{field} has characters that no HTTP header can carry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(base_url: &str) -> Access {
        Access {
            base_url: base_url.parse().unwrap(),
            client_id: "amzn1.application-oa2-client.1".to_owned(),
            access_token: "Atza|very-secret".into(),
        }
    }

    #[test]
    fn a_base_url_keeps_its_path_and_segments_are_encoded() {
        for base in ["http://localhost:1/mirror", "http://localhost:1/mirror/"] {
            let url = access(base).url(&["amc", "a b/?c"]).unwrap();
            assert_eq!(url.as_str(), "http://localhost:1/mirror/amc/a%20b%2F%3Fc");
        }
        assert!(access("mailto:a@b.c").url(&["amc"]).is_err());
    }

    #[test]
    fn neither_the_access_nor_its_headers_show_the_token() {
        let access = access("http://localhost:1");
        let shown = format!("{access:?} {:?}", access.headers().unwrap());
        assert!(shown.contains("oa2-client") && !shown.contains("very-secret"), "{shown}");
    }

    #[test]
    fn a_token_with_a_line_break_is_refused_without_showing_it() {
        let mut access = access("http://localhost:1");
        access.access_token = "Atza|very\nsecret".into();
        let error = access.headers().unwrap_err();
        assert!(error.contains("access_token") && !error.contains("secret"), "{error}");
    }
}
