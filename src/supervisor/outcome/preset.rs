//! A preset as it is written: what one program prints when it meets a limit, with samples.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::class::Class;
use crate::api::Period;
use crate::supervisor::spent::Spent;

/// What one program prints when it meets a limit.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Preset {
    /// The name that `--preset` and `spec.rateLimit.patterns` take.
    pub name: String,
    /// The program.
    pub program: String,
    /// The month in which its sentences were last seen, as `2026-09`.
    pub seen: String,
    /// How to run the program so that its limits are recognised.
    pub advice: String,
    /// What exit code 0 says.
    pub exit_zero: ExitZero,
    /// Number of lines at the end of each stream that are looked at.
    pub within: usize,
    /// Time that is added to a moment that a sentence names, because it is known to be too early. Lengths of time, and moments in
    /// events, are exact.
    #[serde(default)]
    pub margin: Period,
    /// Expression that stands before the sentences of the rules on a line, and perhaps in an event.
    #[serde(default)]
    pub prefix: String,
    /// JSON lines with which a run that failed ends.
    #[serde(default)]
    pub events: Vec<JsonLine>,
    /// JSON lines with which a run that succeeded ends.
    #[serde(default)]
    pub success: Vec<Fields>,
    /// Expression for a line that a run prints only after a limit is over: what stands before it does not count.
    #[serde(default)]
    pub recovered: Option<String>,
    /// JSON lines that name the end of a limit. They go before the times of sentences; of several the latest counts.
    #[serde(default)]
    pub times: Vec<EventTime>,
    /// Where the program says what it cost. The first that is found counts, of several lines the last.
    #[serde(default)]
    pub usage: Vec<Usage>,
    /// The first one that holds decides.
    pub rules: Vec<Rule>,
    /// Outputs with the verdicts that they must give. They are tests.
    pub samples: Vec<Sample>,
}

/// Values by their path in an event, such as `error.code`. A list holds alternatives; `"*"` means that there is a value.
pub type Fields = BTreeMap<String, Value>;

/// What exit code 0 of a program says.
#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum ExitZero {
    /// The program succeeded.
    Success,
    /// Nothing: the program exits with 0 after a limit too. A sentence counts only if it is all that the program printed.
    Alone,
    /// Nothing. A sentence at the end of the output counts.
    End,
}

/// A JSON line.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct JsonLine {
    /// Its fields.
    pub fields: Fields,
    /// The path of the string that the rules look at.
    #[serde(default)]
    pub text: Option<String>,
}

/// A JSON line that names the end of a limit.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventTime {
    /// Its fields.
    pub fields: Fields,
    /// The path of the time.
    pub reset_at: String,
}

/// A line that says what a run cost.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Usage {
    /// Fields of the event.
    #[serde(default)]
    pub fields: Option<Fields>,
    /// The lines are steps, which are added up. Otherwise each is the sum up to it.
    #[serde(default)]
    pub sum: bool,
    /// Path of its cost, a number of US dollars.
    #[serde(default)]
    pub cost: Option<String>,
    /// Paths of the tokens that were read, cached ones included. They are added. `*` in a path stands for every name.
    #[serde(default)]
    pub input: Vec<String>,
    /// Paths of the tokens that came from a cache.
    #[serde(default)]
    pub cached_input: Vec<String>,
    /// Paths of the tokens that were written.
    #[serde(default)]
    pub output: Vec<String>,
    /// Expression for the beginning of a line of text, whose group `cost` is a number of US dollars.
    #[serde(default)]
    pub text: Option<String>,
}

/// A sentence, an event or an exit code, and what it says.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Its name in messages: unique in its preset.
    pub name: String,
    /// What it says.
    pub class: Class,
    /// Expression for the beginning of a line or of an event's text, in either case. `{resetAt}` and `{retryAfter}` stand
    /// for the forms of a moment and of a length of time.
    #[serde(default)]
    pub text: Option<String>,
    /// Fields of an event that ends a failed run.
    #[serde(default)]
    pub event: Option<Fields>,
    /// Exit codes, of which one must be there too.
    #[serde(default)]
    pub exit_codes: Vec<i32>,
    /// The time of a limit that names none.
    #[serde(default)]
    pub resets: Option<String>,
    /// The program does not end: it waits by itself. If it is silent, and waits for at least this long, it is ended.
    #[serde(default)]
    pub live: Option<Period>,
}

/// An output, and what it must give.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sample {
    /// What is special about it, or where it is from: a report, a source file, a measurement.
    pub source: String,
    /// True if the text is known byte for byte. False: the wording is known, what is around it is made up.
    pub exact: bool,
    /// The output.
    pub output: String,
    /// The exit code. With a rule that is `live` there is none.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// When it was printed.
    #[serde(default)]
    pub now: Option<jiff::Timestamp>,
    /// The worker's zone. Default: UTC.
    #[serde(default)]
    pub zone: Option<String>,
    /// What it must give. None: nothing is recognised, so the exit code decides.
    #[serde(default)]
    pub rule: Option<String>,
    /// The costs that it must give, if there are any.
    #[serde(default)]
    pub spent: Option<Spent>,
    /// The time that it must give.
    #[serde(default)]
    pub until: Option<jiff::Timestamp>,
}
