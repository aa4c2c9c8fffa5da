//! What happens in a run, as it is told: as a line for people, or as a JSON object for programs.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::RuntimeKind;
use crate::api::dispatch::Outcome;

/// One step of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It begins.
    Run {
        /// Its id.
        run_id: String,
        /// Name of the pool.
        pool: String,
        /// What its workers are.
        runtime: RuntimeKind,
        /// Most workers.
        workers: i32,
        /// Tasks to be run. None: a single command.
        tasks: Option<u64>,
        /// Tasks that an earlier run has done.
        skipped: u64,
    },
    /// An attempt starts.
    Started {
        /// Id of the task.
        task: String,
        /// From 1.
        attempt: i32,
        /// Worker that runs it.
        worker: String,
    },
    /// An attempt has ended.
    Ended {
        /// Id of the task.
        task: String,
        /// From 1.
        attempt: i32,
        /// Worker that ran it.
        worker: String,
        /// How it ended.
        outcome: Outcome,
        /// Exit code of the command, if it was seen to exit.
        exit_code: Option<i32>,
        /// What was reported.
        message: Option<String>,
        /// How long it took.
        took: Duration,
        /// Until when its worker, or its credential, rests.
        until: Option<Timestamp>,
    },
    /// A task is over.
    Task {
        /// Id of the task.
        task: String,
        /// How its last attempt ended.
        outcome: Outcome,
        /// How many there were.
        attempts: i32,
    },
    /// A worker came up.
    WorkerReady {
        /// Its name.
        worker: String,
    },
    /// A worker is gone, or going.
    WorkerGone {
        /// Its name.
        worker: String,
    },
    /// Workers do not start.
    StartFailed {
        /// How often in a row.
        failures: i32,
        /// What the runtime says, and what to set.
        message: String,
    },
    /// Anything else that a person should know.
    Note {
        /// In words.
        text: String,
    },
}

impl Event {
    /// For people. None: not worth a line.
    pub fn line(&self, now: Timestamp) -> Option<String> {
        Some(match self {
            Self::Run { tasks: Some(tasks), skipped, workers, runtime, .. } => {
                let done = if *skipped > 0 { format!(", {skipped} done before") } else { String::new() };
                format!(
                    "{} to run{done}; up to {} ({runtime})",
                    count(*tasks, "task"),
                    count(i64::from(*workers), "worker")
                )
            }
            Self::Run { .. } | Self::Task { .. } | Self::WorkerReady { .. } | Self::WorkerGone { .. } => return None,
            Self::Started { task, attempt, worker } => format!("{task} attempt {attempt} → {worker}"),
            Self::Ended { task, attempt, worker, outcome, message, took, until, .. } => {
                let message = message.as_deref().map(one_line).unwrap_or_default();
                let why = if message.is_empty() { String::new() } else { format!(": {message}") };
                match outcome {
                    Outcome::Succeeded => format!("{task} attempt {attempt} succeeded on {worker} in {}", time(*took)),
                    Outcome::RateLimited => {
                        format!("{task} attempt {attempt} rate limited; {worker} rests {}", rest(*until, now))
                    }
                    Outcome::Unauthorized => {
                        format!("{task} attempt {attempt} refused as unauthorized on {worker}{why}")
                    }
                    Outcome::WorkerLost => format!("{task} attempt {attempt} lost with {worker}{why}"),
                    Outcome::TimedOut => {
                        format!("{task} attempt {attempt} timed out on {worker} after {}", time(*took))
                    }
                    Outcome::Cancelled => format!("{task} attempt {attempt} stopped on {worker} after {}", time(*took)),
                    _ => format!("{task} attempt {attempt} failed on {worker}{why}"),
                }
            }
            Self::StartFailed { failures, message } => format!("worker start {failures} failed: {message}"),
            Self::Note { text } => text.clone(),
        })
    }

    /// True if a single command's user wants to know although nothing was asked for.
    pub fn is_unusual(&self) -> bool {
        match self {
            Self::Ended { outcome, .. } => {
                !matches!(outcome, Outcome::Succeeded | Outcome::Failed | Outcome::Cancelled)
            }
            Self::StartFailed { .. } | Self::Note { .. } => true,
            _ => false,
        }
    }

