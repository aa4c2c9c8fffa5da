//! One attempt: run the command in the worker that the Dispatch names, decide how it ended, report it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::progress::Progress;
use super::result::{self, TaskResult};
use crate::api::dispatch::{Dispatch, DispatchResult, MAX_TEXT, Outcome, ReportedOutcome, Target, WorkerRef};
use crate::api::{Worker, names};
use crate::cli::output;
use crate::clock::Clock;
use crate::runtime::exec::{ExecError, Executor, Output, Running, Task, TaskEnd};
use crate::supervisor::outcome::{self, Verdict};

/// How long the runtime may take to say that a worker is dead with which contact was lost. After that it is destroyed.
pub const LOST_GRACE: Duration = Duration::from_secs(20);

/// How long it may take before people are told that contact was lost: mostly a death follows at once.
const LOST_NOTE: Duration = Duration::from_secs(2);

/// What is the same for all attempts of a run.
pub struct Job {
    /// Where the Dispatches are.
    pub dispatches: Api<Dispatch>,
    /// Where the Workers are.
    pub workers: Api<Worker>,
    /// Runs tasks.
    pub executor: Arc<dyn Executor>,
    /// Where to tell of trouble.
    pub progress: Arc<Progress>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Exit codes that mean RateLimited.
    pub exit_codes: Vec<i32>,
    /// Standard input of a single command.
    pub stdin: Bytes,
    /// True: what the command prints is passed on as it comes.
    pub live: bool,
    /// True: results outlive the run.
    pub keep: bool,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct TaskRef {
    /// Its id.
    pub id: String,
    /// Its line, from 1; 0 for a single command.
    pub line: u64,
    /// Its text. None: a single command.
    pub text: Option<String>,
    /// Where its outputs and its result go. None: nowhere.
    pub dir: Option<PathBuf>,
}

/// One attempt, as the Dispatch showed it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Name of the Dispatch.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// From 1.
    pub number: i32,
    /// Whose worker.
    pub worker: WorkerRef,
    /// How to reach it.
    pub target: Target,
    /// What to run.
    pub task: Arc<TaskRef>,
    /// True if no other attempt follows should this one fail.
    pub last_try: bool,
}

/// How it ended for who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The command ended, and that is reported.
    Reported {
        /// Its exit code.
        code: i32,
        /// True if `result.json` says so too.
        recorded: bool,
    },
    /// The command cannot be run in any worker. It is reported as Failed.
    NoCommand {
        /// 126 or 127.
        code: i32,
        /// Why.
        message: String,
    },
    /// The Dispatch is another attempt's by now: nothing was started, or what was is of no interest.
    Stale,
    /// Contact was lost. How the attempt ends is for the runtime to say.
    Lost,
    /// Poolkeeper failed, and would again.
    Broken(String),
}

/// Where outputs go.
struct Sink {
    files: Option<(std::fs::File, std::fs::File)>,
    live: Option<(tokio::io::Stdout, tokio::io::Stderr)>,
}

impl Sink {
    fn new(dir: Option<&PathBuf>, live: bool) -> io::Result<Self> {
        let files = match dir {
            None => None,
            Some(dir) => {
                std::fs::create_dir_all(dir)?;
                // What an earlier attempt said is over.
                Some((std::fs::File::create(dir.join("stdout"))?, std::fs::File::create(dir.join("stderr"))?))
            }
        };
        Ok(Self { files, live: live.then(output::live) })
    }

    async fn write(&mut self, piece: &Output) -> io::Result<()> {
        if let Some((stdout, stderr)) = &mut self.files {
            match piece {
                Output::Stdout(data) => stdout.write_all(data)?,
                Output::Stderr(data) => stderr.write_all(data)?,
            }
        }
        if let Some((stdout, stderr)) = &mut self.live {
            match piece {
                Output::Stdout(data) => {
                    stdout.write_all(data).await?;
                    stdout.flush().await?;
                }
                // A closed standard error is no reason to stop working.
                Output::Stderr(data) => drop((stderr.write_all(data).await, stderr.flush().await)),
            }
        }
        Ok(())
    }
}

/// What came of running the command.
enum Ran {
    Exited(Exited),
    NoCommand { code: i32, message: String },
    Stale,
    Lost(String),
}

