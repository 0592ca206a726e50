//! Tokens, client secrets and signatures stay where they belong.

use crate::backfill::site::{Site, quick};
use crate::harness::eventually::{eventually, eventually_some};
use nix::sys::signal::Signal;
use recomamp::simulator::{Fault, Kind, Operation as Op, Settings, User};
use sqlx::AssertSqlSafe;
use std::net::TcpListener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const WEEKS: u32 = 8;

/// What must be found nowhere: our two canaries, every access token, every signature.
const SECRETS: [&str; 5] =
    ["canary-refresh", "canary-client", "Atza|", "X-Amz-Signature", "X-Amz-Credential"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_reaches_the_log_the_database_or_the_metrics() {
    let mut amazon = Settings { client_secret: "canary-client-51c9e7".to_owned(), ..quick() };
    amazon.users =
        vec![User { refresh_token: "Atzr|canary-refresh-07ab2f".to_owned(), accounts: vec![] }];
    let site = Site::new(amazon).await;
    // Errors are where secrets leak.
    let any = [Op::CreateExecution, Op::GetExecution, Op::ListExecutions, Op::DownloadUrls];
    site.faults([
        Fault::new(Kind::InvalidGrant).times(1),
        Fault::new(Kind::Truncated).on([Op::Token]).times(1),
        Fault::new(Kind::Unauthorized).on(any).after(6).times(2),
        Fault::new(Kind::Html).on(any).after(10).times(2),
        Fault::new(Kind::Truncated).on([Op::DownloadUrls]).times(1),
        Fault::new(Kind::UrlExpired).times(2),
        Fault::new(Kind::CutBody).on([Op::Download]).times(1),
    ]);
    let metrics = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let metrics = metrics.expect("there is a free port").to_string();
    let worker = site
        .worker()
        .env("RECOMAMP_LOG", "trace")
        .env("RECOMAMP_METRICS_ADDR", &metrics)
        .start()
        .await;
    let collection = site.backfill(WEEKS).await;
    eventually("the collection has ended", async || {
        site.skip_pauses("refresh_token").await;
        site.progress(collection).await.status.is_terminal()
    })
    .await;
    site.assert_complete(collection, WEEKS).await;
    site.assert_faults_met();
    let metrics = eventually_some("the metrics answer", async || scraped(&metrics).await).await;
    assert!(metrics.contains("amc_upstream_requests_total"));
    worker.signal(Signal::SIGTERM);
    let log = worker.finish().await;
    assert!(log.stdout.contains("amc call"), "the log says a lot");
    for secret in SECRETS {
        let line = log.stdout.lines().chain(log.stderr.lines()).find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
        assert!(!metrics.contains(secret), "{secret} is in the metrics");
        assert_eq!(columns_with(&site, secret).await, Vec::<String>::new(), "{secret}");
    }
}

async fn scraped(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// The columns of the whole database in which this text is found.
async fn columns_with(site: &Site, text: &str) -> Vec<String> {
    let columns: Vec<(String, String, String)> = sqlx::query_as(
        "select table_schema::text, table_name::text, column_name::text
        from information_schema.columns
        join information_schema.tables using (table_schema, table_name)
        where table_schema in ('public', 'engine') and table_type = 'BASE TABLE'",
    )
    .fetch_all(site.db.pool())
    .await
    .expect("the store answers");
    assert!(columns.len() > 100, "all of them are looked at");
    let mut found = Vec::new();
    for (schema, table, column) in columns {
        let look = format!(
            "select exists (select from {schema}.{table} where {column}::text like '%' || $1 || '%')"
        );
        let hit: bool = sqlx::query_scalar(AssertSqlSafe(look))
            .bind(text)
            .fetch_one(site.db.pool())
            .await
            .expect("the store answers");
        if hit {
            found.push(format!("{schema}.{table}.{column}"));
        }
    }
    found
}
