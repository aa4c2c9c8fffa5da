//! One attempt: run the command in the worker that the Dispatch names, decide how it ended, and report that.
//!
//! `given`: the task, and the attempt as the Dispatch showed it. `files`: what it printed. `quiet`: commands that print nothing.

mod files;
mod given;
mod quiet;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use self::files::OutputFiles;
pub use self::given::{Attempt, TaskRef};
use self::quiet::{Next, Quiet, Stopped, mark, stop};
use super::batch::attempts;
use super::batch::result::{self, TaskResult};
use super::batch::state_dirs::{self, StateDirs, StateError};
use super::batch::tasks::MAX_TASK;
use super::outcome::judge::Ended;
use super::outcome::recogniser::Recognised;
use super::outcome::{Judge, Seen, Stream, Verdict};
use super::patience::Patience;
use super::report::{Reported, report};
use super::short_rests::ShortRests;
use super::tracker::Tracker;
use super::{Error, Place};
use crate::api::Period;
use crate::api::dispatch::{Dispatch, DispatchResult, MAX_TEXT, Outcome, ReportedOutcome};
use crate::clock::Clock;
use crate::runtime::exec::{ExecError, Keep, Output, Running, Task, TaskEnd};

/// How long the runtime may take to report the death of a worker with which contact was lost. After that Lost is reported.
pub const LOST_GRACE: Duration = Duration::from_secs(20);

/// How long after the loss of contact it is reported. Usually the report of a death follows at once.
const LOST_NOTE: Duration = Duration::from_secs(2);

/// Exit code that stands for a command that was ended here: 128 + SIGKILL.
const STOPPED: i32 = 137;

/// Makes attempts. It holds what is the same for all of them.
pub struct Runner {
    /// Where the workers are.
    pub place: Place,
    /// How long its server may be away.
    pub patience: Patience,
    /// Where progress goes.
    pub tracker: Arc<Tracker>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// What the end of a command means.
    pub judge: Judge,
    /// How long a command may print nothing before it is ended. None: for ever.
    pub silence: Option<Period>,
    /// What the attempts of a task share. None: nothing.
    pub state: Option<StateDirs>,
    /// Standard input of a single command.
    pub stdin: Bytes,
    /// True: what the command prints is passed on as it arrives.
    pub live: bool,
    /// True: results outlive the run.
    pub keep: bool,
    /// How long a task lives on without contact. None: it is lost with that.
    pub keep_for: Option<Duration>,
    /// Limits that named hardly any time.
    pub short_rests: ShortRests,
    /// True once the command was started anywhere: then it is there, even if it is away for a while.
    pub command_seen: AtomicBool,
}

/// How an attempt ended, as its supervisor sees it.
#[derive(Debug)]
pub enum AttemptEnd {
    /// The command exited, and that is reported.
    Reported {
        /// True if `result.json` is written.
        recorded: bool,
    },
    /// The command cannot be run in the worker. The attempt is reported as Failed.
    NoCommand {
        /// 126 or 127.
        code: i32,
        /// What the runtime says.
        message: String,
    },
    /// The Dispatch is not at this attempt any more: nothing was started, or how it ended does not matter.
    Stale,
    /// Contact was lost. That is reported, or the runtime reports how the attempt ends.
    Lost,
    /// The run cannot go on.
    Broken(Error),
}

/// How the execution of the command ended.
enum Ran {
    Exited(Box<Exited>),
    NoCommand { code: i32, message: String },
    Stale,
    Lost(String),
}

/// Of a command that was not started.
impl From<ExecError> for Ran {
    fn from(error: ExecError) -> Self {
        match error {
            ExecError::Worker(why) => Self::Lost(why),
            ExecError::Command { message, code } => Self::NoCommand { code, message },
        }
    }
}

/// A command that exited.
struct Exited {
    code: i32,
    /// Where its result file was.
    path: String,
    /// Its number among the attempts that have files.
    place: i32,
    /// Its result file, if it left one, or why that file cannot be read.
    file: Result<Option<Vec<u8>>, String>,
    /// The end of its output.
    seen: Seen,
    /// It did not exit: it was ended, because it waited by itself.
    asleep: Option<Recognised>,
    /// It did not exit: it was ended, because it printed nothing for so long.
    silent: Option<Period>,
    started: Timestamp,
}

