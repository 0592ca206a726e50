//! Parameters on the command line: declared with the query, checked where values are given.

use super::{Site, done, refused};

const DECLARED: &str = r#"[
    {"name": "asins", "type": "asin_list", "max_items": 2},
    {"name": "min_spend", "type": "number", "min": 0, "default": 10},
    {"name": "brand", "dataType": "STRING", "defaultValue": "Acme"}
]"#;
const SQL: &str = "select campaign from t where asin in ({{asins}}) and spend > @min_spend
    and brand = CUSTOM_PARAMETER('brand') and day between {{start_date}} and {{end_date}}";

async fn with_parameters() -> Site {
    let site = Site::furnished().await;
    let declared = site.file("declared.json", DECLARED);
    let update =
        ["workflows", "update", "campaigns", "--sql-file", "-", "--parameters-file", &declared];
    done(site.program(&update).input(SQL).run().await);
    site
}

#[tokio::test]
async fn bug_31_a_query_with_a_placeholder_that_nobody_declares_is_refused_when_it_is_added() {
    let site = Site::furnished().await;
    let update = ["workflows", "update", "campaigns", "--sql-file", "-"];
    for (sql, name) in [
        ("select {{asins}} from t", "asins"),
        ("select @colour from t", "colour"),
        ("select CUSTOM_PARAMETER('ad_product_type') from t", "ad_product_type"),
    ] {
        let finished = site.program(&update).input(sql).run().await;
        let message = refused(&finished, 2);
        let begins =
            format!("parameter {name} stands in the query and is not declared: declare it");
        assert!(message.starts_with(&begins), "{message}");
    }
    for sql in ["select '@brand' from t -- {{asins}}", "select a from t where d > @startDate"] {
        done(site.program(&update).input(sql).run().await);
    }
    let odd = site.file("odd.json", r#"[{"name": "asins", "type": "asinlist"}]"#);
    let update = [&update[..], &["--parameters-file", &odd]].concat();
    let finished = site.program(&update).input("select 1").run().await;
    assert!(
        refused(&finished, 2).contains("unknown type \"asinlist\": give one of string, number")
    );
}

#[tokio::test]
async fn values_are_checked_where_they_are_given_and_before_anything_is_made() {
    let site = with_parameters().await;
    let backfill = "backfill --workflow campaigns --weeks 2";
    let schedule =
        "schedules add --schedule-id monday --workflow campaigns --every-days 7 --from 2025-01-06";
    for (given, message) in [
        ("", "parameter asins has no value and no default: give a value for it"),
        (" --param asins=B00", "parameter asins has \"B00\", which is no ASIN: give ten"),
        (" --param asins=B000000001 --param spend=5", "parameter spend is not declared"),
        (" --param asins=B000000001 --param min_spend=-1", "parameter min_spend is less than 0"),
        (
            " --param asins=B000000001 --param startDate=2025-01-01",
            "parameter startDate is a day of the window",
        ),
    ] {
        for words in [backfill, schedule] {
            let finished = site.run(&format!("{words}{given}")).await;
            let said = refused(&finished, 2);
            assert!(said.starts_with(message), "{said}");
        }
    }
    assert_eq!(site.count("select count(*) from report_data_collections").await, 0);
    assert_eq!(site.count("select count(*) from workflow_schedules").await, 0);

    let given = " --param asins=B000000001,B000000002";
    let made = done(site.run(&format!("{backfill}{given}")).await).stdout;
    let status = site.json(&format!("status {made} --json")).await;
    let values = serde_json::json!(
        {"asins": ["B000000001", "B000000002"], "min_spend": 10, "brand": "Acme"});
    assert_eq!(status["parameters"], values);
    done(site.run(&format!("{schedule}{given}")).await);
    let update = ["workflows", "update", "campaigns", "--sql-file", "-"];
    let none = site.file("none.json", "[]");
    let bare = [&update[..], &["--parameters-file", &none]].concat();
    let said = done(site.program(&bare).input("select a from t").run().await).stderr;
    assert!(said.contains("runs of schedule monday will fail: parameter asins"), "{said}");
    let declared = site.file("declared.json", DECLARED);
    let update = [&update[..], &["--parameters-file", &declared]].concat();
    assert_eq!(done(site.program(&update).input(SQL).run().await).stderr, "");
    // The same values, given in another way, are the same work.
    let again = site.run(&format!("{backfill}{given} --param min_spend=10.0")).await;
    assert!(refused(&again, 1).ends_with("follow that one"), "{again:?}");
}
