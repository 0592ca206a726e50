//! Fetches the result of an execution: every file, checked, counted, summed and stored. Only then
//! has the execution, and with it its week or run, succeeded.

use super::owner::{self, Owner, end_execution};
use crate::amc::{self, AmcExecutionId, Class, Download, SignedUrl};
use crate::metrics;
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome};
use crate::reports::column::Column;
use crate::reports::csv::{self, Options, Parsed};
use crate::store::ExecutionUuid;
use crate::store::executions::{self, Ending, Execution, ExecutionStatus, Trouble};
use crate::store::results::{self, NewResult};
use crate::store::weeks::WeekResult;
use crate::tools::{SignedIn, Tools, resources};
use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// The pause before AMC is asked again for a result that is not ready.
const NOT_READY: Duration = Duration::from_secs(15);

/// Fetches the result of an execution.
#[derive(Debug, Serialize, Deserialize)]
pub struct FetchResult {
    /// Which one.
    pub execution_id: ExecutionUuid,
}

impl Job for FetchResult {
    type Tools = Tools;
    const KIND: &'static str = "fetch_result";
    const QUEUE: &'static str = "results";
    const TIMEOUT: Duration = Duration::from_secs(3600);
    /// An outage of Amazon's is not the job's fault: this is weeks of trying.
    const MAX_ATTEMPTS: i16 = 10_000;

    fn unique_key(&self) -> Option<String> {
        Some(self.execution_id.to_string())
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(execution) = executions::by_id(&tools.db, self.execution_id).await? else {
            return Err(Failure::permanent(anyhow!("there is no such execution")));
        };
        if execution.status != ExecutionStatus::Fetching {
            return Ok(Outcome::Done.unasked());
        }
        let who = tools.sign_in(attempt, &execution).await?;
        let declared = match describe(tools, &execution, &who).await? {
            Described::Ready(columns) => columns,
            Described::NotYet => return wait(tools, attempt, &execution).await,
            Described::Never(why) => return fail(tools, attempt, &execution, &why).await,
        };
        let folder = tempfile::tempdir().map_err(ours)?;
        let Some(files) = download(tools, &execution, &who, folder.path()).await? else {
            return wait(tools, attempt, &execution).await;
        };
        let options =
            Options { declared, kept_bytes_max: tools.rows_max_bytes, ..Options::default() };
        let parsed = match csv::parse_files(files.clone(), options).await {
            Ok(parsed) => parsed,
            Err(error) if error.is_permanent() => {
                return fail(tools, attempt, &execution, &error.to_string()).await;
            }
            Err(error) => return Err(ours(error)),
        };
        let uri = keep(tools, &execution, &files).await?;
        store(tools, attempt, &execution, &parsed, uri.as_deref()).await
    }
}

/// The job for this execution.
pub fn job(tools: &Tools, execution: &Execution) -> Result<NewJob, Failure> {
    owner::job(tools, execution, &FetchResult { execution_id: execution.id })
}

/// What AMC says about a result before it is downloaded.
enum Described {
    Ready(Vec<Column>),
    NotYet,
    Never(String),
}

async fn describe(
    tools: &Tools,
    execution: &Execution,
    who: &SignedIn,
) -> Result<Described, Failure> {
    let id = amc_id(execution)?;
    let found = match tools.amc.execution(&who.caller, &who.instance, &id).await {
        Ok(found) => found,
        Err(error) if error.class() == Class::NotFoundYet => return Ok(Described::NotYet),
        Err(error) => return Err(tools.judge(who, execution, error).await),
    };
    if let Some(channel) = found.download_channel() {
        match channel.status.as_str() {
            "PENDING" => return Ok(Described::NotYet),
            "UNAVAILABLE" | "FAILED" => {
                let reason = channel.status_reason.as_deref().unwrap_or("no reason given");
                return Ok(Described::Never(format!("AMC cannot give the result: {reason}")));
            }
            _ => {}
        }
    }
    Ok(Described::Ready(found.output_columns.iter().map(column).collect()))
}

fn column(found: &amc::OutputColumn) -> Column {
    Column {
        name: found.name.clone(),
        data_type: found.data_type.clone(),
        column_type: found.column_type.clone().unwrap_or_default(),
    }
}

/// Downloads every file of the result; none when AMC does not have it ready. The addresses are asked for at the
/// start of each try, because they are good for ten minutes, and anew when that was not enough for all.
async fn download(
    tools: &Tools,
    execution: &Execution,
    who: &SignedIn,
    folder: &Path,
) -> Result<Option<Vec<PathBuf>>, Failure> {
    let Some(mut urls) = addresses(tools, execution, who).await? else { return Ok(None) };
    let mut files = Vec::new();
    let mut had_when_asked = 0;
    while let Some(url) = urls.get(files.len()) {
        let path = folder.join(format!("{}.csv", files.len()));
        match tools.amc.download(url).await {
            Ok(body) => {
                write(body, &path).await?;
                files.push(path);
            }
            Err(error) if error.class() == Class::ExpiredUrl && files.len() > had_when_asked => {
                had_when_asked = files.len();
                let Some(fresh) = addresses(tools, execution, who).await? else { return Ok(None) };
                urls = fresh;
            }
            // Where AMC keeps its files is another service than AMC.
            Err(error) => return Err(tools.judge(who, execution, error).await.blameless()),
        }
    }
    Ok(Some(files))
}

