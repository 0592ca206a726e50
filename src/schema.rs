//! The database's schema: its steps, and how far a database has come on them.

use sqlx::PgExecutor;
use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use std::collections::BTreeMap;
use std::fmt;

/// The database's schema, step by step.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How a database's schema stands beside the one that this program was built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They are the same.
    Current,
    /// Steps are missing, in a new database all of them.
    Behind {
        /// How many.
        missing: usize,
    },
    /// It has a step that this program does not know: a newer program was here.
    Newer {
        /// The newest step.
        version: i64,
    },
    /// A step was taken in another wording than the one this program has.
    Different {
        /// The first such step.
        version: i64,
    },
}

impl Standing {
    /// Whether this program can work on the database.
    pub fn is_current(self) -> bool {
        self == Self::Current
    }
}

/// What is the matter and what to do, in one line.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = count();
        match self {
            Self::Current => write!(f, "the database has all {all} steps of the schema"),
            Self::Behind { missing } => write!(
                f,
                "the database is not migrated ({missing} of {all} steps are missing): run `recomamp migrate`"
            ),
            Self::Newer { version } => write!(
                f,
                "the database was migrated by a newer recomamp (this one, {program}, does not know step {version}): \
                 run the newer one",
                program = env!("CARGO_PKG_VERSION")
            ),
            Self::Different { version } => write!(
                f,
                "step {version} of the database's schema is not the one this recomamp was built with: \
                 run the recomamp that migrated it, or restore the migration's file"
            ),
        }
    }
}

/// How many steps there are.
pub fn count() -> usize {
    MIGRATIONS.iter().filter(|step| step.migration_type.is_up_migration()).count()
}

/// How far this database has come.
pub async fn standing(db: impl PgExecutor<'_>) -> Result<Standing, sqlx::Error> {
    Ok(compare(&taken(db).await?))
}

/// The versions of the steps that this database has taken.
pub async fn applied(db: impl PgExecutor<'_>) -> Result<Vec<i64>, sqlx::Error> {
    Ok(taken(db).await?.into_iter().map(|(version, _)| version).collect())
}

async fn taken(db: impl PgExecutor<'_>) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
    let taken = sqlx::query_as(
        r"-- schema_taken
        select version, checksum
        from _sqlx_migrations
        order by version",
    )
    .fetch_all(db)
    .await;
    match taken {
        // Nobody has ever migrated it.
        Err(error) if is_undefined_table(&error) => Ok(Vec::new()),
        taken => taken,
    }
}

fn is_undefined_table(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some("42P01")
}

fn compare(taken: &[(i64, Vec<u8>)]) -> Standing {
    let known: BTreeMap<i64, &[u8]> = MIGRATIONS
        .iter()
        .filter(|step| step.migration_type.is_up_migration())
        .map(|step| (step.version, step.checksum.as_ref()))
        .collect();
    if let Some((version, _)) = taken.iter().rev().find(|(step, _)| !known.contains_key(step)) {
        return Standing::Newer { version: *version };
    }
    let differs =
        |(step, checksum): &&(i64, Vec<u8>)| known.get(step) != Some(&checksum.as_slice());
    if let Some((version, _)) = taken.iter().find(differs) {
        return Standing::Different { version: *version };
    }
    match known.len() - taken.len() {
        0 => Standing::Current,
        missing => Standing::Behind { missing },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(i64, Vec<u8>)> {
        MIGRATIONS
            .iter()
            .filter(|step| step.migration_type.is_up_migration())
            .map(|step| (step.version, step.checksum.to_vec()))
            .collect()
    }

    #[test]
    fn a_database_is_current_behind_newer_or_different() {
        let mut steps = all();
        assert_eq!(compare(&steps), Standing::Current);
        assert_eq!(compare(&[]), Standing::Behind { missing: steps.len() });
        assert_eq!(compare(&steps[1..]), Standing::Behind { missing: 1 });
        steps.push((9_999, Vec::new()));
        assert_eq!(compare(&steps), Standing::Newer { version: 9_999 });
        steps.pop();
        let first = steps[0].0;
        steps[0].1.push(0);
        assert_eq!(compare(&steps), Standing::Different { version: first });
    }
}
