//! Progress and sums as lines for people.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::dispatch::Outcome;
use crate::cli::output::escape;
use crate::supervisor::progress::Progress;
use crate::supervisor::spent::Spent;
use crate::supervisor::summary::Summary;

/// One step as a line for people. None: it is not worth a line.
pub fn line(progress: &Progress, now: Timestamp) -> Option<String> {
    Some(match progress {
        Progress::Run { more_come: true, workers, runtime, .. } => {
            format!("tasks as they come; up to {} ({runtime})", count(i64::from(*workers), "worker"))
        }
        Progress::Mistake { message } => format!("{message}; the run goes on with the tasks after that"),
        Progress::Run { tasks: Some(tasks), skipped, skipped_failed, workers, runtime, .. } => {
            let done =
                if *skipped > 0 { format!(", {}", done_before(*skipped, *skipped_failed)) } else { String::new() };
            format!(
                "{} to run{done}; up to {} ({runtime})",
                count(*tasks, "task"),
                count(i64::from(*workers), "worker")
            )
        }
        Progress::Run { .. }
        | Progress::Came { .. }
        | Progress::Task { .. }
        | Progress::WorkerReady { .. }
        | Progress::WorkerGone { .. } => {
            return None;
        }
        Progress::Started { task, attempt, worker, .. } => format!("{} attempt {attempt} → {worker}", escape(task)),
        Progress::Ended { task, attempt, worker, outcome, message, took, until, .. } => {
            let task = escape(task);
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
                Outcome::Overloaded => format!("{task} attempt {attempt} met an overloaded service on {worker}{why}"),
                Outcome::WorkerLost => format!("{task} attempt {attempt} lost with {worker}{why}"),
                Outcome::Lost => format!("{task} attempt {attempt} lost on {worker}{why}"),
                Outcome::TimedOut => {
                    format!("{task} attempt {attempt} timed out on {worker} after {}", time(*took))
                }
                Outcome::Cancelled => format!("{task} attempt {attempt} stopped on {worker} after {}", time(*took)),
                _ => format!("{task} attempt {attempt} failed on {worker}{why}"),
            }
        }
        Progress::StartFailed { failures, message } => format!("worker start {failures} failed: {message}"),
        Progress::Note { text } => text.clone(),
    })
}

/// True for what the user of a single command wants to know without having asked for progress.
pub fn is_unusual(progress: &Progress) -> bool {
    match progress {
        Progress::Ended { outcome, .. } => {
            !matches!(outcome, Outcome::Succeeded | Outcome::Failed | Outcome::Cancelled)
        }
        Progress::StartFailed { .. } | Progress::Note { .. } | Progress::Mistake { .. } => true,
        _ => false,
    }
}

