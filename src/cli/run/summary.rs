//! What a run came to.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::event::{Event, count, time};
use crate::api::dispatch::Outcome;
use crate::api::names;
use crate::cli::exit::Exit;

/// Sums over what happened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Tasks that there were. None: a single command.
    pub tasks: Option<u64>,
    /// Tasks that an earlier run had done.
    pub skipped: u64,
    /// Tasks that succeeded.
    pub succeeded: u64,
    /// Tasks that ended otherwise, but for the next.
    pub failed: u64,
    /// Tasks that were ended while they waited for a rest to end.
    pub rate_limited: u64,
    /// Attempts of all tasks.
    pub attempts: u64,
    /// Attempts that met a rate limit.
    pub limits: u64,
    workers: BTreeMap<(i32, String), Row>,
}

/// What one worker did. Of several with the same name, all.
#[derive(Debug, Clone, Default, PartialEq)]
struct Row {
    attempts: u64,
    limits: u64,
    worked: Duration,
    rests: Vec<(Timestamp, Timestamp)>,
}

impl Row {
    /// Time at rest up to `now`. Rests may overlap: a later one is counted from the end of the one before.
    fn rested(&self, now: Timestamp) -> Duration {
        let mut last = Timestamp::MIN;
        let mut sum = Duration::ZERO;
        for (from, until) in &self.rests {
            let (from, until) = ((*from).max(last), (*until).min(now));
            if from < until {
                sum += Duration::try_from(until.duration_since(from)).unwrap_or_default();
                last = until;
            }
        }
        sum
    }
}

impl Summary {
    /// Takes in one step, seen at `now`.
    pub fn add(&mut self, event: &Event, now: Timestamp) {
        match event {
            Event::Run { tasks, skipped, .. } => (self.tasks, self.skipped) = (*tasks, *skipped),
            Event::Started { worker, .. } => {
                self.attempts += 1;
                self.row(worker).attempts += 1;
            }
            Event::Ended { worker, outcome, took, until, .. } => {
                let limited = *outcome == Outcome::RateLimited;
                self.limits += u64::from(limited);
                let row = self.row(worker);
                row.worked += *took;
                row.limits += u64::from(limited);
                row.rests.extend(until.filter(|until| limited && *until > now).map(|until| (now, until)));
            }
            Event::Task { outcome, .. } => match outcome {
                Outcome::Succeeded => self.succeeded += 1,
                Outcome::RateLimited => self.rate_limited += 1,
                _ => self.failed += 1,
            },
            _ => {}
        }
    }

    fn row(&mut self, worker: &str) -> &mut Row {
        // By ordinal, so that pool-10 comes after pool-9.
        let ordinal = worker.rsplit_once('-').and_then(|(pool, _)| names::ordinal(pool, worker)).unwrap_or(i32::MAX);
        self.workers.entry((ordinal, worker.to_owned())).or_default()
    }

    /// Tasks that were never ended.
    pub fn left(&self) -> u64 {
        self.tasks.unwrap_or_default().saturating_sub(self.succeeded + self.failed + self.rate_limited)
    }

    /// Exit code of a batch that was not broken off.
    pub const fn exit(&self) -> Exit {
        match (self.failed, self.rate_limited) {
            (0, 0) => Exit::Success,
            (0, _) => Exit::RateLimited,
            _ => Exit::Failed,
        }
    }

