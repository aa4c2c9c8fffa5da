//! `--on`: commands of the user that get events of the run. They run in threads of their own, one at a time each, and can neither
//! delay the run nor end it.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use super::json;
use crate::api::dispatch::Outcome;
use crate::cli::exit::Failure;
use crate::cli::output;

/// Events that wait for a command. More are dropped.
const WAITING: usize = 256;
/// How long commands may take after the end of the run.
const LAST: Duration = Duration::from_secs(10);
/// The pause between two looks at a command.
const LOOK: Duration = Duration::from_millis(20);

/// The names of events, as `--progress json` has them, and one more: an attempt that met a limit.
pub(super) const EVENTS: [&str; 11] = [
    "run",
    "came",
    "started",
    "ended",
    "limited",
    "task",
    "workerReady",
    "workerGone",
    "startFailed",
    "note",
    "summary",
];

/// A command, and the events that it gets.
pub struct Hook {
    events: Vec<String>,
    queue: Mutex<Option<SyncSender<String>>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the run and the thread of a command both see.
struct Shared {
    command: String,
    dropped: AtomicU64,
    /// Set once the command has had its time.
    stop: AtomicBool,
}

impl Hook {
    /// From `EVENT[,EVENT] CMD` pairs, in turn.
    ///
    /// # Errors
    /// There is no such event.
    pub fn all(words: &[String]) -> Result<Vec<Self>, Failure> {
        let pairs = words.chunks_exact(2).map(|pair| {
            let events: Vec<String> = pair[0].split(',').map(|name| name.trim().to_owned()).collect();
            match events.iter().find(|name| !EVENTS.contains(&name.as_str())) {
                Some(name) => {
                    Err(Failure::usage(format!("--on {name:?}: there is no such event; use {}", EVENTS.join(", "))))
                }
                None => Ok((events, pair[1].clone())),
            }
        });
        // No thread is started if one of them is wrong.
        Ok(pairs
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .map(|(events, command)| Self::start(events, command))
            .collect())
    }

    fn start(events: Vec<String>, command: String) -> Self {
        let shared = Arc::new(Shared { command, dropped: AtomicU64::new(0), stop: AtomicBool::new(false) });
        let (queue, waiting) = sync_channel(WAITING);
        let of_thread = shared.clone();
        let thread = std::thread::spawn(move || of_thread.serve(&waiting));
        Self { events, queue: Mutex::new(Some(queue)), shared, thread: Mutex::new(Some(thread)) }
    }

    /// Passes an event on, if the command wants it.
    pub(super) fn send(&self, event: &Value) {
        let name = event["event"].as_str().unwrap_or_default();
        let limits = [Outcome::RateLimited, Outcome::Unauthorized].map(|outcome| outcome.to_string());
        let is_limit = name == "ended" && limits.iter().any(|outcome| event["outcome"] == **outcome);
        if !self.events.iter().any(|wanted| wanted == name || is_limit && wanted == "limited") {
            return;
        }
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = queue.as_ref().map(|queue| queue.try_send(json::text(event)));
        if let Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) = sent {
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Waits a while for the command to take in what waits for it, and says what was dropped.
    pub(super) fn finish(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let mut waited = Duration::ZERO;
        while !thread.is_finished() && waited < LAST {
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
        self.shared.stop.store(true, Relaxed);
        // It looks every 20 ms.
        let _ = thread.join();
        let dropped = self.shared.dropped.load(Relaxed);
        if dropped > 0 {
            let events = if dropped == 1 { "event was" } else { "events were" };
            output::say(&format!("--on: {} was too slow: {dropped} {events} dropped", self.shared.command));
        }
    }
}

impl Shared {
    fn serve(&self, waiting: &Receiver<String>) {
        let mut is_said = false;
        for event in waiting {
            if self.stop.load(Relaxed) {
                self.dropped.fetch_add(1, Relaxed);
                continue;
            }
            let problem = match self.run(&event) {
                Ok(None) => continue,
                Ok(Some(problem)) => problem,
                Err(error) => error.to_string(),
            };
            // Once is enough: it may fail for every event.
            if !std::mem::replace(&mut is_said, true) {
                output::say(&format!("--on: {}: {problem}; the run goes on", self.command));
            }
        }
    }

    /// Runs it once. Answers what was wrong.
    fn run(&self, event: &str) -> std::io::Result<Option<String>> {
        // What it prints is no data of the run. A group of its own: Ctrl-C is for the run.
        let mut command = Command::new("sh");
        command.args(["-c", "exec 1>&2; eval \"$1\"", "sh", &self.command]).stdin(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // It need not read it. An event is smaller than a pipe.
            let _ = input.write_all(format!("{event}\n").as_bytes());
        }
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok((!status.success()).then(|| format!("it ended with {status}")));
            }
            if self.stop.load(Relaxed) {
                self.dropped.fetch_add(1, Relaxed);
                end(&mut child)?;
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn end(child: &mut Child) -> std::io::Result<()> {
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        // It is not waited for yet, so the number is still its own.
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.wait().map(drop)
}
