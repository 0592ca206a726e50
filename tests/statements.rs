//! Every SQL statement in the sources is one that the migrated database understands.

use crate::harness::database::TestDatabase;
use crate::sources::files;
use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};
use std::collections::BTreeMap;

/// A statement and where it stands.
struct Statement {
    place: String,
    name: String,
    sql: String,
}

/// Every string literal that is SQL, above the tests of each file.
fn statements() -> Vec<Statement> {
    files(&["src", "jobs"], &[".rs"])
        .iter()
        .flat_map(|source| {
            source.literals().into_iter().filter(|literal| is_sql(&literal.value)).map(|literal| {
                let name = name(&literal.value).to_owned();
                let place = format!("{}:{}", source.path, literal.line);
                Statement { place, name, sql: literal.value }
            })
        })
        .collect()
}

fn is_sql(text: &str) -> bool {
    let text = text.trim_start();
    let begins = |start: &str, and: &[&str]| {
        text.strip_prefix(start).is_some_and(|rest| and.iter().any(|and| rest.contains(and)))
    };
    !name(text).is_empty()
        || begins("select ", &["(", " from ", "\nfrom "])
        || begins("insert into ", &["values", "select"])
        || begins("update ", &[" set ", "\nset "])
        || begins("delete from ", &[""])
        || begins("with ", &[" as ("])
}

/// What stands on the first line after `-- `; nothing when that is not a name.
fn name(text: &str) -> &str {
    let first = text.trim_start().lines().next().unwrap_or_default();
    let name = first.strip_prefix("-- ").unwrap_or_default().trim_end();
    let is_name =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    if name.chars().all(is_name) { name } else { "" }
}

#[test]
fn every_statement_has_a_name_and_no_two_have_the_same() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for statement in statements() {
        places.entry(statement.name).or_default().push(statement.place);
    }
    let unnamed = places.remove("").unwrap_or_default();
    assert!(unnamed.is_empty(), "begin with `-- name_of_statement`:\n  {}", unnamed.join("\n  "));
    let twice: Vec<String> = places
        .iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect();
    assert!(twice.is_empty(), "these names are used twice:\n  {}", twice.join("\n  "));
}

#[tokio::test]
async fn the_migrated_database_understands_every_statement() {
    let database = TestDatabase::new().await;
    let mut refused = Vec::new();
    for statement in statements() {
        let sql = AssertSqlSafe(statement.sql).into_sql_str();
        if let Err(error) = database.pool().prepare(sql).await {
            let message = match error.as_database_error() {
                Some(answer) => answer.message().to_owned(),
                None => error.to_string(),
            };
            refused.push(format!("{}: {}: {message}", statement.place, statement.name));
        }
    }
    assert!(refused.is_empty(), "the database refuses:\n  {}", refused.join("\n  "));
}

#[test]
fn a_statement_is_told_from_a_sentence() {
    for sql in [
        "-- claim\nselect 1",
        "\n  -- claim_2\n  select 1",
        "select pg_notify($1, '')",
        "update jobs set state = 'done'",
        "with due as (select 1) delete from jobs",
    ] {
        assert!(is_sql(sql), "{sql}");
    }
    for sentence in ["-- not a name", "select a week", "with a key", "update it", "done"] {
        assert!(!is_sql(sentence), "{sentence}");
    }
}
