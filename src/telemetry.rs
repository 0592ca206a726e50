//! Logs are switched on here: for people on a terminal, one JSON object per line for everyone else.

use crate::config::Logging;
use std::io::{self, IsTerminal};
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

/// Who reads what this process writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A process that stays: its events are its output, so they go to standard output
    /// (<https://12factor.net/logs>).
    Daemon,
    /// A command that answers and ends: its answer is its output, so events go to standard error.
    Command,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    People,
    Json,
}

/// Logs could not be switched on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Only `Logging` built by hand can bring this.
    #[error("RECOMAMP_LOG is not a log filter: write one as in info,recomamp=debug")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody was here before.
    #[error("logs were switched on twice in one process")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Switches logs on for this process. Once.
pub fn init(mode: Mode, logging: &Logging) -> Result<(), Error> {
    match mode {
        Mode::Daemon => {
            let form = form(io::stdout().is_terminal());
            start(subscriber(form, logging, io::stdout)?)
        }
        Mode::Command => {
            let form = form(io::stderr().is_terminal());
            start(subscriber(form, logging, io::stderr)?)
        }
    }
}

fn start(subscriber: impl Subscriber + Send + Sync + 'static) -> Result<(), Error> {
    Ok(subscriber.try_init()?)
}

fn form(terminal: bool) -> Form {
    if terminal { Form::People } else { Form::Json }
}

fn subscriber<W>(
    form: Form,
    logging: &Logging,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&logging.filter)?;
    // A log that nobody reads any more, as after `| head`, is no reason to panic about it.
    let lines = fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    Ok(match form {
        Form::People => Box::new(lines.compact().with_target(false).finish()),
        Form::Json => Box::new(lines.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Standard output that a test can read.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panics").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(form: Form, filter: &str, speak: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let logging = Logging { filter: filter.to_owned() };
        let subscriber =
            subscriber(form, &logging, move || writer.clone()).expect("the filter is one");
        tracing::subscriber::with_default(subscriber, speak);
        let bytes = page.0.lock().expect("no writer panics").clone();
        String::from_utf8(bytes).expect("lines are text")
    }

    #[test]
    fn a_machine_reads_one_json_object_per_line_with_facts_as_fields() {
        let text = written(Form::Json, "info", || {
            tracing::info!(job_id = 7, kind = "poll_status", "job finished");
            tracing::warn!("another");
        });
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["message"], "job finished");
        assert_eq!(lines[0]["job_id"], 7);
        assert_eq!(lines[0]["level"], "INFO");
        assert!(lines[0]["timestamp"].is_string() && lines[0]["target"].is_string());
    }

    #[test]
    fn people_read_lines_without_braces() {
        let text = written(Form::People, "info", || tracing::info!(job_id = 7, "job finished"));
        assert!(text.contains("job finished") && text.contains("job_id") && !text.contains('{'));
        assert_eq!(form(true), Form::People);
        assert_eq!(form(false), Form::Json);
    }

    #[test]
    fn the_filter_decides_what_is_written() {
        let speak = || {
            tracing::debug!("whispered");
            tracing::info!("said");
        };
        assert!(!written(Form::Json, "info", speak).contains("whispered"));
        assert!(written(Form::Json, "info,recomamp=debug", speak).contains("whispered"));
    }
}
