//! The sums of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::progress::Progress;
use super::spent::Spent;
use crate::api::dispatch::Outcome;
use crate::api::names;

/// Sums over the progress of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// How many tasks there are to run. None for a single command.
    pub tasks: Option<u64>,
    /// Tasks that an earlier run finished.
    pub skipped: u64,
    /// Those of them that failed or took too long.
    pub skipped_failed: u64,
    /// Tasks that succeeded.
    pub succeeded: u64,
    /// Tasks that ended otherwise, except those that are rate limited.
    pub failed: u64,
    /// Tasks whose time was over while they waited for a rest to end.
    pub rate_limited: u64,
    /// Attempts of all tasks.
    pub attempts: u64,
    /// Attempts that met a rate limit.
    pub limits: u64,
    /// What attempts of earlier runs cost.
    pub spent_before: Spent,
    outcomes: BTreeMap<Outcome, OutcomeSums>,
    workers: BTreeMap<(i32, String), WorkerSums>,
}

/// The sums of all attempts that ended in the same way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutcomeSums {
    /// How many there were.
    pub attempts: u64,
    /// What they cost.
    pub spent: Spent,
}

/// The sums of one worker, or of several that had the same name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WorkerSums {
    /// Attempts in it.
    pub attempts: u64,
    /// Attempts that met a rate limit.
    pub limits: u64,
    /// How long its attempts took.
    pub worked: Duration,
    rests: Vec<(Timestamp, Timestamp)>,
}

impl WorkerSums {
    /// Time at rest up to `now`. Rests may overlap: time is counted once.
    pub fn rested(&self, now: Timestamp) -> Duration {
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
    pub fn add(&mut self, progress: &Progress, now: Timestamp) {
        match progress {
            Progress::Run { tasks, skipped, skipped_failed, spent_before, .. } => {
                self.spent_before = *spent_before;
                (self.tasks, self.skipped, self.skipped_failed) = (*tasks, *skipped, *skipped_failed);
            }
            Progress::Came { .. } => self.tasks = Some(self.tasks.unwrap_or_default() + 1),
            Progress::Mistake { .. } => {
                self.tasks = Some(self.tasks.unwrap_or_default() + 1);
                self.failed += 1;
            }
            Progress::Started { worker, .. } => {
                self.attempts += 1;
                self.worker(worker).attempts += 1;
            }
            Progress::Ended { worker, outcome, took, until, spent, .. } => {
                let sums = self.outcomes.entry(*outcome).or_default();
                sums.attempts += 1;
                sums.spent = sums.spent.plus(spent.unwrap_or_default());
                let limited = *outcome == Outcome::RateLimited;
                self.limits += u64::from(limited);
                let sums = self.worker(worker);
                sums.worked += *took;
                sums.limits += u64::from(limited);
                sums.rests.extend(until.filter(|until| limited && *until > now).map(|until| (now, until)));
            }
            Progress::Task { outcome, .. } => match outcome {
                Outcome::Succeeded => self.succeeded += 1,
                Outcome::RateLimited => self.rate_limited += 1,
                _ => self.failed += 1,
            },
            _ => {}
        }
    }

    fn worker(&mut self, name: &str) -> &mut WorkerSums {
        // By ordinal, so pool-10 comes after pool-9.
        let ordinal = name.rsplit_once('-').and_then(|(pool, _)| names::ordinal(pool, name)).unwrap_or(i32::MAX);
        self.workers.entry((ordinal, name.to_owned())).or_default()
    }

    /// The name and the sums of each worker, in the order of their ordinals.
    pub fn workers(&self) -> impl Iterator<Item = (&str, &WorkerSums)> {
        self.workers.iter().map(|((_, name), sums)| (name.as_str(), sums))
    }

    /// The sums of each outcome.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, OutcomeSums)> {
        self.outcomes.iter().map(|(outcome, sums)| (*outcome, *sums))
    }

    /// What the attempts of this run cost.
    pub fn spent(&self) -> Spent {
        self.outcomes.values().map(|sums| sums.spent).fold(Spent::default(), Spent::plus)
    }

    /// Tasks that failed, in this run or in one that it resumes.
    pub const fn all_failed(&self) -> u64 {
        self.failed + self.skipped_failed
    }

    /// Tasks that have not ended.
    pub fn left(&self) -> u64 {
        self.tasks.unwrap_or_default().saturating_sub(self.succeeded + self.failed + self.rate_limited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_that_overlap_are_counted_once() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let rests = vec![(at(0), at(10)), (at(5), at(12)), (at(20), at(30))];
        let sums = WorkerSums { rests, ..WorkerSums::default() };
        assert_eq!(sums.rested(at(25)), Duration::from_secs(17));
    }
}
