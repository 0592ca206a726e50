//! Values of a workflow's parameters, as commands take them: `NAME=VALUE`, each name once.

use super::wrong;
use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value};

/// The values that hold everywhere.
#[derive(Debug, Args)]
pub struct Values {
    /// A value for one of the workflow's parameters. May be given several times.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    given: Vec<(String, String)>,
}

impl Values {
    /// The value of each name.
    ///
    /// # Errors
    /// A name is given twice.
    pub fn read(&self) -> Result<Map<String, Value>> {
        let mut values = Map::new();
        for (name, value) in &self.given {
            put(&mut values, name, value, "--param", name)?;
        }
        Ok(values)
    }
}

/// A name and its value.
pub fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("give a name and a value, as in brand=Acme"),
    }
}

/// Adds a value. `shown` is how the option `option` names it.
///
/// # Errors
/// It is there already: nobody could tell which of the two was meant.
pub fn put(
    values: &mut Map<String, Value>,
    name: &str,
    value: &str,
    option: &str,
    shown: &str,
) -> Result<()> {
    if values.insert(name.to_owned(), Value::from(value)).is_some() {
        return Err(wrong(format!(
            "{option} gives {shown} twice: give it once, with commas between the items of a list"
        )));
    }
    Ok(())
}