impl Runner {
    /// Makes one attempt.
    pub async fn attempt(&self, a: &Attempt) -> AttemptEnd {
        match self.run(a).await {
            Ok(Ran::Exited(exited)) => {
                let end = self.exited(a, &exited).await;
                // Else a run that goes on with this one needs it.
                if self.keep_for.is_some() && !matches!(end, AttemptEnd::Broken(_)) {
                    self.place.executor.release(&a.target, &exited.path).await;
                }
                end
            }
            Ok(Ran::NoCommand { code, message }) => self.no_command(a, code, message).await,
            Ok(Ran::Stale) => AttemptEnd::Stale,
            Ok(Ran::Lost(why)) => self.lost(a, &why).await,
            Err(broken) => AttemptEnd::Broken(broken),
        }
    }

    async fn run(&self, a: &Attempt) -> Result<Ran, Error> {
        let path = match self.place.executor.result_path(&a.target, &a.name, a.number).await {
            Ok(path) => path,
            Err(error) => return Ok(error.into()),
        };
        let state = match self.state_of(a).await {
            Ok(state) => state,
            Err(StateError::Worker(why)) => return Ok(Ran::Lost(why)),
            Err(StateError::Refused(error)) => return Err(error),
        };
        let mut seen = Seen::default();
        let began = a.begun_before();
        let (mut files, have) = self.files(a, began, &mut seen).map_err(|e| self.cannot_write(a, e))?;
        // The last look before the command starts: the assignment may have been taken back since.
        let prepare = async {
            if self.keep_for.is_none() {
                self.place.executor.prepare(&a.target).await;
            }
        };
        let (is_current, ()) = futures::join!(self.is_current(a), prepare);
        if !is_current? {
            return Ok(Ran::Stale);
        }
        let started = self.clock.now();
        let (Running { mut output, mut end }, was_there) = match self.start(a, self.task(a, &path, state), have).await {
            Ok(started) => started,
            Err(error) => return Ok(error.into()),
        };
        self.command_seen.store(true, Relaxed);
        if began.is_some() && !was_there {
            // What is in the files is of an attempt before.
            seen = Seen::default();
            files = self.files(a, None, &mut seen).map_err(|e| self.cannot_write(a, e))?.0;
        }
        let place = began.filter(|_| was_there).unwrap_or_else(|| a.place());
        let (mut asleep, mut silent) = (None, None);
        let mut quiet = Quiet { judge: &self.judge, clock: &*self.clock, silence: self.silence, ends_sleepers: true };
        let code = loop {
            let (piece, found) = match quiet.next(&mut output, &seen).await {
                Next::Piece(piece) => (Some(piece), None),
                Next::Asleep(found) => (None, Some(found)),
                Next::Silent => (None, None),
                Next::End => match end.await {
                    TaskEnd::Exited(code) => break code,
                    TaskEnd::Lost(why) => return Ok(Ran::Lost(why)),
                },
            };
            let Some(piece) = piece else {
                match (stop(&*self.place.executor, &a.target, &mark(a, &path), Running { output, end }).await, found) {
                    (Stopped::Ended, found) => {
                        silent = self.silence.filter(|_| found.is_none());
                        asleep = found;
                        break STOPPED;
                    }
                    (Stopped::Refused(running, why), Some(found)) => {
                        self.cannot_be_ended(a, &found, &why);
                        Running { output, end } = running;
                        quiet.ends_sleepers = false;
                        continue;
                    }
                    (Stopped::Unknown(why), Some(_)) => return Ok(Ran::Lost(format!("it waits by itself, and {why}"))),
                    (Stopped::Refused(_, why) | Stopped::Unknown(why), None) => {
                        let silence = self.silence.unwrap_or_default();
                        return Ok(Ran::Lost(format!("it was silent for {silence}, and {why}")));
                    }
                }
            };
            match &piece {
                Output::Stdout(data) => seen.feed(Stream::Stdout, data),
                Output::Stderr(data) => seen.feed(Stream::Stderr, data),
            }
            if let Some(files) = &mut files {
                files.write(&piece).map_err(|e| self.cannot_write(a, e))?;
            }
            if self.live {
                self.tracker.reporter().pass_on(&piece).await.map_err(|e| self.cannot_write(a, e))?;
            }
        };
        // It is set once, here or where there is no command. The engine may hear of the report before this attempt has ended.
        let _ = a.exited.set(code);
        let file = match self.place.executor.take_result(&a.target, &path).await {
            Ok(file) => Ok(file),
            // The worker died with its task: whether it left a result file is not known.
            Err(ExecError::Worker(why)) if self.is_worker_gone(a).await => return Ok(Ran::Lost(why)),
            // The worker lives, so the file is at fault, and with it the command.
            Err(error) => Err(error.to_string()),
        };
        let exited = Exited { code, path, place, file, seen, asleep, silent, started };
        Ok(Ran::Exited(Box::new(exited)))
    }

