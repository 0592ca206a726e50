//! The status words of an execution.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an execution stands, in AMC's words.
///
/// `REJECTED`, `PUBLISHING` and `DELETED` are missing from Amazon's `OpenAPI` file but have been seen on
/// the wire. A word nobody knows is kept as it came and counts as not ended, so that the execution is
/// asked about again until its deadline.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Status {
    /// Queued, waiting for data or for its time.
    Pending,
    /// Running.
    Running,
    /// The query is done, its result is being written.
    Publishing,
    /// Ended well; its result may still take a moment.
    Succeeded,
    /// Ended badly: did not compile, ran too long, or broke.
    Failed,
    /// Stopped on request.
    Cancelled,
    /// Refused after it had been accepted, by AMC's validation.
    Rejected,
    /// Removed.
    Deleted,
    /// Any other word, as it came.
    Other(String),
}

impl Status {
    /// AMC's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Publishing => "PUBLISHING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Rejected => "REJECTED",
            Self::Deleted => "DELETED",
            Self::Other(word) => word,
        }
    }

    /// Whether it will not change any more.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Rejected | Self::Deleted
        )
    }

    /// Whether it takes one of the instance's places.
    pub fn is_open(&self) -> bool {
        !self.is_terminal()
    }

    /// Whether nobody told us this word.
    pub fn is_unexpected(&self) -> bool {
        matches!(self, Self::Other(_))
    }
}

impl From<&str> for Status {
    fn from(word: &str) -> Self {
        match word {
            "PENDING" => Self::Pending,
            "RUNNING" => Self::Running,
            "PUBLISHING" => Self::Publishing,
            "SUCCEEDED" => Self::Succeeded,
            "FAILED" => Self::Failed,
            "CANCELLED" => Self::Cancelled,
            "REJECTED" => Self::Rejected,
            "DELETED" => Self::Deleted,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl From<String> for Status {
    fn from(word: String) -> Self {
        word.as_str().into()
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.as_str().to_owned()
    }
}

impl Default for Status {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_survives_the_round_trip_and_an_unknown_one_is_not_the_end() {
        for word in [
            "PENDING",
            "RUNNING",
            "PUBLISHING",
            "SUCCEEDED",
            "FAILED",
            "CANCELLED",
            "REJECTED",
            "DELETED",
        ] {
            let status = Status::from(word);
            assert!(!status.is_unexpected());
            assert_eq!(status.as_str(), word);
            assert_ne!(status.is_open(), status.is_terminal());
        }
        let odd = Status::from("Hibernating");
        assert!(odd.is_unexpected() && odd.is_open());
        assert_eq!(odd.as_str(), "Hibernating");
    }
}
