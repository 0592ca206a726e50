//! Who gives a command, for those who find later what it did.

use crate::given;
use clap::Args;
use std::env;

/// Who gives the command.
#[derive(Debug, Args)]
pub struct Person {
    /// Who you are, for those who find later what was done; your user name when not given.
    #[arg(
        long, value_name = "NAME", value_parser = given::name,
        default_value_t = user(), hide_default_value = true,
    )]
    by: String,
}

impl Person {
    /// The name.
    pub fn name(&self) -> &str {
        &self.by
    }
}

fn user() -> String {
    let names = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|name| env::var(name).ok());
    let mut names = names.filter(|name| !name.trim().is_empty());
    names.next().unwrap_or_else(|| "somebody on the command line".to_owned())
}
