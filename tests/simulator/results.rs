//! Results: their addresses, their files, their totals.

use super::desk::{Desk, INSTANCE, REFRESH_TOKEN};
use chrono::NaiveDate;
use recomamp::simulator::{Fault, Gzip, Kind, Lifetime, Metrics, Pace, Settings, Totals};
use rust_decimal::Decimal;
use std::io::Cursor;
use tokio::io::AsyncReadExt;

const MONDAY: &str = "2025-01-06";

/// Adds one result file up as a client would, from its text alone.
fn add(totals: &mut Totals, bytes: &[u8]) {
    let mut reader =
        csv::ReaderBuilder::new().escape(Some(b'\\')).double_quote(false).from_reader(bytes);
    let header = reader.headers().expect("a header").clone();
    let place = |name: &str| header.iter().position(|one| one == name).expect("a known column");
    for record in reader.records() {
        let record = record.expect("a record of the header's length");
        let field = |name: &str| &record[place(name)];
        totals.rows += 1;
        if field("filtered") == "TRUE" {
            assert_eq!((field("clicks"), field("spend")), ("", ""));
            totals.suppressed_rows += 1;
            continue;
        }
        let whole = |name: &str| field(name).parse::<i64>().expect("a whole number");
        let money = |name: &str| field(name).parse::<Decimal>().expect("a decimal");
        totals.metrics += &Metrics {
            impressions: whole("impressions"),
            clicks: whole("clicks"),
            conversions: whole("conversions"),
            units_sold: whole("units_sold"),
            spend: money("spend"),
            sales: money("sales"),
            new_to_brand: whole("new_to_brand"),
        };
    }
}

