//! A gate's rule that makes no sense, and what would.

/// Why a rule is refused. The text names the field and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {remedy}")]
pub struct Invalid {
    /// The field, as it is called in the rule's document.
    pub field: &'static str,
    /// What is wrong with it, and what would do.
    pub remedy: String,
}

impl Invalid {
    /// Refuses `field` for this reason.
    pub fn new(field: &'static str, remedy: impl Into<String>) -> Self {
        Self { field, remedy: remedy.into() }
    }
}
