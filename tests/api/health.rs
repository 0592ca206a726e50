//! `/healthz`, `/readyz`, `/metrics`, and the end of the process.

use super::{Served, problem};
use crate::harness::eventually::eventually;
use nix::sys::signal::Signal;
use reqwest::StatusCode;

#[tokio::test]
async fn a_served_process_is_healthy_ready_and_measured() {
    let served = Served::new().await;
    assert_eq!(served.get("/healthz").await.status(), StatusCode::OK);
    eventually("it is ready", async || served.get("/readyz").await.status() == StatusCode::OK)
        .await;
    let metrics = served.get("/metrics").await;
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4");
    assert!(metrics.text().await.expect("text").contains("amc_build_info{version="));
}

#[tokio::test]
async fn a_process_whose_database_has_another_schema_is_alive_and_not_ready() {
    let served = Served::new().await;
    served.site.execute("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)").await;
    eventually("it names the remedy", async || {
        let answer = served.get("/readyz").await;
        answer.status() == StatusCode::SERVICE_UNAVAILABLE
            && answer.text().await.expect("text").contains("run `recomamp migrate`")
    })
    .await;
    assert_eq!(served.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_process_whose_database_hangs_says_so_within_its_limit() {
    let served = Served::new().await;
    let mut lock = served.site.db.pool().begin().await.expect("a transaction");
    sqlx::query("lock table _sqlx_migrations").execute(&mut *lock).await.expect("locked");
    let answer = served.get("/readyz").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.text().await.expect("text"), "the database did not answer within 1 s\n");
}

#[tokio::test]
async fn sigterm_ends_it_well() {
    let served = Served::new().await;
    served.process.signal(Signal::SIGTERM);
    let finished = served.process.finish().await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line() {
    let served = Served::new().await;
    let taken = served.url("").trim_start_matches("http://").to_owned();
    let second = served.site.program(&["serve"]).env("RECOMAMP_HTTP_ADDR", &taken).run().await;
    assert_eq!(second.status.code(), Some(1));
    let expected =
        format!("recomamp: cannot listen on {taken}: give another address in RECOMAMP_HTTP_ADDR");
    assert!(second.stderr.starts_with(&expected), "{}", second.stderr);
}

#[tokio::test]
async fn a_path_or_a_method_that_there_is_not_is_a_problem_document() {
    let served = Served::new().await;
    problem(served.get("/v2/collections").await, StatusCode::NOT_FOUND).await;
    let wrong = served.http.delete(served.url("/v1/collections")).send().await.expect("an answer");
    problem(wrong, StatusCode::METHOD_NOT_ALLOWED).await;
}