#[tokio::test]
async fn the_files_of_twenty_weeks_add_up_to_the_closed_formula() {
    let desk = Desk::open().await;
    let first: NaiveDate = MONDAY.parse().expect("a date");
    let mut totals = Totals::default();
    let mut file_counts = std::collections::BTreeSet::new();
    for week in 0..20 {
        let monday = first + chrono::Days::new(7 * week);
        let execution = desk.submit(&monday.to_string()).await;
        desk.advance(62);
        let urls = desk.urls(&execution).await;
        file_counts.insert(urls.len());
        for url in urls {
            let response = desk.download(&url).await;
            assert_eq!(response.status(), 200);
            add(&mut totals, &response.bytes().await.expect("a whole file"));
        }
    }
    let formula = desk.simulator.facts(INSTANCE).totals(first, 20);
    assert_eq!(totals, formula);
    assert!(totals.suppressed_rows > 0, "one campaign is too small in some weeks");
    assert_eq!(file_counts.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(desk.counts().authorization_to_storage, 0);
}

#[tokio::test]
async fn a_result_is_unavailable_until_the_execution_has_succeeded() {
    let desk = Desk::open().await;
    let execution = desk.submit(MONDAY).await;
    let path = format!("/workflowExecutions/{execution}/downloadUrls");
    let (status, body) = desk.amc("GET", &path, None).await;
    assert_eq!(status, 404);
    let details = format!("Execution with ID {execution} is unavailable for download.");
    assert_eq!(body["details"], details.as_str());
    desk.advance(62);
    let (_, body) = desk.amc("GET", &path, None).await;
    let metadata = body["metadataDownloadUrls"][0].as_str().expect("an address");
    let columns: serde_json::Value = desk.download(metadata).await.json().await.expect("JSON");
    assert_eq!(columns[7]["name"], "spend");
}

#[tokio::test]
async fn an_address_expires_and_cannot_be_guessed() {
    let lifetime = Lifetime { seconds: 600, clock: Pace::Amc };
    let desk = Desk::with(Settings { url_lifetime: lifetime, ..Settings::manual() }).await;
    let execution = desk.submit(MONDAY).await;
    desk.advance(62);
    let url = desk.urls(&execution).await.remove(0);
    for guess in [url.replace("Expires=600", "Expires=999"), url.replace("result-1", "result-9")] {
        let response = desk.download(&guess).await;
        assert_eq!(response.status(), 403);
        assert!(response.text().await.expect("text").contains("SignatureDoesNotMatch"));
    }
    desk.advance(599);
    assert_eq!(desk.download(&url).await.status(), 200);
    desk.advance(1);
    let response = desk.download(&url).await;
    assert_eq!(response.status(), 403);
    assert!(
        response.text().await.expect("text").contains("<Message>Request has expired</Message>")
    );
    let again = desk.urls(&execution).await.remove(0);
    assert_eq!(desk.download(&again).await.status(), 200);
}

#[tokio::test]
async fn the_storage_refuses_a_bearer_token_and_the_witness_tells() {
    let desk = Desk::open().await;
    let execution = desk.submit(MONDAY).await;
    desk.advance(62);
    let url = desk.urls(&execution).await.remove(0);
    let response = desk.http.get(&url).bearer_auth(&desk.token).send().await.expect("an answer");
    assert_eq!(response.status(), 400);
    assert_eq!(desk.counts().authorization_to_storage, 1);
    assert!(!desk.counts().refreshes.is_empty() && !url.contains(REFRESH_TOKEN));
}

#[tokio::test]
async fn a_compressed_file_may_say_so_or_not() {
    let plain = file(Gzip::Off).await;
    assert!(plain.starts_with(b"campaign_id,"));
    assert_eq!(file(Gzip::Declared).await, plain, "the client has decoded it");
    let bare = file(Gzip::Bare).await;
    assert_eq!(bare[..2], [0x1f, 0x8b]);
    let mut decoder = async_compression::tokio::bufread::GzipDecoder::new(Cursor::new(bare));
    let mut text = Vec::new();
    decoder.read_to_end(&mut text).await.expect("valid gzip");
    assert_eq!(text, plain);
}

async fn file(gzip: Gzip) -> Vec<u8> {
    let desk = Desk::with(Settings { gzip, result_files: Some(1), ..Settings::manual() }).await;
    let execution = desk.submit(MONDAY).await;
    desk.advance(62);
    let url = desk.urls(&execution).await.remove(0);
    desk.download(&url).await.bytes().await.expect("a whole file").to_vec()
}

#[tokio::test]
async fn an_empty_result_is_a_header_and_five_files_repeat_theirs() {
    let desk = Desk::with(Settings { result_files: Some(5), ..Settings::manual() }).await;
    let fault = desk.simulator.set_fault(Fault::new(Kind::EmptyResult));
    let empty = desk.submit(MONDAY).await;
    desk.simulator.lift_fault(fault);
    let full = desk.submit(MONDAY).await;
    desk.advance(62);
    let urls = desk.urls(&empty).await;
    let text = desk.download(&urls[0]).await.text().await.expect("text");
    assert_eq!((urls.len(), text.lines().count()), (1, 1));

    let mut rows = 0;
    let urls = desk.urls(&full).await;
    assert_eq!(urls.len(), 5);
    for url in urls {
        let file = desk.download(&url).await.text().await.expect("text");
        assert!(file.starts_with("campaign_id,campaign,"));
        rows += file.lines().count() - 1;
    }
    assert_eq!(rows, 12);
}

#[tokio::test]
async fn the_flag_column_is_called_as_the_workflow_wishes() {
    let desk = Desk::open().await;
    let mut body = super::desk::week(MONDAY);
    body["workflow"]["filteredMetricsDiscriminatorColumn"] = "too_small".into();
    let (_, created) = desk.amc("POST", "/workflowExecutions", Some(&body)).await;
    desk.advance(62);
    let execution = super::desk::id(&created);
    let shown = desk.execution(&execution).await;
    assert_eq!(shown["outputColumns"][10]["name"], "too_small");
    let url = desk.urls(&execution).await.remove(0);
    let text = desk.download(&url).await.text().await.expect("text");
    assert!(text.lines().next().is_some_and(|header| header.ends_with(",too_small")));
}
