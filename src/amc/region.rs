//! Where Amazon's hosts stand, and which marketplace lies in which region.

use super::ids::IdError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use url::Url;

/// One of the three regions of the Amazon Ads API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Region {
    /// North America.
    Na,
    /// Europe, the Middle East and India.
    Eu,
    /// The Far East.
    Fe,
}

impl Region {
    /// The word: `na`, `eu` or `fe`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Na => "na",
            Self::Eu => "eu",
            Self::Fe => "fe",
        }
    }

    /// The host of the Ads API, unless a setting says otherwise.
    pub fn base_url(self) -> Url {
        constant(match self {
            Self::Na => "https://advertising-api.amazon.com",
            Self::Eu => "https://advertising-api-eu.amazon.com",
            Self::Fe => "https://advertising-api-fe.amazon.com",
        })
    }

    /// The token URL of Login with Amazon, unless a setting says otherwise.
    pub fn token_url(self) -> Url {
        constant(match self {
            Self::Na => "https://api.amazon.com/auth/o2/token",
            Self::Eu => "https://api.amazon.co.uk/auth/o2/token",
            Self::Fe => "https://api.amazon.co.jp/auth/o2/token",
        })
    }
}

fn constant(url: &str) -> Url {
    Url::parse(url).expect("a constant URL is valid")
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Region {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.to_ascii_lowercase().as_str() {
            "na" => Ok(Self::Na),
            "eu" => Ok(Self::Eu),
            "fe" => Ok(Self::Fe),
            _ => Err(IdError::Malformed {
                what: "region",
                text: text.to_owned(),
                allowed: "na, eu or fe",
            }),
        }
    }
}

/// Amazon's id of a marketplace, such as `ATVPDKIKX0DER`: the header `Amazon-Advertising-API-MarketplaceId`.
///
/// Can be made from the id or from a country code such as `US`; is always the id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MarketplaceId(String);

/// Country, marketplace and region, from Amazon's guide "Get started with AMC APIs".
const MARKETPLACES: [(&str, &str, Region); 17] = [
    ("US", "ATVPDKIKX0DER", Region::Na),
    ("CA", "A2EUQ1WTGCTBG2", Region::Na),
    ("MX", "A1AM78C64UM0Y8", Region::Na),
    ("BR", "A2Q3Y263D00KWC", Region::Na),
    ("UK", "A1F83G8C2ARO7P", Region::Eu),
    ("DE", "A1PA6795UKMFR9", Region::Eu),
    ("FR", "A13V1IB3VIYZZH", Region::Eu),
    ("IT", "APJ6JRA9NG5V4", Region::Eu),
    ("ES", "A1RKKUPIHCS9HS", Region::Eu),
    ("NL", "A1805IZSGTT6HS", Region::Eu),
    ("SE", "A2NODRKZP88ZB9", Region::Eu),
    ("TR", "A33AVAJ2PDY3EV", Region::Eu),
    ("AE", "A2VIGQ35RCS4UG", Region::Eu),
    ("SA", "A17E79C6D8DWNP", Region::Eu),
    ("IN", "A21TJRUUN4KGV", Region::Eu),
    ("JP", "A1VC38T7YXB528", Region::Fe),
    ("AU", "A39IBJ37TRP1C6", Region::Fe),
];

const ALLOWED: &str = "give Amazon's id such as ATVPDKIKX0DER, or one of the country codes \
     US CA MX BR UK DE FR IT ES NL SE TR AE SA IN JP AU";

impl MarketplaceId {
    /// Takes a marketplace id as it is, or looks up a country code.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let what = "marketplace id";
        let upper = text.trim().to_ascii_uppercase();
        if upper.is_empty() {
            return Err(IdError::Empty { what });
        }
        let country = if upper == "GB" { "UK" } else { &upper };
        if let Some((_, id, _)) = MARKETPLACES.iter().find(|(code, ..)| *code == country) {
            return Ok(Self((*id).to_owned()));
        }
        let is_id = (10..=20).contains(&upper.len())
            && upper.starts_with('A')
            && upper.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_id {
            return Err(IdError::Malformed { what, text: text.to_owned(), allowed: ALLOWED });
        }
        Ok(Self(upper))
    }

    /// Amazon's id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The country code, when it is a marketplace we know.
    pub fn country(&self) -> Option<&'static str> {
        self.row().map(|(country, ..)| *country)
    }

    /// The region it lies in, when it is a marketplace we know.
    pub fn region(&self) -> Option<Region> {
        self.row().map(|(.., region)| *region)
    }

    fn row(&self) -> Option<&'static (&'static str, &'static str, Region)> {
        MARKETPLACES.iter().find(|(_, id, _)| *id == self.0)
    }
}

impl TryFrom<String> for MarketplaceId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(&text)
    }
}

impl FromStr for MarketplaceId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl From<MarketplaceId> for String {
    fn from(id: MarketplaceId) -> Self {
        id.0
    }
}

impl fmt::Display for MarketplaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_code_and_its_id_are_the_same_marketplace() {
        assert_eq!(MarketplaceId::new("us"), MarketplaceId::new("ATVPDKIKX0DER"));
        assert_eq!(MarketplaceId::new("GB"), MarketplaceId::new("UK"));
        let japan = MarketplaceId::new("JP").unwrap();
        assert_eq!((japan.country(), japan.region()), (Some("JP"), Some(Region::Fe)));
    }

    #[test]
    fn an_id_we_do_not_know_is_taken_and_a_country_we_do_not_know_is_refused() {
        assert_eq!(MarketplaceId::new("A1ZZZZZZZZZZZZ").unwrap().region(), None);
        let error = MarketplaceId::new("XX").unwrap_err().to_string();
        assert!(error.contains("country codes"), "{error}");
        assert!(MarketplaceId::new(" ").is_err());
    }

    #[test]
    fn each_region_has_its_hosts_and_its_word() {
        for region in [Region::Na, Region::Eu, Region::Fe] {
            assert_eq!(region.as_str().parse(), Ok(region));
            assert_eq!(region.base_url().scheme(), "https");
            assert!(region.token_url().path().ends_with("/auth/o2/token"));
        }
        assert_eq!("EU".parse(), Ok(Region::Eu));
    }
}
