//! What the end of a command means: its result file first, then its exit code.

pub mod time;
mod verdict;

pub use verdict::{BadResultFile, Verdict, verdict};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::api::dispatch::ReportedOutcome;

/// Decides what to report of a command that exited with `exit_code`.
///
/// `result_file` is the content of its result file, or why the file cannot be read. A file that cannot be read, or that is
/// not valid, makes the attempt Failed: a command that meant to report is not judged by its exit code. `exit_codes` are
/// the codes that mean RateLimited.
pub fn decide(
    exit_code: i32,
    result_file: Result<Option<&[u8]>, &str>,
    exit_codes: &[i32],
    now: Timestamp,
    zone: &TimeZone,
) -> Verdict {
    let failed = |message| Verdict { outcome: ReportedOutcome::Failed, retry_after: None, message: Some(message) };
    match result_file {
        Ok(file) => verdict(exit_code, file, exit_codes, now, zone).unwrap_or_else(|bad| failed(bad.to_string())),
        Err(why) => failed(format!("the result file cannot be read: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_says_nothing_usable_makes_the_attempt_failed() {
        for (file, word) in [(Ok(Some(&b"{"[..])), "not valid"), (Err("it is a directory"), "cannot be read: it is a")]
        {
            let verdict = decide(0, file, &[], Timestamp::UNIX_EPOCH, &TimeZone::UTC);
            assert_eq!(verdict.outcome, ReportedOutcome::Failed);
            assert!(verdict.message.is_some_and(|m| m.contains(word)), "{word}");
        }
        assert_eq!(decide(0, Ok(None), &[], Timestamp::UNIX_EPOCH, &TimeZone::UTC).outcome, ReportedOutcome::Succeeded);
    }
}
