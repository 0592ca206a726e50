//! The laws of the house that the compiler cannot check.

mod docs;
mod files;
mod layers;
mod processes;
mod settings;

/// Fails with every violation at once.
fn none(law: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{law}:\n  {}", violations.join("\n  "));
}
