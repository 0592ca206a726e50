//! Who gives a command, for those who find later what it did.

use clap::Args;
use std::env;

/// Who gives the command.
#[derive(Debug, Args)]
pub struct Person {
    /// Who you are, for those who find later what was done; your user name when not given.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Person {
    /// The name.
    pub fn name(&self) -> String {
        let user = || ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| env::var(name).ok());
        let name = self.by.clone().or_else(user).filter(|name| !name.trim().is_empty());
        name.unwrap_or_else(|| "somebody on the command line".to_owned())
    }
}
