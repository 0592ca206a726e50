//! Every migration goes up on the data of the one before, and all of them go down to nothing.

use crate::harness::database::{TestDatabase, migrator};
use crate::sources::{files, root};
use sqlx::{AssertSqlSafe, PgPool};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Version → name, as in `0001_clock`.
fn names(ending: &str) -> BTreeMap<i64, String> {
    files(&["migrations"], &[ending])
        .iter()
        .map(|file| file.path.trim_start_matches("migrations/").trim_end_matches(ending).to_owned())
        .map(|name| {
            let number = name.split('_').next().unwrap_or_default();
            (number.parse().unwrap_or_else(|_| panic!("{name} begins with a number")), name)
        })
        .collect()
}

#[test]
fn every_migration_has_its_way_back_and_its_data() {
    let up: Vec<String> = names(".up.sql").into_values().collect();
    let down: Vec<String> = names(".down.sql").into_values().collect();
    assert_eq!(up, down, "the migrations that go up (left) and those that go down (right)");
    assert_eq!(files(&["migrations"], &[""]).len(), 2 * up.len(), "nothing else is in migrations/");

    let data: Vec<String> = files(&["tests/data/migrations"], &[".sql"])
        .iter()
        .map(|file| {
            file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".sql").to_owned()
        })
        .collect();
    assert_eq!(up, data, "the migrations (left) and their data in tests/data/migrations (right)");
}

#[tokio::test]
async fn every_migration_goes_up_on_data_and_all_go_down_and_up_again() {
    let database = TestDatabase::unmigrated().await;
    let (pool, migrator) = (database.pool(), migrator().await);
    let empty = objects(pool).await;

    let names = names(".up.sql");
    for (version, name) in &names {
        migrator.run_to(*version, pool).await.unwrap_or_else(|error| panic!("up {name}: {error}"));
        let file = root().join(format!("tests/data/migrations/{name}.sql"));
        let data =
            fs::read_to_string(file).unwrap_or_else(|error| panic!("data of {name}: {error}"));
        sqlx::raw_sql(AssertSqlSafe(data))
            .execute(pool)
            .await
            .unwrap_or_else(|error| panic!("data of {name}: {error}"));
    }
    let full = objects(pool).await;

    for (version, name) in names.iter().rev() {
        let undone = migrator.undo(pool, version - 1).await;
        undone.unwrap_or_else(|error| panic!("down {name}: {error}"));
    }
    assert_eq!(objects(pool).await, empty, "what is left after all went down (left)");

    migrator.run(pool).await.unwrap_or_else(|error| panic!("up again: {error}"));
    assert_eq!(objects(pool).await, full, "the second way up leads to the same place");
}

#[tokio::test]
async fn every_column_has_its_sentence() {
    let database = TestDatabase::new().await;
    let silent: Vec<String> = sqlx::query_scalar(
        "select format('%s.%s', attrelid::regclass, attname)
        from pg_attribute
        join pg_class on pg_class.oid = attrelid
        where relkind in ('r', 'p') and not relispartition
            and attnum > 0 and not attisdropped
            and relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema', 'auth')
            and relname <> '_sqlx_migrations'
            and col_description(attrelid, attnum) is null
        order by 1",
    )
    .fetch_all(database.pool())
    .await
    .expect("the catalog can be read");
    assert!(silent.is_empty(), "say `comment on column … is '…'`:\n  {}", silent.join("\n  "));
}

/// Everything in the database that is not Postgres' own: schemas, relations, routines, types,
/// triggers.
async fn objects(pool: &PgPool) -> BTreeSet<String> {
    let all: Vec<String> = sqlx::query_scalar(
        "select format('%s %s', type, identity)
        from (
            select 'pg_namespace'::regclass as catalog, oid from pg_namespace
            union all select 'pg_class'::regclass, oid from pg_class where relkind <> 'c'
            union all select 'pg_proc'::regclass, oid from pg_proc
            union all select 'pg_type'::regclass, oid from pg_type where typcategory <> 'A'
            union all select 'pg_trigger'::regclass, oid from pg_trigger where not tgisinternal
            union all select 'pg_extension'::regclass, oid from pg_extension
        ) as object
        cross join lateral pg_identify_object(catalog, object.oid, 0)
        where object.oid >= 16384 and coalesce(schema, '') !~ '^pg_'
            and identity !~ '_sqlx_migrations|^pg_'",
    )
    .fetch_all(pool)
    .await
    .expect("the catalog can be read");
    all.into_iter().collect()
}

/// The first version had a count of rows and the id of an execution twice in one table, and a trigger that
/// kept them equal.
#[tokio::test]
async fn bug_28_no_table_keeps_one_fact_under_two_names() {
    let database = TestDatabase::new().await;
    let twice: Vec<String> = sqlx::query_scalar(
        "with names (fact, name) as (values
            ('execution', 'execution_id'), ('execution', 'workflow_execution_id'),
            ('execution', 'current_execution_id'),
            ('rows', 'row_count'), ('rows', 'record_count'), ('rows', 'result_rows'),
            ('rows', 'result_total_rows')
        )
        select format('%s: %s', table_name, string_agg(column_name, ', ' order by column_name))
        from information_schema.columns
        join names on name = column_name
        where table_schema = 'public'
        group by table_name, fact
        having count(*) > 1
        order by 1",
    )
    .fetch_all(database.pool())
    .await
    .expect("the catalog can be read");
    assert!(twice.is_empty(), "one fact has one column:\n  {}", twice.join("\n  "));
}
