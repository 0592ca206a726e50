//! `recomamp workflows`: shown with its versions, saved at AMC, asked about again.

use super::{Site, done, refused};

#[tokio::test]
async fn a_workflow_is_shown_with_its_versions_and_what_amc_said_of_them() {
    let site = Site::furnished().await;
    let update = ["workflows", "update", "campaigns", "--sql-file", "-"];
    done(site.program(&update).input("select b from t where d > @startDate").run().await);
    site.execute(
        "insert into version_checks (workflow_version_id, instance_id, verdict, reason, asked_at, ended_at)
        select current_version_id, instance_id, 'failed', 'Object ''t'' not found.', engine.now(), engine.now()
        from workflows",
    )
    .await;
    let shown = site.json("workflows show campaigns --json").await;
    assert_eq!(
        (&shown["submit_mode"], &shown["amc_sync_status"]),
        (&"inline".into(), &"not_synced".into())
    );
    let versions = shown["versions"].as_array().expect("a list");
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[0]["is_current"], true);
    assert_eq!(versions[0]["sql_query"], "select b from t where d > @startDate");
    assert_eq!(versions[1]["input_parameters"][0]["name"], "brand");
    let table = done(site.run("workflows show campaigns").await).stdout;
    assert!(table.contains("brand, note"), "{table}");
    assert!(table.contains("amctest1: failed (Object 't' not found.)"), "{table}");

    assert_eq!(done(site.run("workflows recheck campaigns").await).stdout, "1 refusal forgotten");
    assert_eq!(site.count("select count(*) from version_checks").await, 0);
    assert!(refused(&site.run("workflows show nothing").await, 1).contains("workflows list"));
}

#[tokio::test]
async fn a_file_with_a_nul_character_is_no_query() {
    let site = Site::furnished().await;
    let file = site.file("nul.sql", "select a\0 from t");
    let add =
        "workflows add --workflow-id odd --name Odd --instance amctest1 --user ana@example.com";
    for words in [format!("{add} --sql-file"), "workflows update campaigns --sql-file".to_owned()] {
        let words: Vec<&str> = words.split(' ').chain([file.as_str()]).collect();
        let finished = site.program(&words).run().await;
        assert!(refused(&finished, 2).contains(" has a NUL character in it"), "{finished:?}");
    }
}

#[tokio::test]
async fn a_workflow_is_saved_at_amc_by_a_job_and_asked_for_once() {
    let site = Site::furnished().await;
    for _ in 0..2 {
        assert_eq!(done(site.run("workflows sync campaigns").await).stdout, "campaigns is syncing");
    }
    let jobs = "select count(*) from engine.jobs where kind = 'sync_workflow'";
    assert_eq!(site.count(jobs).await, 1);
    let shown = site.json("workflows show campaigns --json").await;
    let name = shown["versions"][0]["copies"][0]["amc_workflow_id"].as_str().expect("a name");
    assert!(name.starts_with("rec-campaigns-"), "{name}");
    assert!(done(site.run("workflows list").await).stdout.contains("syncing"));
}

#[tokio::test]
async fn a_query_that_amc_cannot_keep_is_refused_when_it_is_to_be_saved_or_has_to_be() {
    let site = Site::furnished().await;
    let declared = site.file("declared.json", r#"[{"name": "asins", "type": "asin_list"}]"#);
    let update =
        ["workflows", "update", "campaigns", "--sql-file", "-", "--parameters-file", &declared];
    let saved = [&update[..], &["--saved"]].concat();
    let sql = "select a from t where asin in ({{asins}})";
    let said = site.program(&saved).input(sql).run().await;
    assert!(refused(&said, 2).contains("cannot be saved at AMC"), "{said:?}");
    let long = format!("select '{}' from t where asin in ({{{{asins}}}})", "x".repeat(70_000));
    let said = site.program(&update).input(&long).run().await;
    assert!(refused(&said, 2).contains("parameter asins is a list"), "{said:?}");

    let long = format!("select '{}' from t", "x".repeat(70_000));
    done(site.program(&update).input(&long).run().await);
    assert_eq!(site.json("workflows show campaigns --json").await["submit_mode"], "saved");
    // What was kept at AMC stays there until somebody says otherwise.
    let sent = [&update[..], &["--saved=false"]].concat();
    done(site.program(&update).input("select a from t").run().await);
    assert_eq!(site.json("workflows show campaigns --json").await["submit_mode"], "saved");
    done(site.program(&sent).input("select a from t").run().await);
    assert_eq!(site.json("workflows show campaigns --json").await["submit_mode"], "inline");
}

#[tokio::test]
async fn an_update_of_a_workflow_keeps_what_it_does_not_name() {
    let site = Site::furnished().await;
    let is = async |sql: &str, names: &[&str], mode: &str| {
        let shown = site.json("workflows show campaigns --json").await;
        let versions = shown["versions"].as_array().expect("versions");
        let version = versions.iter().find(|version| version["is_current"] == true);
        let version = version.expect("one is current");
        let declared = version["input_parameters"].as_array().expect("parameters");
        let declared: Vec<_> = declared.iter().filter_map(|one| one["name"].as_str()).collect();
        assert_eq!((version["sql_query"].as_str(), &declared[..]), (Some(sql), names));
        assert_eq!((&version["submit_mode"], &shown["submit_mode"]), (&mode.into(), &mode.into()));
    };
    let first = "select campaign from t -- all of them";
    let update = "workflows update campaigns";
    done(site.run(&format!("{update} --saved")).await);
    is(first, &["brand", "note"], "saved").await;
    let words = ["workflows", "update", "campaigns", "--sql-file", "-"];
    done(site.program(&words).input("select b from t").run().await);
    is("select b from t", &["brand", "note"], "saved").await;
    let declared = site.file("declared.json", r#"[{"name": "x", "type": "number"}]"#);
    done(site.run(&format!("{update} --parameters-file {declared}")).await);
    is("select b from t", &["x"], "saved").await;
    done(site.run(&format!("{update} --saved=false")).await);
    is("select b from t", &["x"], "inline").await;

    let long = format!("select '{}' from t", "x".repeat(70_000));
    let words = [&words[..], &["--saved=false"]].concat();
    let told = done(site.program(&words).input(&long).run().await);
    assert!(told.stderr.contains("so it will be saved at AMC"), "{}", told.stderr);
    is(&long, &["x"], "saved").await;

    for words in [update.to_owned(), format!("{update} --by ada"), format!("{update} --saved=no")] {
        assert_eq!(site.run(&words).await.status.code(), Some(2), "{words}");
    }
    site.execute("update workflows set current_version_id = null").await;
    let told = site.run(&format!("{update} --saved")).await;
    assert_eq!(refused(&told, 2), "workflow campaigns has no query yet: give it one");
}
