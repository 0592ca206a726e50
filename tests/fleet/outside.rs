//! The outside thing that the fleet's jobs call: it counts who is with it, by its own clock, and
//! answers what the test says.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What a job says when it calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asks {
    pub name: String,
    pub resources: Vec<String>,
    pub claimed_at: DateTime<Utc>,
    pub attempt: i16,
    pub pid: u32,
}

/// What the outside does to a job that calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    Good,
    Fail,
    Throttle {
        seconds: u64,
        resource: String,
    },
    Panic,
    /// The job calls itself until its process is dead.
    Overflow,
    /// The job kills its process.
    Kill,
}

/// When it answers, and what.
#[derive(Debug, Clone)]
pub enum Manner {
    After(Duration, Answer),
    /// When the test says so.
    WhenTold,
}

/// A call, from its first moment to its last.
#[derive(Debug)]
pub struct Call {
    pub asks: Asks,
    pub began: Instant,
    pub ended: Option<Instant>,
    reply: Option<oneshot::Sender<Answer>>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    manners: BTreeMap<String, Manner>,
}

/// A server on a Unix socket.
pub struct Outside {
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
    folder: TempDir,
}

impl Outside {
    pub fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let listener = UnixListener::bind(socket(folder.path())).expect("the socket is ours");
        let state = Arc::new(Mutex::new(State::default()));
        let serving = tokio::spawn(serve(listener, state.clone()));
        Self { state, serving, folder }
    }

    /// Where jobs find it.
    pub fn path(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// Calls whose job has this name, or else uses this resource first, are answered like this. The
    /// others get a good answer at once.
    pub fn behaves(&self, name_or_resource: &str, manner: Manner) {
        locked(&self.state).manners.insert(name_or_resource.to_owned(), manner);
    }

    /// Answers the calls that wait for it and of which this is true. How many there were.
    pub fn tell(&self, which: impl Fn(&Asks) -> bool, answer: &Answer) -> usize {
        let now = Instant::now();
        let mut told = 0;
        let mut state = locked(&self.state);
        for call in state.calls.iter_mut().filter(|call| call.ended.is_none() && which(&call.asks))
        {
            if let Some(reply) = call.reply.take() {
                // A call ends before its job knows.
                call.ended = Some(now);
                told += usize::from(reply.send(answer.clone()).is_ok());
            }
        }
        told
    }

    /// A process is gone, and its calls with it.
    pub fn gone(&self, pid: u32) {
        let now = Instant::now();
        for call in locked(&self.state).calls.iter_mut().filter(|call| call.asks.pid == pid) {
            call.ended.get_or_insert(now);
        }
    }

    /// What is looked at.
    pub fn calls<T>(&self, look: impl FnOnce(&[Call]) -> T) -> T {
        look(&locked(&self.state).calls)
    }

    /// How many calls there have been that used this resource.
    pub fn count(&self, resource: &str) -> usize {
        self.calls(|calls| calls.iter().filter(|call| call.uses(resource)).count())
    }

    /// How many are with it now.
    pub fn in_flight(&self, resource: &str) -> usize {
        let now = |call: &&Call| call.ended.is_none() && call.uses(resource);
        self.calls(|calls| calls.iter().filter(now).count())
    }

    /// How many were with it at once, at most.
    pub fn most_in_flight(&self, resource: &str) -> usize {
        let mut steps: Vec<(Instant, i32)> = self.calls(|calls| {
            let used = calls.iter().filter(|call| call.uses(resource));
            used.flat_map(|call| {
                [Some((call.began, 1)), call.ended.map(|ended| (ended, -1))].into_iter().flatten()
            })
            .collect()
        });
        steps.sort_unstable();
        let mut now = 0;
        let counts = steps.into_iter().map(|(_, step)| {
            now += step;
            now
        });
        usize::try_from(counts.max().unwrap_or(0)).expect("not negative")
    }

    /// When the store let the calls on this resource start, in order.
    pub fn claims(&self, resource: &str) -> Vec<DateTime<Utc>> {
        let mut claims: Vec<_> = self.calls(|calls| {
            calls
                .iter()
                .filter(|call| call.uses(resource))
                .map(|call| call.asks.claimed_at)
                .collect()
        });
        claims.sort_unstable();
        claims
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Call {
    pub fn uses(&self, resource: &str) -> bool {
        self.asks.resources.iter().any(|used| used == resource)
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("outside")
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("nobody panics while holding it")
}

async fn serve(listener: UnixListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, state.clone()));
    }
}

/// One call. It ends before the job has its answer, or when its process is gone.
async fn answer(stream: UnixStream, state: Arc<Mutex<State>>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = String::new();
    read.read_line(&mut line).await.ok()?;
    let asks: Asks = serde_json::from_str(&line).ok()?;
    let (reply, mut replied) = oneshot::channel();
    let (number, manner) = {
        let mut state = locked(&state);
        let named = state.manners.get(&asks.name);
        let used = asks.resources.first().and_then(|first| state.manners.get(first));
        let manner = named.or(used).cloned();
        let began = Instant::now();
        state.calls.push(Call { asks, began, ended: None, reply: Some(reply) });
        (state.calls.len() - 1, manner.unwrap_or(Manner::After(Duration::ZERO, Answer::Good)))
    };
    let decided = async {
        match manner {
            Manner::After(pause, answer) => {
                tokio::time::sleep(pause).await;
                Some(answer)
            }
            Manner::WhenTold => (&mut replied).await.ok(),
        }
    };
    let hung_up = async { while read.read_u8().await.is_ok() {} };
    let answer = tokio::select! {
        answer = decided => answer,
        () = hung_up => None,
    };
    locked(&state).calls[number].ended.get_or_insert_with(Instant::now);
    let line = serde_json::to_string(&answer?).ok()?;
    write.write_all(format!("{line}\n").as_bytes()).await.ok()
}
