//! Results: signed addresses that expire, and the CSV files behind them.

use super::answer::{Answer, Payload};
use super::call::Call;
use super::dice;
use super::execution::{Execution, Output};
use super::executions;
use super::facts::{Facts, Row};
use super::world::World;
use axum::http::header;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// The columns of a result: name, `columnType`, `dataType`.
const COLUMNS: [(&str, &str, &str); 10] = [
    ("campaign_id", "DIMENSION", "LONG"),
    ("campaign", "DIMENSION", "STRING"),
    ("ad_product_type", "DIMENSION", "STRING"),
    ("impressions", "METRIC", "LONG"),
    ("clicks", "METRIC", "LONG"),
    ("conversions", "METRIC", "LONG"),
    ("units_sold", "METRIC", "LONG"),
    ("spend", "METRIC", "DECIMAL"),
    ("sales", "METRIC", "DECIMAL"),
    ("new_to_brand", "METRIC", "LONG"),
];

/// `outputColumns`, ending with the column that says which rows are suppressed.
pub(crate) fn columns(discriminator: &str) -> Value {
    let all = COLUMNS.into_iter().chain([(discriminator, "DIMENSION", "STRING")]);
    let columns = all.map(|(name, column_type, data_type)| {
        let mut column = json!({"name": name, "columnType": column_type, "dataType": data_type});
        if data_type == "DECIMAL" {
            column["precision"] = json!(38);
            column["scale"] = json!(if name == "spend" { 4 } else { 2 });
        }
        column
    });
    columns.collect()
}

/// Answers `GET …/workflowExecutions/{id}/downloadUrls`.
pub(crate) fn download_urls(world: &World, call: &Call) -> Result<Answer, Answer> {
    let execution = executions::find(world, call)?;
    if !execution.has_result() {
        return Err(not_ready(world, &call.id));
    }
    let urls: Vec<String> = (1..=file_count(world, execution))
        .map(|file| sign(world, execution, &format!("result-{file}.csv")))
        .collect();
    Ok(Answer::ok(json!({
        "downloadUrls": urls,
        "metadataDownloadUrls": [sign(world, execution, "metadata.json")],
    })))
}

/// The answer while there is nothing to download.
pub(crate) fn not_ready(world: &World, id: &str) -> Answer {
    let details = format!("Execution with ID {id} is unavailable for download.");
    Answer::error(world.settings.not_ready_status, &details)
}

/// Answers a download.
pub(crate) fn download(world: &mut World, call: &Call) -> Result<Answer, Answer> {
    if call.headers.contains_key(header::AUTHORIZATION) {
        world.witness.counts.authorization_to_storage += 1;
        let message = "Only one auth mechanism allowed; only the X-Amz-Algorithm query \
                       parameter, Signature query string parameter or the Authorization header \
                       should be specified";
        return Err(Answer::xml(400, "InvalidArgument", message));
    }
    check_signature(world, call)?;
    let missing = || Answer::xml(404, "NoSuchKey", "The specified key does not exist.");
    let execution = world.executions.get(&call.instance, &call.id).ok_or_else(missing)?;
    let body = if call.file == "metadata.json" {
        columns(execution.workflow.discriminator()).to_string().into_bytes()
    } else {
        let number = call.file.strip_prefix("result-").and_then(|name| name.strip_suffix(".csv"));
        let number: u32 = number.and_then(|number| number.parse().ok()).ok_or_else(missing)?;
        if !(1..=file_count(world, execution)).contains(&number) {
            return Err(missing());
        }
        csv(world, execution, number)
    };
    Ok(Answer { status: 200, headers: Vec::new(), body: Payload::File(body) })
}

/// The answer to an address that is too old.
pub(crate) fn expired() -> Answer {
    Answer::xml(403, "AccessDenied", "Request has expired")
}

fn sign(world: &World, execution: &Execution, file: &str) -> String {
    let lifetime = world.settings.url_lifetime;
    let path = format!("/storage/{}/{}/{file}", execution.instance, execution.id);
    let stamp = lifetime.pick(world.clocks()).format(STAMP).to_string();
    let expires = lifetime.seconds.to_string();
    let signature = signature(world, &path, &stamp, &expires);
    format!(
        "{}{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={stamp}&X-Amz-Expires={expires}\
         &X-Amz-SignedHeaders=host&X-Amz-Signature={signature}",
        world.base_url
    )
}