    /// For people: what became of the tasks, and a row for each worker.
    pub fn text(&self, now: Timestamp, took: Duration) -> String {
        let mut parts = Vec::new();
        if self.tasks.is_some() {
            parts.push(format!("{} succeeded", self.succeeded));
            let others = [
                (self.failed, "failed"),
                (self.rate_limited, "rate limited"),
                (self.left(), "not run"),
                (self.skipped, "done before"),
            ];
            parts.extend(others.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")));
        }
        let rested: Duration = self.workers.values().map(|row| row.rested(now)).sum();
        let total = format!(
            "{} in {}; {}, {} met, {} rested",
            if parts.is_empty() { "1 command".to_owned() } else { format!("tasks: {}", parts.join(", ")) },
            time(took),
            count(self.attempts, "attempt"),
            count(self.limits, "rate limit"),
            time(rested),
        );
        if self.workers.is_empty() {
            return total;
        }
        let mut rows = vec![["worker", "attempts", "rate limits", "worked", "rested"].map(str::to_owned)];
        rows.extend(self.workers.iter().map(|((_, name), row)| {
            [name.clone(), row.attempts.to_string(), row.limits.to_string(), time(row.worked), time(row.rested(now))]
        }));
        format!("{total}\n{}", table(&rows))
    }

    /// For programs.
    pub fn json(&self, now: Timestamp, took: Duration) -> Value {
        let workers: Vec<Value> = self
            .workers
            .iter()
            .map(|((_, name), row)| {
                json!({
                    "worker": name, "attempts": row.attempts, "rateLimits": row.limits,
                    "workedSeconds": row.worked.as_secs_f64(), "restedSeconds": row.rested(now).as_secs_f64(),
                })
            })
            .collect();
        json!({
            "event": "summary", "time": now, "seconds": took.as_secs_f64(), "tasks": self.tasks.unwrap_or(1),
            "succeeded": self.succeeded, "failed": self.failed, "rateLimited": self.rate_limited, "notRun": self.left(),
            "skipped": self.skipped, "attempts": self.attempts, "rateLimits": self.limits, "workers": workers,
        })
    }
}

/// Columns under each other: the first to the left, the others to the right.
fn table(rows: &[[String; 5]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).enumerate();
        cells
            .map(|(i, (cell, w))| if i == 0 { format!("{cell:<w$}") } else { format!("  {cell:>w$}") })
            .collect::<String>()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ended(worker: &str, outcome: Outcome, until: Option<i64>) -> Event {
        Event::Ended {
            task: "t".into(),
            attempt: 1,
            worker: worker.into(),
            outcome,
            exit_code: None,
            message: None,
            took: Duration::from_secs(1),
            until: until.map(at),
        }
    }

    fn started(worker: &str) -> Event {
        Event::Started { task: "t".into(), attempt: 1, worker: worker.into() }
    }

    fn task(outcome: Outcome) -> Event {
        Event::Task { task: "t".into(), outcome, attempts: 1 }
    }

    #[test]
    fn it_adds_up() {
        let mut s = Summary { tasks: Some(4), ..Summary::default() };
        for (event, now) in [
            (started("pool-10"), 0),
            (started("pool-9"), 0),
            (ended("pool-9", Outcome::RateLimited, Some(12)), 2),
            (ended("pool-10", Outcome::Succeeded, None), 2),
            (task(Outcome::Succeeded), 2),
            (started("pool-9"), 12),
            (ended("pool-9", Outcome::RateLimited, Some(99)), 13),
            (task(Outcome::RateLimited), 15),
        ] {
            s.add(&event, at(now));
        }
        assert_eq!((s.attempts, s.limits, s.left(), s.exit()), (3, 2, 2, Exit::RateLimited));
        assert_eq!(
            s.text(at(20), Duration::from_secs(20)),
            "tasks: 1 succeeded, 1 rate limited, 2 not run in 20s; 3 attempts, 2 rate limits met, 17s rested\n\
             worker   attempts  rate limits  worked  rested\n\
             pool-9          2            2      2s     17s\n\
             pool-10         1            0      1s      0s"
        );
        assert_eq!(s.json(at(20), Duration::ZERO)["workers"][0]["restedSeconds"], 17.0);
        s.add(&task(Outcome::WorkerLost), at(20));
        assert_eq!((s.failed, s.exit()), (1, Exit::Failed));
    }

    #[test]
    fn rests_that_overlap_are_counted_once() {
        let row = Row { rests: vec![(at(0), at(10)), (at(5), at(12)), (at(20), at(30))], ..Row::default() };
        assert_eq!(row.rested(at(25)), Duration::from_secs(17));
    }
}