    /// For programs: one object, `time` and `event` first, absent fields left out.
    pub fn json(&self, now: Timestamp) -> Value {
        let mut value = match self {
            Self::Run { run_id, pool, runtime, workers, tasks, skipped } => json!({
                "event": "run", "runId": run_id, "pool": pool, "runtime": runtime, "workers": workers, "tasks": tasks,
                "skipped": skipped,
            }),
            Self::Started { task, attempt, worker } => {
                json!({"event": "started", "task": task, "attempt": attempt, "worker": worker})
            }
            Self::Ended { task, attempt, worker, outcome, exit_code, message, took, until } => json!({
                "event": "ended", "task": task, "attempt": attempt, "worker": worker, "outcome": outcome,
                "exitCode": exit_code, "message": message, "seconds": took.as_secs_f64(), "restsUntil": until,
            }),
            Self::Task { task, outcome, attempts } => {
                json!({"event": "task", "task": task, "outcome": outcome, "attempts": attempts})
            }
            Self::WorkerReady { worker } => json!({"event": "workerReady", "worker": worker}),
            Self::WorkerGone { worker } => json!({"event": "workerGone", "worker": worker}),
            Self::StartFailed { failures, message } => {
                json!({"event": "startFailed", "failures": failures, "message": message})
            }
            Self::Note { text } => json!({"event": "note", "message": text}),
        };
        if let Some(object) = value.as_object_mut() {
            object.retain(|_, field| !field.is_null());
            object.insert("time".to_owned(), json!(now));
        }
        value
    }
}

fn rest(until: Option<Timestamp>, now: Timestamp) -> String {
    until.map_or_else(|| "no time".to_owned(), |until| time(until.duration_since(now).try_into().unwrap_or_default()))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `1 task`, `2 tasks`.
pub fn count<N: Into<i128>>(n: N, word: &str) -> String {
    let n = n.into();
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

/// A length of time for people: `0.2s`, `2s`, `1m30s`, `2h5m`.
pub fn time(d: Duration) -> String {
    let tenths = (d.as_millis() + 50) / 100;
    let (s, tenth) = (tenths / 10, tenths % 10);
    match s {
        0..10 if tenth > 0 => format!("{s}.{tenth}s"),
        0..60 => format!("{s}s"),
        60..3600 if s % 60 == 0 => format!("{}m", s / 60),
        60..3600 => format!("{}m{}s", s / 60, s % 60),
        _ if s / 60 % 60 == 0 => format!("{}h", s / 3600),
        _ => format!("{}h{}m", s / 3600, s / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(outcome: Outcome) -> Event {
        Event::Ended {
            task: "line-3".into(),
            attempt: 1,
            worker: "pool-0".into(),
            outcome,
            exit_code: Some(75),
            message: Some("exit code 75\nsecond line".into()),
            took: Duration::from_millis(240),
            until: Some(Timestamp::UNIX_EPOCH + Duration::from_secs(2)),
        }
    }

    #[test]
    fn lines_say_what_happened_and_what_follows() {
        let line = |e: Event| e.line(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(line(ended(Outcome::RateLimited)), "line-3 attempt 1 rate limited; pool-0 rests 2s");
        assert_eq!(line(ended(Outcome::Succeeded)), "line-3 attempt 1 succeeded on pool-0 in 0.2s");
        assert_eq!(line(ended(Outcome::Failed)), "line-3 attempt 1 failed on pool-0: exit code 75 second line");
        let run = Event::Run {
            run_id: "x".into(),
            pool: "p".into(),
            runtime: RuntimeKind::Process,
            workers: 1,
            tasks: Some(2),
            skipped: 3,
        };
        assert_eq!(line(run), "2 tasks to run, 3 done before; up to 1 worker (Process)");
    }

    #[test]
    fn objects_carry_the_same_and_no_nulls() {
        let value = ended(Outcome::RateLimited).json(Timestamp::UNIX_EPOCH);
        assert_eq!(
            value,
            json!({
                "event": "ended", "time": "1970-01-01T00:00:00Z", "task": "line-3", "attempt": 1, "worker": "pool-0",
                "outcome": "RateLimited", "exitCode": 75, "message": "exit code 75\nsecond line", "seconds": 0.24,
                "restsUntil": "1970-01-01T00:00:02Z",
            })
        );
        let run = Event::Run {
            run_id: "x".into(),
            pool: "p".into(),
            runtime: RuntimeKind::Process,
            workers: 1,
            tasks: None,
            skipped: 0,
        };
        assert_eq!(run.json(Timestamp::UNIX_EPOCH).get("tasks"), None);
    }

    #[test]
    fn times_are_short() {
        for (ms, text) in [
            (0, "0s"),
            (240, "0.2s"),
            (2_000, "2s"),
            (9_960, "10s"),
            (10_400, "10s"),
            (90_000, "1m30s"),
            (120_000, "2m"),
            (7_500_000, "2h5m"),
            (7_200_000, "2h"),
        ] {
            assert_eq!(time(Duration::from_millis(ms)), text);
        }
    }
}