/// Only the simulator knows the key, so a keyed digest is all a signature needs here.
fn signature(world: &World, path: &str, stamp: &str, expires: &str) -> String {
    hex::encode(Sha256::digest(format!("{}\n{path}\n{stamp}\n{expires}", world.storage_key)))
}

fn check_signature(world: &World, call: &Call) -> Result<(), Answer> {
    let part = |name: &str| call.query(name).unwrap_or_default();
    let (stamp, expires) = (part("X-Amz-Date"), part("X-Amz-Expires"));
    if part("X-Amz-Signature") != signature(world, call.uri.path(), stamp, expires) {
        let message = "The request signature we calculated does not match the signature you \
                       provided. Check your key and signing method.";
        return Err(Answer::xml(403, "SignatureDoesNotMatch", message));
    }
    let signed_at: Option<DateTime<Utc>> =
        NaiveDateTime::parse_from_str(stamp, STAMP).ok().map(|at| at.and_utc());
    let lifetime = world.settings.url_lifetime;
    let alive = signed_at.is_some_and(|at| lifetime.pick(world.clocks()) < at + lifetime.length());
    if alive { Ok(()) } else { Err(expired()) }
}

fn file_count(world: &World, execution: &Execution) -> u32 {
    if execution.output == Output::Header {
        return 1;
    }
    world.settings.result_files.unwrap_or_else(|| {
        1 + dice::below(3, &[world.settings.seed, dice::text(&execution.window.sent[0])])
    })
}

/// The rows of one file of a result; every file repeats the header.
fn csv(world: &World, execution: &Execution, number: u32) -> Vec<u8> {
    let settings = &world.settings;
    let facts = Facts::new(settings.seed, execution.instance.clone(), settings.campaigns);
    let rows = match (execution.output, execution.window.days()) {
        (Output::Rows, Some((start, end))) => facts.rows(start, end),
        _ => Vec::new(),
    };
    let files = usize::try_from(file_count(world, execution)).expect("five at most");
    let number = usize::try_from(number).expect("five at most");
    let share = rows.len().div_ceil(files).max(1);
    let part = rows.into_iter().skip(share * (number - 1)).take(share);
    write(execution.workflow.discriminator(), part)
}

/// AMC's dialect: commas, double quotes, and a backslash before a quote inside a field.
fn write(discriminator: &str, rows: impl Iterator<Item = Row>) -> Vec<u8> {
    let mut writer =
        csv::WriterBuilder::new().escape(b'\\').double_quote(false).from_writer(Vec::new());
    let header = COLUMNS.into_iter().map(|(name, ..)| name).chain([discriminator]);
    writer.write_record(header).expect("memory takes every record");
    for row in rows {
        writer.write_record(record(row)).expect("every record has the header's length");
    }
    writer.into_inner().expect("memory can be flushed")
}

fn record(row: Row) -> [String; 11] {
    let id = row.campaign_id.to_string();
    let Some(metrics) = row.metrics else {
        let blank = String::new;
        return [
            id,
            row.campaign,
            row.ad_product_type,
            blank(),
            blank(),
            blank(),
            blank(),
            blank(),
            blank(),
            blank(),
            "TRUE".to_owned(),
        ];
    };
    [
        id,
        row.campaign,
        row.ad_product_type,
        metrics.impressions.to_string(),
        metrics.clicks.to_string(),
        metrics.conversions.to_string(),
        metrics.units_sold.to_string(),
        metrics.spend.to_string(),
        metrics.sales.to_string(),
        metrics.new_to_brand.to_string(),
        "FALSE".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_escaped_by_a_backslash_and_suppressed_values_are_blank() {
        let row = Row {
            campaign_id: 1,
            campaign: r#"a, "b""#.to_owned(),
            ad_product_type: "dsp".to_owned(),
            metrics: None,
        };
        let text = String::from_utf8(write("below_threshold", [row].into_iter())).expect("UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with(",new_to_brand,below_threshold"), "{}", lines[0]);
        assert_eq!(lines[1], r#"1,"a, \"b\"",dsp,,,,,,,,TRUE"#);
    }

    #[test]
    fn the_columns_name_every_field_of_the_file() {
        let columns = columns("filtered");
        assert_eq!(columns.as_array().map(Vec::len), Some(11));
        assert_eq!(columns[7]["scale"], 4);
        assert_eq!(columns[8]["scale"], 2);
    }
}
