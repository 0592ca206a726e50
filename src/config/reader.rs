//! Reads variables, keeps every mistake, and gives them all back at once.

use super::parse::Parsed;
use super::{VARIABLES, Variable};
use secrecy::SecretString;
use std::{env, fmt, fs};

/// Variables of ours begin with this, so that a misspelt one can be told from a stranger's.
const PREFIX: &str = "RECOMAMP_";

/// What the test suite uses to find its servers. No command reads them.
const TEST_PREFIX: &str = "RECOMAMP_TEST_";

/// A group of settings that some command needs.
pub trait Settings: Sized {
    /// Reads what it needs. `None` when something was wrong, and `from` then knows what.
    fn read(from: &mut Reader<'_>) -> Option<Self>;

    /// From this process's environment, which must not hold a variable of ours that we do not know.
    ///
    /// # Errors
    /// All that is wrong, at once.
    fn from_env() -> Result<Self, Errors> {
        Self::from_env_and(&|_| None)
    }

    /// The same, but for what the command line says of a variable.
    ///
    /// # Errors
    /// All that is wrong, at once.
    fn from_env_and(given: &dyn Fn(&str) -> Option<String>) -> Result<Self, Errors> {
        let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let mut problems = unknown(names);
        // What is not UTF-8 fails like any other nonsense, with the variable's own message.
        let from_env =
            |name: &str| env::var_os(name).map(|text| text.to_string_lossy().into_owned());
        let lookup = |name: &str| given(name).or_else(|| from_env(name));
        match Self::load(&lookup) {
            Ok(settings) if problems.is_empty() => Ok(settings),
            Ok(_) => Err(Errors(problems)),
            Err(Errors(others)) => {
                problems.extend(others);
                Err(Errors(problems))
            }
        }
    }

    /// From anything that can look a variable up.
    ///
    /// # Errors
    /// All that is wrong, at once.
    fn load(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Errors> {
        let mut reader = Reader { lookup, problems: Vec::new() };
        match Self::read(&mut reader) {
            Some(settings) if reader.problems.is_empty() => Ok(settings),
            _ => Err(Errors(reader.problems)),
        }
    }
}

/// Several groups are read together, so that all their mistakes are reported together.
macro_rules! settings_for_tuples {
    ($($group:ident),+) => {
        impl<$($group: Settings),+> Settings for ($($group,)+) {
            #[expect(non_snake_case, reason = "a variable per type parameter")]
            fn read(from: &mut Reader<'_>) -> Option<Self> {
                $(let $group = $group::read(from);)+
                Some(($($group?,)+))
            }
        }
    };
}
settings_for_tuples!(A, B);
settings_for_tuples!(A, B, C);
settings_for_tuples!(A, B, C, D);
settings_for_tuples!(A, B, C, D, E);
settings_for_tuples!(A, B, C, D, E, F);
settings_for_tuples!(A, B, C, D, E, F, G);
settings_for_tuples!(A, B, C, D, E, F, G, H);
settings_for_tuples!(A, B, C, D, E, F, G, H, I);
settings_for_tuples!(A, B, C, D, E, F, G, H, I, J);

/// One variable and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable.
    pub variable: String,
    /// What is wrong and what to do, as a phrase that follows the name.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.message)
    }
}

/// Everything that is wrong with the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(pub Vec<Problem>);

impl std::error::Error for Errors {}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Looks variables up and collects what is wrong with them.
pub struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Whether it has a value of its own. Empty counts as unset, as in `FOO= command`.
    pub fn is_set(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// A text as it is.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.parsed(name, |text| Ok(text.to_owned()))
    }

    /// A text that has to have a form.
    pub fn parsed<T>(&mut self, name: &'static str, parse: fn(&str) -> Parsed<T>) -> Option<T> {
        let variable = known(name);
        let Some(text) = self.given(name).or_else(|| variable.default.map(str::to_owned)) else {
            self.missing(variable);
            return None;
        };
        self.keep(name, parse(&text))
    }

    /// A text that may be absent, which is `Some(None)`.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: fn(&str) -> Parsed<T>,
    ) -> Option<Option<T>> {
        if self.is_set(name) { self.parsed(name, parse).map(Some) } else { Some(None) }
    }

    /// A secret, from the variable or from the file that `<name>_FILE` names.
    pub fn secret(
        &mut self,
        name: &'static str,
        check: impl FnOnce(&str) -> Parsed<()>,
    ) -> Option<SecretString> {
        let variable = known(name);
        let file_variable = format!("{name}_FILE");
        let text = match (self.given(name), self.given(&file_variable)) {
            (Some(_), Some(_)) => {
                self.problem(name, format!("and {file_variable} are both set: unset one"));
                return None;
            }
            (Some(text), None) => text,
            (None, Some(path)) => match fs::read_to_string(&path) {
                Ok(text) => text.trim_end_matches(['\r', '\n']).to_owned(),
                Err(error) => {
                    let message = format!("names {path}, which cannot be read: {error}");
                    self.problem(&file_variable, message);
                    return None;
                }
            },
            (None, None) => {
                self.missing(variable);
                return None;
            }
        };
        self.keep(name, check(&text))?;
        Some(SecretString::from(text))
    }

    /// Notes what is wrong with a variable, as a phrase that follows its name.
    pub fn problem(&mut self, name: &str, message: impl Into<String>) {
        self.problems.push(Problem { variable: name.to_owned(), message: message.into() });
    }

    fn given(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn missing(&mut self, variable: &Variable) {
        self.problem(variable.name, format!("is not set: it is {}", variable.meaning));
    }

    fn keep<T>(&mut self, name: &str, parsed: Parsed<T>) -> Option<T> {
        parsed.map_err(|message| self.problem(name, message)).ok()
    }
}

/// Variables that look like ours and are not: most likely misspelt.
pub fn unknown(names: impl Iterator<Item = String>) -> Vec<Problem> {
    let ours: Vec<String> = VARIABLES
        .iter()
        .flat_map(|variable| {
            let file = variable.secret.then(|| format!("{}_FILE", variable.name));
            [Some(variable.name.to_owned()), file]
        })
        .flatten()
        .collect();
    let mut problems: Vec<Problem> = names
        .filter(|name| name.starts_with(PREFIX) && !name.starts_with(TEST_PREFIX))
        .filter(|name| !ours.contains(name))
        .map(|name| {
            let nearest = ours.iter().min_by_key(|known| edits(known, &name));
            let message = match nearest {
                Some(known) if edits(known, &name) <= name.len() / 4 => {
                    format!("is not a setting: did you mean {known}?")
                }
                _ => "is not a setting: unset it (the README lists all)".to_owned(),
            };
            Problem { variable: name, message }
        })
        .collect();
    problems.sort_by(|one, other| one.variable.cmp(&other.variable));
    problems
}

fn known(name: &str) -> &'static Variable {
    VARIABLES
        .iter()
        .find(|variable| variable.name == name)
        .expect("every variable that is read stands in VARIABLES, which a test checks")
}

/// How many letters have to change to make one text of the other (Levenshtein).
fn edits(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, left) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}
