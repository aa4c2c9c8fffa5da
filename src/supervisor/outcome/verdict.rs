//! The outcome of a command, from its result file and its exit code.

use serde::Deserialize;

use crate::api::Period;
use crate::api::dispatch::ReportedOutcome;

/// What to report of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it ended.
    pub outcome: ReportedOutcome,
    /// With RateLimited: the rest that the command asked for.
    pub retry_after: Option<Period>,
    /// For people.
    pub message: Option<String>,
}

/// A result file that is not valid.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("the result file is not valid: {0}; write JSON such as {{\"outcome\":\"RateLimited\",\"retryAfter\":\"90s\"}}")]
pub struct BadResultFile(String);

/// The fields of a result file. Unknown ones are refused, because a misspelt `retryAfter` would silently shorten a rest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResultFile {
    outcome: ReportedOutcome,
    retry_after: Option<Period>,
    message: Option<String>,
}

/// Decides the outcome of a command that exited. `exit_codes` are the codes that mean RateLimited.
///
/// # Errors
/// There is a result file, and it is not valid.
pub fn verdict(exit_code: i32, result_file: Option<&[u8]>, exit_codes: &[i32]) -> Result<Verdict, BadResultFile> {
    if let Some(bytes) = result_file.filter(|b| !b.trim_ascii().is_empty()) {
        let file: ResultFile = serde_json::from_slice(bytes).map_err(|e| BadResultFile(e.to_string()))?;
        if file.retry_after.is_some() && file.outcome != ReportedOutcome::RateLimited {
            return Err(BadResultFile("retryAfter goes with outcome RateLimited only".to_owned()));
        }
        return Ok(Verdict { outcome: file.outcome, retry_after: file.retry_after, message: file.message });
    }
    let outcome = match exit_code {
        0 => ReportedOutcome::Succeeded,
        code if exit_codes.contains(&code) => ReportedOutcome::RateLimited,
        _ => ReportedOutcome::Failed,
    };
    let message = (exit_code != 0).then(|| format!("exit code {exit_code}"));
    Ok(Verdict { outcome, retry_after: None, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ReportedOutcome::{Failed, RateLimited, Succeeded};

    #[test]
    fn exit_codes_decide_where_no_file_does() {
        for (code, outcome) in [(0, Succeeded), (75, RateLimited), (1, Failed), (137, Failed)] {
            assert_eq!(verdict(code, None, &[75]).unwrap().outcome, outcome);
            assert_eq!(verdict(code, Some(b" \n"), &[75]).unwrap().outcome, outcome, "an empty file says nothing");
        }
    }

    #[test]
    fn the_file_goes_first() {
        let v = verdict(0, Some(br#"{"outcome":"RateLimited","retryAfter":"90s"}"#), &[]).unwrap();
        assert_eq!((v.outcome, v.retry_after), (RateLimited, Some(Period::seconds(90))));
    }

    #[test]
    fn a_bad_file_is_an_error() {
        for bad in [
            "{",
            r#"{"outcome":"Great"}"#,
            r#"{"outcome":"RateLimited","retry_after":"90s"}"#,
            r#"{"outcome":"Succeeded","retryAfter":"90s"}"#,
            r#"{"outcome":"RateLimited","retryAfter":"90"}"#,
        ] {
            let e = verdict(0, Some(bad.as_bytes()), &[]).unwrap_err();
            assert!(e.to_string().contains("RateLimited"), "{bad}: {e}");
        }
    }
}
