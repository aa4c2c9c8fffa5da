//! The outcome of a command, from its result file and its exit code.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::recogniser::Recognised;
use super::time;
use crate::api::Period;
use crate::api::dispatch::ReportedOutcome;

/// What to report of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it ended.
    pub outcome: ReportedOutcome,
    /// With RateLimited and Overloaded: the time that the command named.
    pub retry_after: Option<Period>,
    /// For people.
    pub message: Option<String>,
    /// True if a result file says it.
    pub is_from_file: bool,
}

impl Verdict {
    /// A failure, and why.
    pub const fn failed(message: String) -> Self {
        Self { outcome: ReportedOutcome::Failed, retry_after: None, message: Some(message), is_from_file: false }
    }

    /// What was recognised in the output.
    pub fn recognised(found: &Recognised) -> Self {
        let outcome = found.class.outcome(found.wait.is_some());
        let retry_after = found.wait.filter(|_| outcome.names_a_time());
        Self { outcome, retry_after, message: Some(found.message()), is_from_file: false }
    }
}

/// A result file without an outcome that can be read.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("the result file is not valid: {0}; write JSON such as {{\"outcome\":\"RateLimited\",\"retryAfter\":\"90s\"}}")]
pub struct BadResultFile(String);

/// Decides the outcome of a command that exited. `exit_codes` are the codes that mean RateLimited; `now` and `zone` are the time
/// and the zone in which the command wrote its file.
///
/// # Errors
/// There is a result file, and no outcome can be read from it.
pub fn verdict(
    exit_code: i32,
    result_file: Option<&[u8]>,
    exit_codes: &[i32],
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Verdict, BadResultFile> {
    // Some editors and shells begin a file with a byte order mark.
    let text = result_file.map(String::from_utf8_lossy).unwrap_or_default();
    let text = text.trim_start_matches('\u{feff}').trim();
    if !text.is_empty() {
        return from_file(text, now, zone);
    }
    let outcome = match exit_code {
        0 => ReportedOutcome::Succeeded,
        code if exit_codes.contains(&code) => ReportedOutcome::RateLimited,
        _ => ReportedOutcome::Failed,
    };
    let message = (exit_code != 0).then(|| format!("exit code {exit_code}"));
    Ok(Verdict { outcome, retry_after: None, message, is_from_file: false })
}

/// An outcome that can be read holds, whatever else is wrong. What is wrong is added to the message, so a misspelt
/// `retryAfter` does not shorten a rest unseen.
fn from_file(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Verdict, BadResultFile> {
    let mut fields = Fields::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = (&mut fields).deserialize(&mut json).and_then(|()| json.end());
    let mut problems = fields.problems;
    if let Err(error) = read {
        problems.push(error.to_string());
    }
    let Some(outcome) = fields.outcome else {
        let missing = || "it has no outcome".to_owned();
        return Err(BadResultFile(problems.into_iter().next().unwrap_or_else(missing)));
    };
    let retry_after = match &fields.retry_after {
        None | Some(Value::Null) => None,
        Some(_) if !outcome.names_a_time() => {
            problems.push("retryAfter goes with the outcomes RateLimited, Overloaded and Succeeded only".to_owned());
            None
        }
        Some(value) => retry_after(value, now, zone).map_err(|why| problems.push(format!("retryAfter: {why}"))).ok(),
    };
    let message = match fields.message {
        None | Some(Value::Null) => None,
        Some(Value::String(message)) => Some(message),
        Some(other) => {
            problems.push("message is not a string".to_owned());
            Some(other.to_string())
        }
    };
    let message = match (message, problems.is_empty()) {
        (message, true) => message,
        (Some(message), false) => Some(format!("{message} (in the result file: {})", problems.join("; "))),
        (None, false) => Some(format!("in the result file: {}", problems.join("; "))),
    };
    Ok(Verdict { outcome, retry_after, message, is_from_file: true })
}

fn retry_after(value: &Value, now: Timestamp, zone: &TimeZone) -> Result<Period, String> {
    match value {
        Value::String(text) => time::wait(text, now, zone).map_err(|e| e.to_string()),
        // Every number of JSON has a nearest float.
        Value::Number(number) => {
            time::wait_of_number(number.as_f64().unwrap_or(f64::INFINITY), now).map_err(|e| e.to_string())
        }
        other => Err(format!("{other} is neither a string nor a number")),
    }
}

/// The fields of a result file, as far as it could be read. Fields before invalid JSON count.
#[derive(Default)]
struct Fields {
    outcome: Option<ReportedOutcome>,
    retry_after: Option<Value>,
    message: Option<Value>,
    problems: Vec<String>,
}

impl<'de> DeserializeSeed<'de> for &mut Fields {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Fields {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let value: Value = map.next_value()?;
            match name.as_str() {
                "outcome" => match ReportedOutcome::deserialize(&value) {
                    Ok(ReportedOutcome::Lost) => {
                        // A program that could write its file knows that it ends.
                        return Err(de::Error::custom("outcome: a result file cannot say Lost"));
                    }
                    Ok(outcome) => self.outcome = Some(outcome),
                    Err(error) => return Err(de::Error::custom(format!("outcome: {error}"))),
                },
                "retryAfter" => self.retry_after = Some(value),
                "message" => self.message = Some(value),
                _ => self.problems.push(format!("unknown field {name:?}")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ReportedOutcome::{Failed, RateLimited, Succeeded};

    fn verdict(exit_code: i32, file: Option<&[u8]>) -> Result<Verdict, BadResultFile> {
        super::verdict(exit_code, file, &[75], "2026-11-29T16:00:00Z".parse().unwrap(), &TimeZone::UTC)
    }

    #[test]
    fn exit_codes_decide_where_no_file_does() {
        for (code, outcome) in [(0, Succeeded), (75, RateLimited), (1, Failed), (137, Failed)] {
            assert_eq!(verdict(code, None).unwrap().outcome, outcome);
            for empty in [&b""[..], b" \n", b"\xef\xbb\xbf\n"] {
                assert_eq!(verdict(code, Some(empty)).unwrap().outcome, outcome, "an empty file says nothing");
            }
        }
    }

    #[test]
    fn the_file_goes_first() {
        let v = verdict(0, Some(br#"{"outcome":"RateLimited","retryAfter":"90s","message":"429"}"#)).unwrap();
        assert_eq!((v.outcome, v.retry_after), (RateLimited, Some(Period::seconds(90))));
        assert_eq!(v.message.as_deref(), Some("429"));
    }

    #[test]
    fn every_form_of_a_time_is_read() {
        for (written, wanted) in [
            (r#""1.5s""#, Period::millis(1500)),
            (r#""1""#, Period::seconds(1)),
            ("1", Period::seconds(1)),
            ("0.493", Period::millis(493)),
            (r#""Sun, 29 Nov 2026 16:01:00 GMT""#, Period::minutes(1)),
            ("1795968060", Period::minutes(1)),
            (r#""6:30 PM""#, Period::minutes(150)),
        ] {
            let file = format!(r#"{{"outcome":"RateLimited","retryAfter":{written}}}"#);
            let v = verdict(0, Some(file.as_bytes())).unwrap();
            assert_eq!((v.outcome, v.retry_after, v.message), (RateLimited, Some(wanted), None), "{written}");
        }
    }

    #[test]
    fn an_outcome_holds_whatever_else_is_wrong_and_that_is_reported() {
        let limited = |rest: &str| format!(r#"{{"outcome":"RateLimited",{rest}"#).into_bytes();
        let cut = limited(r#""message":"so lo"#);
        let not_utf8 = [&limited(r#""message":"caf"#)[..], b"\xe9\"}"].concat();
        for (file, word) in [
            (limited(r#""retry_after":"90s"}"#), "unknown field \"retry_after\""),
            (limited(r#""retryAfter":"soon"}"#), "retryAfter: \"soon\" is not a time"),
            (limited(r#""retryAfter":[1]}"#), "neither a string nor a number"),
            (limited(r#""message":5}"#), "message is not a string"),
            (limited(r#""message":"a"} and more"#), "trailing characters"),
            (cut, "EOF"),
            (not_utf8, "caf\u{fffd}"),
        ] {
            let v = verdict(1, Some(&file)).unwrap();
            assert_eq!((v.outcome, v.retry_after), (RateLimited, None), "{word}");
            assert!(v.message.as_ref().is_some_and(|m| m.contains(word)), "{word}: {v:?}");
        }
        let v = verdict(1, Some(br#"{"retryAfter":"90s","outcome":"Failed"}"#)).unwrap();
        assert_eq!((v.outcome, v.retry_after), (Failed, None));
        assert!(v.message.is_some_and(|m| m.contains("RateLimited, Overloaded and Succeeded only")));
    }

    #[test]
    fn a_success_may_name_a_time() {
        let v = verdict(0, Some(br#"{"outcome":"Succeeded","retryAfter":"2h"}"#)).unwrap();
        assert_eq!((v.outcome, v.retry_after, v.message), (Succeeded, Some(Period::hours(2)), None));
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let v = verdict(1, Some(b"\xef\xbb\xbf{\"outcome\":\"Succeeded\"}")).unwrap();
        assert_eq!((v.outcome, v.message), (Succeeded, None));
    }

    #[test]
    fn a_file_without_an_outcome_is_an_error() {
        for bad in ["{", "[]", "{}", r#"{"outcome":"Great"}"#, r#"{"outcome":"Lost"}"#, r#"{"message":"RateLimited"}"#]
        {
            let e = verdict(0, Some(bad.as_bytes())).unwrap_err();
            assert!(e.to_string().contains("RateLimited"), "{bad}: {e}");
        }
    }
}
