//! The real program, as a real process: its arguments, its environment, its lines, real signals.

use super::eventually::{DEADLINE, LOOK_EVERY};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// One command line of `recomamp`, with an environment that holds only what the test puts in
/// (and PATH and HOME).
pub struct Program {
    command: Command,
    shown: String,
    input: String,
}

impl Program {
    /// `recomamp <args>`.
    pub fn new(args: &[&str]) -> Self {
        let Some(path) = option_env!("CARGO_BIN_EXE_recomamp") else {
            panic!("processes are tested in tests/, for which Cargo builds the program");
        };
        Self::at(path, args)
    }

    /// Any other program, run in the same way.
    pub fn at(path: &str, args: &[&str]) -> Self {
        let mut command = Command::new(path);
        command.args(args).env_clear().kill_on_drop(true);
        for name in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, shown: format!("{path} {}", args.join(" ")), input: String::new() }
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// What the program reads from standard input. Nothing, unless this is said.
    pub fn input(mut self, text: &str) -> Self {
        text.clone_into(&mut self.input);
        self
    }

    /// Starts it. It is killed when the answer is dropped.
    pub async fn start(mut self) -> Process {
        let mut child = self.command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        // One that has ended before it read everything is the test's business, not ours.
        let _ = stdin.write_all(self.input.as_bytes()).await;
        drop(stdin);
        let output = Arc::new(Mutex::new(Output::default()));
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        let readers = [
            read(stdout, Arc::clone(&output), |output, line| output.stdout.push(line)),
            read(stderr, Arc::clone(&output), |output, line| output.stderr.push(line)),
        ];
        Process { child, shown: self.shown, output, readers }
    }

    /// Runs it to its end.
    pub async fn run(self) -> Finished {
        self.start().await.finish().await
    }
}

/// A running program.
pub struct Process {
    child: Child,
    shown: String,
    output: Arc<Mutex<Output>>,
    readers: [JoinHandle<()>; 2],
}

/// What a program said before it ended, and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its answer.
    pub stdout: String,
    /// What it said to people.
    pub stderr: String,
}

#[derive(Default)]
struct Output {
    stdout: Vec<String>,
    stderr: Vec<String>,
    all: Vec<String>,
}

impl Process {
    /// Waits for a line that contains this text, on either output, and gives it back.
    ///
    /// Lines that came before the call count too.
    pub async fn line(&mut self, text: &str) -> String {
        self.line_where(&format!("a line with {text:?}"), |line| line.contains(text)).await
    }

    /// Waits for a line of which something is true, and gives it back.
    pub async fn line_where(&mut self, what: &str, matches: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait().expect("it can be asked");
            if ended.is_some() {
                self.drain().await;
            }
            if let Some(line) = taken(&self.output).all.iter().find(|line| matches(line)) {
                return line.clone();
            }
            if let Some(status) = ended {
                panic!("`{}` ended ({status}) without {what}:\n{}", self.shown, self.log());
            }
            assert!(
                began.elapsed() < DEADLINE,
                "`{}` did not write {what} within {DEADLINE:?}:\n{}",
                self.shown,
                self.log()
            );
            sleep(LOOK_EVERY).await;
        }
    }

    /// How many lines so far contain this text.
    pub fn count_lines(&self, text: &str) -> usize {
        taken(&self.output).all.iter().filter(|line| line.contains(text)).count()
    }

    /// Everything it has written so far, both outputs as they came.
    pub fn log(&self) -> String {
        taken(&self.output).all.join("\n")
    }

    /// Reads nothing of what it writes any more: both its outputs are closed, as after `| head`.
    pub async fn stop_reading(&mut self) {
        for reader in &mut self.readers {
            reader.abort();
            let _ = reader.await;
        }
        self.readers = [tokio::spawn(async {}), tokio::spawn(async {})];
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it has not been waited for")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("process numbers are small");
        kill(Pid::from_raw(pid), signal).expect("it is ours and has not ended");
    }

    /// Waits until it has ended by itself.
    pub async fn finish(self) -> Finished {
        self.finish_within(DEADLINE).await
    }

    /// The same, for a program that has a lot to do.
    pub async fn finish_within(mut self, patience: Duration) -> Finished {
        let status = timeout(patience, self.child.wait()).await;
        let Ok(status) = status else {
            panic!("`{}` did not end within {patience:?}:\n{}", self.shown, self.log());
        };
        self.drain().await;
        let output = taken(&self.output);
        Finished {
            status: status.expect("it can be waited for"),
            stdout: output.stdout.join("\n"),
            stderr: output.stderr.join("\n"),
        }
    }

    /// Reads what is left in the pipes of a program that has ended.
    async fn drain(&mut self) {
        for reader in &mut self.readers {
            if !reader.is_finished() {
                // A grandchild may hold the pipe open for ever.
                let _ = timeout(DEADLINE, reader).await;
            }
        }
    }
}

fn read(
    pipe: impl AsyncRead + Unpin + Send + 'static,
    output: Arc<Mutex<Output>>,
    keep: fn(&mut Output, String),
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut output = taken(&output);
            output.all.push(line.clone());
            keep(&mut output, line);
        }
    })
}

fn taken(output: &Mutex<Output>) -> MutexGuard<'_, Output> {
    output.lock().expect("nobody panics while holding it")
}