/// Where the files of the result are; none when AMC does not have it ready.
async fn addresses(
    tools: &Tools,
    execution: &Execution,
    who: &SignedIn,
) -> Result<Option<Vec<SignedUrl>>, Failure> {
    let id = amc_id(execution)?;
    match tools.amc.download_urls(&who.caller, &who.instance, &id).await {
        Ok(urls) if urls.files.is_empty() => Ok(None),
        Ok(urls) => Ok(Some(urls.files)),
        Err(error) if matches!(error.class(), Class::NotReady | Class::NotFoundYet) => Ok(None),
        Err(error) => Err(tools.judge(who, execution, error).await),
    }
}

async fn write(mut body: Download, path: &Path) -> Result<(), Failure> {
    let mut file = tokio::fs::File::create(path).await.map_err(ours)?;
    while let Some(bytes) = body.chunk().await.map_err(ours)? {
        file.write_all(&bytes).await.map_err(ours)?;
    }
    file.flush().await.map_err(ours)
}

/// It may pass by itself, and AMC has no part in it.
fn ours(error: impl Into<anyhow::Error>) -> Failure {
    Failure::transient(error).blameless()
}

/// Keeps the whole result beside the database, every file as it came, packed.
async fn keep(
    tools: &Tools,
    execution: &Execution,
    files: &[PathBuf],
) -> Result<Option<String>, Failure> {
    let mut first = None;
    for (number, path) in files.iter().enumerate() {
        let key = format!("{}/{}/{number}.csv", execution.amc_instance_id, execution.id);
        let stored = tools.files.put_file(&key, path).await.context("the result file");
        let stored = stored.map_err(ours)?;
        first.get_or_insert(stored.uri);
    }
    Ok(first)
}

async fn store(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    parsed: &Parsed,
    uri: Option<&str>,
) -> Result<Outcome, Failure> {
    let columns = serde_json::to_value(&parsed.columns).map_err(Failure::permanent)?;
    let rows = to_raw_value(&parsed.kept).map_err(Failure::permanent)?;
    let sums = serde_json::to_value(&parsed.totals).map_err(Failure::permanent)?;
    let result = NewResult {
        execution_id: execution.id,
        columns: &columns,
        schema_sha256: parsed.schema_sha256,
        row_count: parsed.row_count,
        byte_count: parsed.byte_count,
        file_count: parsed.file_count,
        content_sha256: parsed.content_sha256,
        storage_uri: uri,
        rows: Some(&rows),
        truncated: parsed.truncated,
        suppressed_values: parsed.suppressed_values,
        quarantined_rows: parsed.quarantined_rows,
        lossy_values: parsed.lossy_values,
        nul_values: parsed.nul_values,
        unreadable_values: parsed.unreadable_values,
    };
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    results::insert(&mut *transaction, &result).await?;
    let owner = Owner::of(execution);
    owner.lock(&mut transaction).await?;
    if !executions::succeed(&mut *transaction, execution.id).await? {
        // Somebody has called it off meanwhile.
        return Ok(Outcome::Done);
    }
    tools.queue.release(&mut transaction, &resources::holder(execution.id)).await?;
    let summary = WeekResult {
        row_count: parsed.row_count,
        data_checksum: parsed.content_sha256,
        schema_checksum: parsed.schema_sha256,
        metrics: &sums,
    };
    owner.succeed(tools, &mut transaction, &summary).await?;
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
    transaction.commit().await?;
    metrics::execution_finished("succeeded");
    metrics::result_stored(unsigned(parsed.row_count), unsigned(parsed.byte_count));
    tracing::info!(
        execution = %execution.id,
        rows = parsed.row_count,
        files = parsed.file_count,
        "the result is stored"
    );
    Ok(outcome)
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// Not ready yet, or not known to AMC any more; not for ever, though.
async fn wait(tools: &Tools, attempt: &Attempt, execution: &Execution) -> Result<Outcome, Failure> {
    if executions::not_ready(&tools.db, execution.id).await? {
        return fail(tools, attempt, execution, "AMC never made the result available").await;
    }
    Ok(Outcome::Snooze(NOT_READY.min(tools.polling.first)))
}

async fn fail(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    why: &str,
) -> Result<Outcome, Failure> {
    let trouble = Trouble {
        ending: Ending::Failed,
        class: "result",
        code: None,
        message: why,
        amc_status: None,
    };
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    end_execution(tools, &mut transaction, execution, &trouble).await?;
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
    transaction.commit().await?;
    Ok(outcome)
}

fn amc_id(execution: &Execution) -> Result<AmcExecutionId, Failure> {
    let id = execution.amc_execution_id.as_deref().unwrap_or_default();
    AmcExecutionId::new(id).map_err(Failure::permanent)
}