    /// Files for the output, and how many bytes of each stream are in them. `began`: of an attempt that an earlier run began.
    fn files(&self, a: &Attempt, began: Option<i32>, seen: &mut Seen) -> io::Result<(Option<OutputFiles>, [u64; 2])> {
        let Some(dir) = &a.task.dir else { return Ok((None, [0; 2])) };
        match began {
            Some(number) => OutputFiles::reopen(dir, number, seen).map(|(files, have)| (Some(files), have)),
            None => Ok((Some(OutputFiles::create(dir, self.keep.then(|| a.place()))?), [0; 2])),
        }
    }

    /// Starts the command, or attaches to it. True: it was there.
    async fn start(&self, a: &Attempt, task: Task, have: [u64; 2]) -> Result<(Running, bool), ExecError> {
        let executor = &self.place.executor;
        let Some(lasts) = self.keep_for else { return Ok((executor.exec(&a.target, task).await?, false)) };
        let (tracker, of) = (self.tracker.clone(), format!("{} attempt {}: ", a.task.id, a.number));
        let note = Arc::new(move |text: String| tracker.note(format!("{of}{text}")));
        executor.exec_durable(&a.target, task, Keep { lasts, again: a.again, have, note }).await
    }

    /// The directory that the attempts of the task share, as its worker sees it.
    async fn state_of(&self, a: &Attempt) -> Result<Option<String>, StateError> {
        let Some(dirs) = &self.state else { return Ok(None) };
        dirs.of_task(&*self.place.executor, &a.target, &a.task.id).await.map(Some)
    }