/// A command that exited.
struct Exited {
    code: i32,
    /// Its result file, if it left one, or why that cannot be read.
    file: Result<Option<Vec<u8>>, String>,
    started: Timestamp,
}

impl Job {
    /// Makes one attempt.
    pub async fn attempt(&self, a: &Attempt) -> End {
        match self.run(a).await {
            Ok(Ran::Exited(exited)) => self.exited(a, &exited).await,
            Ok(Ran::NoCommand { code, message }) => self.no_command(a, code, message).await,
            Ok(Ran::Stale) => End::Stale,
            Ok(Ran::Lost(why)) => self.lost(a, &why).await,
            Err(broken) => End::Broken(broken),
        }
    }

    async fn run(&self, a: &Attempt) -> Result<Ran, String> {
        let path = match self.executor.result_path(&a.target, &a.name, a.number).await {
            Ok(path) => path,
            Err(ExecError::Worker(why)) => return Ok(Ran::Lost(why)),
            Err(ExecError::Command { message, code }) => return Ok(Ran::NoCommand { code, message }),
        };
        let mut sink = Sink::new(a.task.dir.as_ref(), self.live).map_err(|e| self.cannot_write(a, &e))?;
        // The last look before the command starts: what was assigned may have been taken back since.
        if !self.is_current(a).await? {
            return Ok(Ran::Stale);
        }
        let started = self.clock.now();
        let Running { mut output, end } = match self.executor.exec(&a.target, self.task(a, &path)).await {
            Ok(running) => running,
            Err(ExecError::Command { message, code }) => return Ok(Ran::NoCommand { code, message }),
            Err(ExecError::Worker(why)) => return Ok(Ran::Lost(why)),
        };
        while let Some(piece) = output.next().await {
            sink.write(&piece).await.map_err(|e| self.cannot_write(a, &e))?;
        }
        let code = match end.await {
            TaskEnd::Exited(code) => code,
            TaskEnd::Lost(why) => return Ok(Ran::Lost(why)),
        };
        let file = match self.executor.take_result(&a.target, &path).await {
            Ok(file) => Ok(file),
            // The worker went with its task: if it had something to say, nobody knows what.
            Err(ExecError::Worker(why)) if self.is_worker_gone(a).await => return Ok(Ran::Lost(why)),
            // What is there is no file that can be read: the command's fault.
            Err(error) => Err(error.to_string()),
        };
        Ok(Ran::Exited(Exited { code, file, started }))
    }

