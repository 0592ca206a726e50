//! Who gives a command, and why, for those who find later what it did.

use crate::given;
use crate::steering::Because;
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

/// Who gives the command, and why.
#[derive(Debug, Args)]
pub struct Asker {
    #[command(flatten)]
    person: Person,
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: Option<String>,
}

impl Person {
    /// The name.
    pub fn name(&self) -> &str {
        &self.by
    }

    /// The person with this reason, if there is one.
    pub fn because<'a>(&'a self, why: Option<&'a str>) -> Because<'a> {
        Because { by: &self.by, why }
    }
}

impl Asker {
    /// The person and the reason.
    pub fn because(&self) -> Because<'_> {
        self.person.because(self.why.as_deref())
    }
}

fn user() -> String {
    let names = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|name| env::var(name).ok());
    let mut names = names.filter(|name| !name.trim().is_empty());
    names.next().unwrap_or_else(|| "somebody on the command line".to_owned())
}
