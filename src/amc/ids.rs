//! The names AMC gives to things, each a type of its own, so that none is mistaken for another.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// A text that is not the id it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// No text at all.
    #[error("{what} is empty")]
    Empty {
        /// Which id.
        what: &'static str,
    },
    /// A UUID where AMC has a text id of its own: the wrong column was read.
    #[error(
        "`{text}` is a row id, not AMC's {what}; use the text AMC shows, for example {example}"
    )]
    RowId {
        /// Which id.
        what: &'static str,
        /// What was given.
        text: String,
        /// What it should look like.
        example: &'static str,
    },
    /// Characters that the id cannot have.
    #[error("`{text}` is not a valid {what}: {allowed}")]
    Malformed {
        /// Which id.
        what: &'static str,
        /// What was given.
        text: String,
        /// What is allowed.
        allowed: &'static str,
    },
}

/// Declares a text newtype that can only be made by its check.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text and takes it.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The text as AMC knows it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// AMC's own id of an instance, such as `amcibersblt`: what stands in the path of every call.
    ///
    /// A UUID is refused: it is the id of a row about the instance, and AMC would answer it with
    /// 403 "Unauthorized request.".
    AmcInstanceId,
    |text| not_a_row_id("instance id", text, "amcibersblt")
);

text_id!(
    /// The id of an AMC account, such as `ENTITY1A2B3C`: the header `Amazon-Advertising-API-AdvertiserId`.
    EntityId,
    |text| not_a_row_id("account id", text, "ENTITY1A2B3C4D5E6F")
);

text_id!(
    /// The id of a workflow: chosen by whoever creates it, from letters, digits, dot, hyphen and underscore.
    AmcWorkflowId,
    |text| plain("workflow id", text)
);

text_id!(
    /// The id AMC gave to an execution; a UUID today, but that is AMC's affair.
    AmcExecutionId,
    |text| opaque("execution id", text)
);

fn not_a_row_id(what: &'static str, text: &str, example: &'static str) -> Result<(), IdError> {
    if Uuid::parse_str(text).is_ok() {
        return Err(IdError::RowId { what, text: text.to_owned(), example });
    }
    plain(what, text)
}

/// Letters, digits, dot, hyphen, underscore: safe in a path and in a header.
fn plain(what: &'static str, text: &str) -> Result<(), IdError> {
    let allowed = "1 to 128 letters, digits, `.`, `-` and `_`";
    let fits = text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    check(what, text, fits, allowed)
}

/// Anything printable that fits into one segment of a path once it is percent-encoded.
fn opaque(what: &'static str, text: &str) -> Result<(), IdError> {
    let fits = text.len() <= 200 && text.bytes().all(|b| b.is_ascii_graphic());
    check(what, text, fits, "1 to 200 printable characters without spaces")
}

fn check(what: &'static str, text: &str, fits: bool, allowed: &'static str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    // A lone dot or two would climb the path instead of naming something in it.
    if !fits || text == "." || text == ".." {
        let text = text.chars().take(80).collect();
        return Err(IdError::Malformed { what, text, allowed });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_id_is_never_an_instance_id() {
        for uuid in ["b3a77999-7c8e-4289-9bf9-5da8f178536c", "b3a779997c8e42899bf95da8f178536c"] {
            let error = AmcInstanceId::new(uuid).unwrap_err().to_string();
            assert!(error.contains("is a row id, not AMC's instance id"), "{error}");
            assert!(EntityId::new(uuid).is_err());
        }
        assert_eq!(AmcInstanceId::new("amcibersblt").unwrap().as_str(), "amcibersblt");
    }

    #[test]
    fn a_text_that_would_change_the_path_or_a_header_is_refused() {
        for text in ["", ".", "..", "a/b", "a b", "a\r\nX: y", "a%2Fb", "ä"] {
            assert!(AmcInstanceId::new(text).is_err(), "{text:?}");
            assert!(AmcWorkflowId::new(text).is_err(), "{text:?}");
        }
        assert!(AmcExecutionId::new("..").is_err());
        assert!(AmcExecutionId::new("urn:x/1").is_ok());
        assert!(AmcWorkflowId::new("eng-b3a77999-7c8e-4289-9bf9-5da8f178536c-1").is_ok());
    }

    #[test]
    fn an_id_in_a_payload_is_checked_as_well() {
        let id: AmcInstanceId = serde_json::from_str("\"amcibersblt\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"amcibersblt\"");
        let uuid = "\"b3a77999-7c8e-4289-9bf9-5da8f178536c\"";
        assert!(serde_json::from_str::<AmcInstanceId>(uuid).is_err());
        assert!(serde_json::from_str::<AmcExecutionId>(uuid).is_ok());
    }
}