    fn task(&self, a: &Attempt, result_path: &str, state: Option<String>) -> Task {
        let mut env: Vec<(String, String)> = [
            ("POOLKEEPER_TASK_ID", a.task.id.as_str()),
            ("POOLKEEPER_ATTEMPT", &a.number.to_string()),
            ("POOLKEEPER_WORKER", &a.worker.name),
            ("POOLKEEPER_RESULT", result_path),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        env.extend(state.map(|path| (state_dirs::VARIABLE.to_owned(), path)));
        let stdin = match &a.task.text {
            None => self.stdin.clone(),
            Some(text) => {
                // A larger one comes on standard input alone.
                if text.len() <= MAX_TASK {
                    env.push(("TASK".to_owned(), text.clone()));
                }
                Bytes::from(format!("{text}\n"))
            }
        };
        Task { argv: self.command.clone(), env, stdin, working_dir: None }
    }

    fn cannot_be_ended(&self, a: &Attempt, found: &Recognised, why: &str) {
        let (task, number, line) = (&a.task.id, a.number, &found.line);
        self.tracker.note(format!(
            "{task} attempt {number} waits by itself, and cannot be ended: {why}. Its last line: {line}"
        ));
    }

    fn cannot_write(&self, a: &Attempt, error: io::Error) -> Error {
        let what = match &a.task.dir {
            Some(dir) if !self.live => format!("cannot keep the output of {} in {}", a.task.id, dir.display()),
            _ => "cannot pass on the output".to_owned(),
        };
        Error::write(what, error)
    }

    async fn is_current(&self, a: &Attempt) -> Result<bool, Error> {
        let dispatches = &self.place.dispatches();
        let now = self.patience.repeat("looking for a task", || dispatches.get_opt(&a.name)).await?;
        Ok(now.is_some_and(|d| is_current(&d, a)))
    }

    async fn is_worker_gone(&self, a: &Attempt) -> bool {
        // A worker that is there answers even for an attempt that never was.
        self.place.executor.result_path(&a.target, &a.name, 0).await.is_err()
    }

    async fn exited(&self, a: &Attempt, exited: &Exited) -> AttemptEnd {
        let Exited { code, file, seen, asleep, silent, .. } = exited;
        let file = file.as_ref().map(Option::as_deref).map_err(String::as_str);
        let at = self.judge.moment(&*self.clock);
        let mut verdict =
            self.judge.decide(Ended { exit_code: *code, file, seen, asleep: asleep.as_ref(), silent: *silent }, &at);
        self.short_rests.lengthen(&a.worker.name, &mut verdict);
        let Verdict { outcome, retry_after, message, .. } = verdict;
        let report = DispatchResult { attempt: a.number, outcome, retry_after, message: message.map(|m| cut(&m)) };
        if let Some(spent) = self.judge.recogniser.spent(seen) {
            // It is set once: an attempt ends once.
            let _ = a.spent.set(spent);
        }
        // A task that will be retried has no result yet.
        let ended = matches!(outcome, ReportedOutcome::Succeeded) || (outcome == ReportedOutcome::Failed && a.last_try);
        if let Err(error) = self.record(a, exited, &report, ended) {
            return AttemptEnd::Broken(self.cannot_write(a, error));
        }
        self.report(a, &report, AttemptEnd::Reported { recorded: ended }).await
    }

    async fn no_command(&self, a: &Attempt, code: i32, message: String) -> AttemptEnd {
        let _ = a.exited.set(code);
        let report = DispatchResult {
            attempt: a.number,
            outcome: ReportedOutcome::Failed,
            retry_after: None,
            message: Some(cut(&message)),
        };
        self.report(a, &report, AttemptEnd::NoCommand { code, message }).await
    }

    /// Writes the result of the attempt, which is that of its task if `is_last`.
    fn record(&self, a: &Attempt, exited: &Exited, report: &DispatchResult, is_last: bool) -> io::Result<()> {
        let Some(dir) = a.task.dir.as_ref().filter(|_| self.keep) else { return Ok(()) };
        let result = TaskResult {
            id: a.task.id.clone(),
            hash: result::hash(a.task.text.as_deref(), &self.command),
            outcome: Outcome::from(report.outcome),
            exit_code: Some(exited.code),
            message: report.message.clone(),
            spent: a.spent.get().copied(),
            attempts: a.number,
            worker: Some(a.worker.name.clone()),
            started_at: Some(exited.started),
            finished_at: self.clock.now(),
        };
        result.write(&attempts::dir(dir, exited.place))?;
        if is_last { attempts::show(dir, exited.place, result::FILE) } else { Ok(()) }
    }

    async fn report(&self, a: &Attempt, result: &DispatchResult, end: AttemptEnd) -> AttemptEnd {
        let (dispatches, what) = (&self.place.dispatches(), format!("cannot report on {}", a.task.id));
        match self.patience.repeat(&what, || report(dispatches, &a.name, &a.uid, result)).await {
            Ok(Reported::Accepted) => end,
            Ok(Reported::Stale) => AttemptEnd::Stale,
            Err(error) => AttemptEnd::Broken(error),
        }
    }

    /// Contact was lost. If the worker died, the runtime says so, and the attempt ends as WorkerLost. If it lives, the task
    /// may still run in it, or begin: so Lost is reported, and the controller removes the worker.
    async fn lost(&self, a: &Attempt, why: &str) -> AttemptEnd {
        tokio::time::sleep(LOST_NOTE).await;
        let note = format!("{} attempt {}: contact with {} is lost: {why}", a.task.id, a.number, a.worker.name);
        self.tracker.note(note);
        tokio::time::sleep(LOST_GRACE.saturating_sub(LOST_NOTE)).await;
        while let Ok(true) = self.is_current(a).await {
            // While the worker's host is not reached either, nothing more is known: its death is reported later.
            if self.place.executor.reaches_host(&a.target).await {
                let report = DispatchResult {
                    attempt: a.number,
                    outcome: ReportedOutcome::Lost,
                    retry_after: None,
                    message: Some(cut(&format!("contact was lost: {why}"))),
                };
                return self.report(a, &report, AttemptEnd::Lost).await;
            }
            tokio::time::sleep(LOST_GRACE).await;
        }
        AttemptEnd::Lost
    }
}

/// True while the Dispatch is at this very attempt, and the attempt is open.
fn is_current(d: &Dispatch, a: &Attempt) -> bool {
    let same = d.metadata.uid.as_deref() == Some(&a.uid);
    let open = |s: &crate::api::DispatchStatus| {
        s.attempt == a.number && s.is_open() && s.worker.as_ref() == Some(&a.worker) && s.target.is_some()
    };
    same && !d.spec.cancel && d.status.as_ref().is_some_and(open)
}

/// As much of a message as the API takes.
fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests;