/// The sums of a run for people: what became of the tasks, and a row for each worker.
pub fn summary(s: &Summary, now: Timestamp, took: Duration) -> String {
    let mut parts = Vec::new();
    if s.tasks.is_some() {
        parts.push(format!("{} succeeded", s.succeeded));
        let others = [(s.failed, "failed"), (s.rate_limited, "rate limited"), (s.left(), "not run")];
        parts.extend(others.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")));
        parts.extend((s.skipped > 0).then(|| done_before(s.skipped, s.skipped_failed)));
    }
    let rested: Duration = s.workers().map(|(_, sums)| sums.rested(now)).sum();
    let total = format!(
        "{} in {}; {}, {} met, {} rested",
        if parts.is_empty() { "1 command".to_owned() } else { format!("tasks: {}", parts.join(", ")) },
        time(took),
        count(s.attempts, "attempt"),
        count(s.limits, "rate limit"),
        time(rested),
    );
    if s.workers().next().is_none() {
        return total;
    }
    let spent = spent(s).map(|table| format!("{table}\n")).unwrap_or_default();
    let mut rows = vec![["worker", "attempts", "rate limits", "worked", "rested"].map(str::to_owned)];
    rows.extend(s.workers().map(|(name, row)| {
        [name.to_owned(), row.attempts.to_string(), row.limits.to_string(), time(row.worked), time(row.rested(now))]
    }));
    format!("{total}\n{spent}{}", table(&rows))
}

/// What it cost: a row for each outcome, and one for all. None: no program said so.
fn spent(s: &Summary) -> Option<String> {
    if s.spent().is_nothing() && s.spent_before.is_nothing() {
        return None;
    }
    let row = |name: String, attempts: String, spent: Spent| {
        let cost = if spent.cost_usd.is_zero() { "-".to_owned() } else { spent.cost_usd.to_string() };
        [name, attempts, cost, spent.input_tokens.to_string(), spent.output_tokens.to_string()]
    };
    let mut rows = vec![["outcome", "attempts", "cost", "tokens in", "tokens out"].map(str::to_owned)];
    rows.extend(s.outcomes().map(|(outcome, sums)| row(outcome.to_string(), sums.attempts.to_string(), sums.spent)));
    if !s.spent_before.is_nothing() {
        rows.push(row("earlier runs".to_owned(), "-".to_owned(), s.spent_before));
    }
    rows.push(row("in all".to_owned(), s.attempts.to_string(), s.spent().plus(s.spent_before)));
    Some(table(&rows))
}

/// Aligns columns: the first to the left, the others to the right.
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

/// `3 done before`, `3 done before (1 failed)`.
fn done_before(skipped: u64, failed: u64) -> String {
    format!("{skipped} done before{}", if failed > 0 { format!(" ({failed} failed)") } else { String::new() })
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
pub(crate) mod tests {
    use super::super::json;
    use super::*;
    use crate::api::RuntimeKind;
    use crate::api::pool::Scope;
    use crate::cli::exit::Exit;

    pub(crate) fn ended(outcome: Outcome) -> Progress {
        Progress::Ended {
            task: "line-3".into(),
            attempt: 1,
            worker: "pool-0".into(),
            outcome,
            exit_code: Some(75),
            message: Some("exit code 75\nsecond line".into()),
            took: Duration::from_millis(240),
            until: Some(Timestamp::UNIX_EPOCH + Duration::from_secs(2)),
            spent: None,
            files: Some("line-3/attempt-1".into()),
        }
    }

    #[test]
    fn lines_say_what_happened_and_what_follows() {
        let line = |p: Progress| super::line(&p, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(line(ended(Outcome::RateLimited)), "line-3 attempt 1 rate limited; pool-0 rests 2s");
        assert_eq!(line(ended(Outcome::Succeeded)), "line-3 attempt 1 succeeded on pool-0 in 0.2s");
        assert_eq!(line(ended(Outcome::Failed)), "line-3 attempt 1 failed on pool-0: exit code 75 second line");
        let run = Progress::Run {
            run_id: "x".into(),
            pool: "p".into(),
            runtime: RuntimeKind::Process,
            scope: Scope::Worker,
            workers: 1,
            tasks: Some(2),
            skipped: 3,
            more_come: false,
            skipped_failed: 0,
            spent_before: Spent::default(),
        };
        assert_eq!(line(run), "2 tasks to run, 3 done before; up to 1 worker (Process)");
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ended_on(worker: &str, outcome: Outcome, until: Option<i64>) -> Progress {
        Progress::Ended {
            task: "t".into(),
            attempt: 1,
            worker: worker.into(),
            outcome,
            exit_code: None,
            message: None,
            took: Duration::from_secs(1),
            until: until.map(at),
            spent: None,
            files: None,
        }
    }

    fn started(worker: &str) -> Progress {
        Progress::Started { task: "t".into(), attempt: 1, worker: worker.into(), files: None }
    }

    fn task(outcome: Outcome) -> Progress {
        Progress::Task { task: "t".into(), outcome, attempts: 1 }
    }

    #[test]
    fn it_adds_up() {
        let mut s = Summary::default();
        s.tasks = Some(4);
        for (event, now) in [
            (started("pool-10"), 0),
            (started("pool-9"), 0),
            (ended_on("pool-9", Outcome::RateLimited, Some(12)), 2),
            (ended_on("pool-10", Outcome::Succeeded, None), 2),
            (task(Outcome::Succeeded), 2),
            (started("pool-9"), 12),
            (ended_on("pool-9", Outcome::RateLimited, Some(99)), 13),
            (task(Outcome::RateLimited), 15),
        ] {
            s.add(&event, at(now));
        }
        assert_eq!((s.attempts, s.limits, s.left(), Exit::of_batch(&s)), (3, 2, 2, Exit::RateLimited));
        assert_eq!(
            summary(&s, at(20), Duration::from_secs(20)),
            "tasks: 1 succeeded, 1 rate limited, 2 not run in 20s; 3 attempts, 2 rate limits met, 17s rested\n\
             worker   attempts  rate limits  worked  rested\n\
             pool-9          2            2      2s     17s\n\
             pool-10         1            0      1s      0s"
        );
        assert_eq!(json::summary(&s, at(20), Duration::ZERO)["workers"][0]["restedSeconds"], 17.0);
        s.add(&task(Outcome::WorkerLost), at(20));
        assert_eq!((s.failed, Exit::of_batch(&s)), (1, Exit::Failed));
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
