//! Repeated limits that name hardly any time.
//!
//! A service that says "retry now" is asked again at once, as it wishes. If it then says the same, and again, it would be asked
//! as often as this machine can. So from the second time in a row on the rest grows, from one second on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::api::Period;
use crate::api::dispatch::ReportedOutcome;
use crate::supervisor::outcome::Verdict;

/// A named rest below this is short.
const SHORT: Duration = Duration::from_secs(1);
/// The rest instead of a short one never grows above this.
const LONGEST: Duration = Duration::from_secs(60);

/// How many short rests in a row were named for each worker.
#[derive(Default)]
pub struct ShortRests(Mutex<BTreeMap<String, u32>>);

impl ShortRests {
    /// Lengthens the rest of a verdict on an attempt in `worker`, if it is one short rest too many. The message says so.
    pub fn lengthen(&self, worker: &str, verdict: &mut Verdict) {
        let mut rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named = verdict.retry_after.filter(|named| named.get() < SHORT);
        let Some(named) = named.filter(|_| verdict.outcome == ReportedOutcome::RateLimited) else {
            rests.remove(worker);
            return;
        };
        let count = rests.entry(worker.to_owned()).or_default();
        *count = count.saturating_add(1);
        if *count == 1 {
            return;
        }
        let rest = SHORT.saturating_mul(2_u32.saturating_pow(*count - 2)).min(LONGEST);
        let rest = Period::seconds(rest.as_secs());
        let why = format!("retryAfter was below 1s {count} times in a row: rests {rest} instead of {named}");
        verdict.message = Some(match verdict.message.take() {
            Some(message) => format!("{message} ({why})"),
            None => why,
        });
        verdict.retry_after = Some(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(rests: &ShortRests, worker: &str, named: Option<&str>) -> Option<String> {
        let retry_after = named.map(|n| n.parse().unwrap());
        let mut verdict =
            Verdict { outcome: ReportedOutcome::RateLimited, retry_after, message: None, is_from_file: false };
        rests.lengthen(worker, &mut verdict);
        assert_eq!(verdict.message.is_some(), verdict.retry_after != retry_after);
        verdict.retry_after.map(|r| r.to_string())
    }

    #[test]
    fn the_first_is_as_named_and_those_that_follow_grow() {
        let rests = ShortRests::default();
        let all: Vec<_> = (0..10).map(|_| limit(&rests, "a", Some("0s")).unwrap()).collect();
        assert_eq!(all, ["0s", "1s", "2s", "4s", "8s", "16s", "32s", "1m", "1m", "1m"]);
        assert_eq!(limit(&rests, "b", Some("999ms")).unwrap(), "999ms", "another worker");
    }

    #[test]
    fn a_time_that_is_named_is_never_touched_and_ends_the_row() {
        let rests = ShortRests::default();
        for named in [Some("1s"), Some("5m"), None] {
            limit(&rests, "a", Some("10ms"));
            assert_eq!(limit(&rests, "a", named).as_deref(), named);
            assert_eq!(limit(&rests, "a", Some("10ms")).unwrap(), "10ms");
            let mut done =
                Verdict { outcome: ReportedOutcome::Succeeded, retry_after: None, message: None, is_from_file: false };
            rests.lengthen("a", &mut done);
        }
    }
}
