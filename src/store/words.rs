//! Status words: each enum of the database once in Rust, with the same words.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that is none of an enum's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of {words}")]
pub struct UnknownWord {
    /// The text.
    pub text: String,
    /// The words it has, separated by commas.
    pub words: String,
}

/// Declares an enum of the database: its name there, and each variant with its word.
macro_rules! words {
    (
        $(#[$doc:meta])*
        $name:ident as $type_name:literal {
            $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, sqlx::Type,
        )]
        #[sqlx(type_name = $type_name)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] #[sqlx(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every word, in the database's order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The enum's name in the database.
            pub const TYPE_NAME: &str = $type_name;

            /// The word, as in the database and in JSON.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::store::words::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or_else(|| {
                    $crate::store::words::UnknownWord {
                        text: text.to_owned(),
                        words: Self::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(", "),
                    }
                })
            }
        }
    };
}

pub(crate) use words;

words! {
    /// Which of Amazon's hosts answer.
    Region as "amc_region" {
        /// North America.
        Na = "na",
        /// Europe, the Middle East and India.
        Eu = "eu",
        /// The Far East and Australia.
        Fe = "fe",
    }
}

/// A checksum or a key.
pub type Sha256 = [u8; 32];

/// A secret in its encrypted form, the only form in which the store takes one.
///
/// Encrypted or not, it is no business of a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Sealed(String);

impl Sealed {
    /// Takes a Fernet token. The database refuses everything else.
    pub fn new(ciphertext: impl Into<String>) -> Self {
        Self(ciphertext.into())
    }

    /// The Fernet token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::database::TestDatabase;
    use crate::store::{
        accounts, aggregates, checks, collections, credentials, executions, instances, runs,
        schedules, submits, weeks, workflows,
    };

    #[test]
    fn a_word_reads_back_as_itself() {
        for region in Region::ALL {
            assert_eq!(region.as_str().parse(), Ok(*region));
            assert_eq!(serde_json::to_value(region).unwrap(), region.as_str());
        }
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        let error = "us-east-1".parse::<Region>().unwrap_err();
        assert_eq!(error.to_string(), r#""us-east-1" is none of na, eu, fe"#);
    }

    #[test]
    fn a_sealed_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Sealed::new("gAAAAABnK1d")), "Sealed(…)");
    }

    #[tokio::test]
    async fn every_enum_has_the_words_of_the_database_in_its_order() {
        let database = TestDatabase::new().await;
        macro_rules! check {
            ($($enum:ty),* $(,)?) => {$(
                let theirs: Vec<String> = sqlx::query_scalar(
                    "select enumlabel::text from pg_enum
                    where enumtypid = $1::regtype order by enumsortorder",
                )
                .bind(<$enum>::TYPE_NAME)
                .fetch_all(database.pool())
                .await
                .unwrap();
                let ours: Vec<_> = <$enum>::ALL.iter().map(|word| word.as_str()).collect();
                assert_eq!(ours, theirs, "{}", <$enum>::TYPE_NAME);
            )*};
        }
        check!(
            Region,
            accounts::AccountStatus,
            aggregates::AggregateGrain,
            checks::CheckVerdict,
            collections::CollectionGrain,
            collections::CollectionKind,
            collections::CollectionStatus,
            collections::FeedOrder,
            credentials::TokenState,
            executions::ExecutionStatus,
            executions::Origin,
            executions::SubmitMode,
            instances::InstanceStatus,
            runs::RunKind,
            runs::RunStatus,
            schedules::CatchUp,
            schedules::OverlapPolicy,
            schedules::ScheduleStatus,
            schedules::ScheduleType,
            schedules::WindowAnchor,
            submits::SubmitOutcome,
            weeks::WeekStatus,
            workflows::SyncStatus,
        );
    }
}
