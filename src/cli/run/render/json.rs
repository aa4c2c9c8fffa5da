//! Progress and sums as JSON objects for programs.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::output;
use crate::supervisor::progress::Progress;
use crate::supervisor::summary::Summary;

/// One step as an object. Absent fields are left out.
pub fn step(progress: &Progress, now: Timestamp) -> Value {
    let mut value = match progress {
        Progress::Run {
            run_id,
            pool,
            runtime,
            scope,
            workers,
            tasks,
            more_come,
            skipped,
            skipped_failed,
            spent_before: _,
        } => json!({
            "event": "run", "runId": run_id, "pool": pool, "runtime": runtime, "scope": scope, "workers": workers,
            "tasks": tasks.filter(|_| !more_come),
            "skipped": skipped, "skippedFailed": skipped_failed,
        }),
        Progress::Came { task } => json!({"event": "came", "task": task}),
        Progress::Mistake { message } => json!({"event": "note", "message": message}),
        Progress::Started { task, attempt, worker, files } => {
            json!({"event": "started", "task": task, "attempt": attempt, "worker": worker, "files": files})
        }
        Progress::Ended { task, attempt, worker, outcome, exit_code, message, took, until, spent, files } => json!({
            "event": "ended", "task": task, "attempt": attempt, "worker": worker, "outcome": outcome,
            "exitCode": exit_code, "message": message, "seconds": took.as_secs_f64(), "restsUntil": until,
            "spent": spent, "files": files,
        }),
        Progress::Task { task, outcome, attempts } => {
            json!({"event": "task", "task": task, "outcome": outcome, "attempts": attempts})
        }
        Progress::WorkerReady { worker, credential } => {
            json!({"event": "workerReady", "worker": worker, "credential": credential})
        }
        Progress::WorkerGone { worker } => json!({"event": "workerGone", "worker": worker}),
        Progress::StartFailed { failures, message } => {
            json!({"event": "startFailed", "failures": failures, "message": message})
        }
        Progress::Note { text } => json!({"event": "note", "message": text}),
    };
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, field| !field.is_null());
        object.insert("time".to_owned(), json!(now));
    }
    value
}

/// An object as text on one line.
pub fn text(value: &Value) -> String {
    output::escape_json(&value.to_string())
}

/// The sums of a run as an object.
pub fn summary(s: &Summary, now: Timestamp, took: Duration) -> Value {
    let workers: Vec<Value> = s
        .workers()
        .map(|(name, row)| {
            json!({
                "worker": name, "attempts": row.attempts, "rateLimits": row.limits,
                "workedSeconds": row.worked.as_secs_f64(), "restedSeconds": row.rested(now).as_secs_f64(),
            })
        })
        .collect();
    let outcomes: Vec<Value> = s
        .outcomes()
        .map(|(outcome, row)| json!({"outcome": outcome, "attempts": row.attempts, "spent": row.spent}))
        .collect();
    json!({
        "event": "summary", "time": now, "seconds": took.as_secs_f64(), "tasks": s.tasks.unwrap_or(1),
        "succeeded": s.succeeded, "failed": s.failed, "rateLimited": s.rate_limited, "notRun": s.left(),
        "skipped": s.skipped, "skippedFailed": s.skipped_failed, "attempts": s.attempts, "rateLimits": s.limits, "workers": workers,
        "outcomes": outcomes, "spent": s.spent(), "spentBefore": s.spent_before,
    })
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::ended;
    use super::*;
    use crate::api::RuntimeKind;
    use crate::api::dispatch::Outcome;
    use crate::api::pool::Scope;

    #[test]
    fn objects_carry_the_same_and_no_nulls() {
        let value = step(&ended(Outcome::RateLimited), Timestamp::UNIX_EPOCH);
        assert_eq!(
            value,
            json!({
                "event": "ended", "time": "1970-01-01T00:00:00Z", "task": "line-3", "attempt": 1, "worker": "pool-0",
                "outcome": "RateLimited", "exitCode": 75, "message": "exit code 75\nsecond line", "seconds": 0.24,
                "restsUntil": "1970-01-01T00:00:02Z", "files": "line-3/attempt-1",
            })
        );
        let run = Progress::Run {
            run_id: "x".into(),
            pool: "p".into(),
            runtime: RuntimeKind::Process,
            scope: Scope::Worker,
            workers: 1,
            tasks: None,
            more_come: false,
            skipped: 0,
            skipped_failed: 0,
            spent_before: crate::supervisor::spent::Spent::default(),
        };
        assert_eq!(step(&run, Timestamp::UNIX_EPOCH).get("tasks"), None);
    }
}