    fn task(&self, a: &Attempt, result_path: &str) -> Task {
        let mut env: Vec<(String, String)> = [
            ("POOLKEEPER_TASK_ID", a.task.id.as_str()),
            ("POOLKEEPER_ATTEMPT", &a.number.to_string()),
            ("POOLKEEPER_WORKER", &a.worker.name),
            ("POOLKEEPER_RESULT", result_path),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        let stdin = match &a.task.text {
            None => self.stdin.clone(),
            Some(text) => {
                env.push(("TASK".to_owned(), text.clone()));
                Bytes::from(format!("{text}\n"))
            }
        };
        Task { argv: self.command.clone(), env, stdin, working_dir: None }
    }

    fn cannot_write(&self, a: &Attempt, error: &io::Error) -> String {
        match &a.task.dir {
            Some(dir) if !self.live => format!("cannot keep the output of {} in {}: {error}", a.task.id, dir.display()),
            _ => format!("cannot pass on the output: {error}"),
        }
    }

    async fn is_current(&self, a: &Attempt) -> Result<bool, String> {
        let now = self.dispatches.get_opt(&a.name).await.map_err(|e| e.to_string())?;
        Ok(now.is_some_and(|d| is_current(&d, a)))
    }

    async fn is_worker_gone(&self, a: &Attempt) -> bool {
        // Where it is, a file can be had for an attempt that there never is.
        self.executor.result_path(&a.target, &a.name, 0).await.is_err()
    }

    async fn exited(&self, a: &Attempt, Exited { code, file, started }: &Exited) -> End {
        let file = file.as_ref().map(Option::as_deref).map_err(String::as_str);
        let Verdict { outcome, retry_after, message } = outcome::decide(*code, file, &self.exit_codes);
        let report = DispatchResult { attempt: a.number, outcome, retry_after, message: message.map(|m| cut(&m)) };
        // What will be tried again has no result yet.
        let ended = matches!(outcome, ReportedOutcome::Succeeded) || (outcome == ReportedOutcome::Failed && a.last_try);
        if ended && let Err(error) = self.record(a, &report, *code, *started) {
            return End::Broken(self.cannot_write(a, &error));
        }
        self.report(a, &report, End::Reported { code: *code, recorded: ended }).await
    }

    async fn no_command(&self, a: &Attempt, code: i32, message: String) -> End {
        let report = DispatchResult {
            attempt: a.number,
            outcome: ReportedOutcome::Failed,
            retry_after: None,
            message: Some(cut(&message)),
        };
        self.report(a, &report, End::NoCommand { code, message }).await
    }

    fn record(&self, a: &Attempt, report: &DispatchResult, exit_code: i32, started: Timestamp) -> io::Result<()> {
        let Some(dir) = a.task.dir.as_ref().filter(|_| self.keep) else { return Ok(()) };
        let result = TaskResult {
            id: a.task.id.clone(),
            hash: result::hash(a.task.text.as_deref(), &self.command),
            outcome: Outcome::from(report.outcome),
            exit_code: Some(exit_code),
            message: report.message.clone(),
            attempts: a.number,
            worker: Some(a.worker.name.clone()),
            started_at: Some(started),
            finished_at: self.clock.now(),
        };
        result.write(dir)
    }

    /// Reports, unless the attempt was ended by somebody else meanwhile: that the API refuses.
    async fn report(&self, a: &Attempt, report: &DispatchResult, end: End) -> End {
        // Both optional fields are always named, or those of an earlier attempt's report would stay.
        let patch = json!({
            "metadata": {"uid": a.uid},
            "spec": {"result": {
                "attempt": report.attempt, "outcome": report.outcome, "retryAfter": report.retry_after,
                "message": report.message,
            }},
        });
        match self.dispatches.patch(&a.name, &params(), &Patch::Merge(&patch)).await {
            Ok(_) => end,
            Err(kube::Error::Api(s)) if matches!(s.code, 404 | 409 | 422) => End::Stale,
            Err(error) => End::Broken(format!("cannot report on {}: {error}", a.task.id)),
        }
    }

    /// Contact was lost. If the worker died, the runtime says so, and the attempt ends as WorkerLost. If it lives, the task
    /// may still run in it, so nothing may be reported, and nothing else run there: the worker is destroyed.
    async fn lost(&self, a: &Attempt, why: &str) -> End {
        tokio::time::sleep(LOST_NOTE).await;
        let note = format!("{} attempt {}: contact with {} is lost: {why}", a.task.id, a.number, a.worker.name);
        self.progress.note(note);
        tokio::time::sleep(LOST_GRACE.saturating_sub(LOST_NOTE)).await;
        while let Ok(true) = self.is_current(a).await {
            // While the worker's host is not reached either, nobody knows more: its death is told when it is back.
            if self.executor.result_path(&a.target, &a.name, a.number).await.is_ok() {
                let force = BTreeMap::from([(names::FORCE_DELETE, "true")]);
                let patch = json!({"metadata": {"uid": a.worker.uid, "annotations": force}});
                // If it is gone, the attempt ends without this.
                let _ = self.workers.patch(&a.worker.name, &params(), &Patch::Merge(&patch)).await;
                break;
            }
            tokio::time::sleep(LOST_GRACE).await;
        }
        End::Lost
    }
}

/// Whose writes these are.
pub fn params() -> PatchParams {
    PatchParams { field_manager: Some(names::MANAGER.to_owned()), ..PatchParams::default() }
}

/// True while the Dispatch shows this very attempt, and it is open.
fn is_current(d: &Dispatch, a: &Attempt) -> bool {
    let same = d.metadata.uid.as_deref() == Some(&a.uid);
    let open = |s: &crate::api::DispatchStatus| {
        s.attempt == a.number && s.is_open() && s.worker.as_ref() == Some(&a.worker) && s.target.is_some()
    };
    same && !d.spec.cancel && d.status.as_ref().is_some_and(open)
}

/// As much as the API takes.
fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests;
