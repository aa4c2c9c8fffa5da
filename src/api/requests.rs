//! Requests in annotations: what the annotations of a pool can ask for. Read and printed in one place.
//!
//! | annotation | value |
//! |---|---|
//! | `dispatch.poolkeeper.dev/<task>` | empty, or a JSON object of Dispatch spec fields |
//! | `result.poolkeeper.dev/<task>` | `[ATTEMPT] OUTCOME [retryAfter=90s] [uid=UID] [message=all that follows]` |
//! | `cooldown.poolkeeper.dev/<worker or credential>` | `90s`, or `clear` |
//!
//! The result is well formed. The CRD bounds numbers and lengths, and the API server's answer names what is out of bounds.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::dispatch::{DispatchResult, MAX_TEXT, ReportedOutcome, Retry};
use super::names::{COOLDOWN_REQUEST, DISPATCH_REQUEST, RESULT_REQUEST};
use super::period::BadPeriod;
use super::{DispatchSpec, GROUP, Period};

/// Maximum length of the name after the slash of an annotation's key.
pub const MAX_NAME: usize = 63;

/// Fields of the Dispatch spec that a request can set.
pub const FIELDS: [&str; 7] = ["pool", "priority", "queueTimeout", "timeout", "leaseName", "retry", "note"];
const RETRY_FIELDS: [&str; 7] = ["rateLimited", "workerLost", "failed", "lost", "overloaded", "backoff", "maxBackoff"];
const OUTCOMES: [ReportedOutcome; 6] = [
    ReportedOutcome::Succeeded,
    ReportedOutcome::Failed,
    ReportedOutcome::RateLimited,
    ReportedOutcome::Unauthorized,
    ReportedOutcome::Overloaded,
    ReportedOutcome::Lost,
];

/// What one annotation asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Create a Dispatch.
    Dispatch(DispatchRequest),
    /// Report on an attempt.
    Result(ResultRequest),
    /// Set or clear a rest.
    Cooldown(CooldownRequest),
}

/// Request to create a Dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct DispatchRequest {
    /// Name of the Dispatch.
    pub name: String,
    /// Its spec. `pool` is the annotated pool; `cancel` and `result` are not set.
    pub spec: DispatchSpec,
}

/// Report on an attempt of a Dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultRequest {
    /// Name of the Dispatch.
    pub dispatch: String,
    /// The attempt, from 1. None: the only attempt, of a Dispatch without retries.
    pub attempt: Option<i32>,
    /// How it ended.
    pub outcome: ReportedOutcome,
    /// With RateLimited: the time after which the service accepts requests again.
    pub retry_after: Option<Period>,
    /// Uid of the Dispatch, without spaces. A report for an earlier Dispatch of the same name is then refused.
    pub uid: Option<String>,
    /// Free text.
    pub message: Option<String>,
}

impl ResultRequest {
    /// The `spec.result` of the Dispatch. It is for `attempt` if the annotation has no number.
    pub fn result(&self, attempt: i32) -> DispatchResult {
        DispatchResult {
            attempt: self.attempt.unwrap_or(attempt),
            outcome: self.outcome,
            retry_after: self.retry_after,
            message: self.message.clone(),
        }
    }
}

/// Request to set or clear a rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CooldownRequest {
    /// Name of a Worker of the pool or of one of its credentials. If both exist, the Worker is meant.
    pub target: String,
    /// What to do.
    pub change: CooldownChange,
}

/// What to do about a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CooldownChange {
    /// Rest this long from now. Above zero.
    Rest(Period),
    /// End the rest.
    Clear,
}

/// An annotation that contains a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// The whole key.
    pub key: String,
    /// The value as it was written.
    pub value: String,
    /// The request, or why the annotation cannot be read.
    pub request: Result<Request, RequestError>,
}

/// An annotation that cannot be read. The message names the annotation, what is wrong and what would be right.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("annotation {key}: {problem}; for example {}", example(key))]
pub struct RequestError {
    /// The whole key.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with an annotation.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the message of each variant describes it")]
pub enum Problem {
    #[error(
        "there is no such annotation: use {DISPATCH_REQUEST}TASK, {RESULT_REQUEST}TASK or \
         {COOLDOWN_REQUEST}WORKER-or-CREDENTIAL"
    )]
    UnknownRequest,
    #[error(
        "what follows the slash must be a name of at most {MAX_NAME} lower case letters, digits, hyphens and dots, \
         with a letter or digit at both ends of each part"
    )]
    BadName,
    #[error("the value must be empty or a JSON object of Dispatch fields ({error})")]
    NotAnObject { error: String },
    #[error("{field:?} is not a field of a request: use {}", known.join(", "))]
    UnknownField { field: String, known: &'static [&'static str] },
    #[error("a result is not part of a request: report it with {RESULT_REQUEST}TASK")]
    ResultInRequest,
    #[error("cancel is not part of a request: remove the annotation, or set spec.cancel of the Dispatch")]
    CancelInRequest,
    #[error("{field} cannot be read ({error})")]
    BadField { field: String, error: String },
    #[error("pool is {given:?}, but the annotation is on pool {pool:?}: remove pool, or annotate {given:?}")]
    OtherPool { given: String, pool: String },
    #[error("the outcome is missing: use Succeeded, Failed, RateLimited, Unauthorized or Lost")]
    NoOutcome,
    #[error("{word:?} is not an outcome: use Succeeded, Failed, RateLimited, Unauthorized or Lost")]
    BadOutcome { word: String },
    #[error("{word:?} is not an attempt: attempts count from 1")]
    BadAttempt { word: String },
    #[error("{word:?} is not understood: the outcome can be followed by retryAfter=, uid= and, at the end, message=")]
    UnknownWord { word: String },
    #[error("{word}= is given twice: remove one")]
    Repeated { word: &'static str },
    #[error("retryAfter: {0}")]
    BadRetryAfter(BadPeriod),
    #[error(
        "retryAfter is for the outcomes RateLimited, Overloaded and Succeeded only: remove it, or report one of these"
    )]
    RetryAfterWithout,
    #[error("uid= must be the uid of the Dispatch: letters, digits and hyphens")]
    BadUid,
    #[error("message= must have at most {MAX_TEXT} characters: shorten it")]
    LongMessage,
    #[error("{value:?} is not a rest: use a length of time above 0s, such as 90s or 5m, or clear")]
    BadCooldown { value: String },
}

/// A correct annotation of the kind that `key` seems to be.
fn example(key: &str) -> String {
    if key.starts_with(RESULT_REQUEST) {
        format!("{RESULT_REQUEST}task-42='1 RateLimited retryAfter=90s'")
    } else if key.starts_with(COOLDOWN_REQUEST) {
        format!("{COOLDOWN_REQUEST}agents-0='90s'")
    } else {
        format!("{DISPATCH_REQUEST}task-42='{{\"priority\":5}}'")
    }
}

/// Reads every annotation of the pool `pool` that contains a request, in the order of their keys.
pub fn parse_all(pool: &str, annotations: &BTreeMap<String, String>) -> Vec<Annotation> {
    annotations
        .iter()
        .filter_map(|(key, value)| {
            let request = parse(pool, key, value)?;
            Some(Annotation { key: key.clone(), value: value.clone(), request })
        })
        .collect()
}

/// Reads one annotation of the pool `pool`. None: its prefix is not one of Poolkeeper's.
///
/// # Errors
/// The inner result is a [`RequestError`] if the prefix is unknown, or the name or the value is malformed.
pub fn parse(pool: &str, key: &str, value: &str) -> Option<Result<Request, RequestError>> {
    let (prefix, name) = key.split_once('/')?;
    prefix.strip_suffix(GROUP)?.strip_suffix('.')?;
    let fail = |problem| RequestError { key: key.to_owned(), problem };
    let read: fn(&str, &str, &str) -> Result<Request, Problem> = match key.strip_suffix(name) {
        Some(DISPATCH_REQUEST) => |pool, name, value| dispatch(pool, name, value).map(Request::Dispatch),
        Some(RESULT_REQUEST) => |_, name, value| result(name, value).map(Request::Result),
        Some(COOLDOWN_REQUEST) => |_, name, value| cooldown(name, value).map(Request::Cooldown),
        _ => return Some(Err(fail(Problem::UnknownRequest))),
    };
    if !is_name(name) {
        return Some(Err(fail(Problem::BadName)));
    }
    Some(read(pool, name, value).map_err(fail))
}

/// A short hash of a value. It shows whether a Dispatch was created for exactly this request.
pub fn value_hash(value: &str) -> String {
    hex::encode(&Sha256::digest(value.as_bytes())[..8])
}

/// True for a DNS-1123 subdomain that is short enough for the key of an annotation.
fn is_name(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        matches!((bytes.first(), bytes.last()), (Some(&a), Some(&z)) if inner(a) && inner(z))
            && bytes.iter().all(|&c| inner(c) || c == b'-')
    };
    name.len() <= MAX_NAME && name.split('.').all(part)
}

fn dispatch(pool: &str, name: &str, value: &str) -> Result<DispatchRequest, Problem> {
    let fields = if value.trim().is_empty() {
        Map::new()
    } else {
        serde_json::from_str(value).map_err(|e| Problem::NotAnObject { error: e.to_string() })?
    };
    for (field, value) in &fields {
        match field.as_str() {
            "result" => return Err(Problem::ResultInRequest),
            "cancel" => return Err(Problem::CancelInRequest),
            "retry" => known(value.as_object().into_iter().flat_map(Map::keys), &RETRY_FIELDS)?,
            field => known([field], &FIELDS)?,
        }
        // One field at a time so that the error can name the field.
        spec(pool, Map::from_iter([(field.clone(), value.clone())]))
            .map_err(|e| Problem::BadField { field: field.clone(), error: e.to_string() })?;
    }
    let spec =
        spec(pool, fields).map_err(|e| Problem::BadField { field: "the request".to_owned(), error: e.to_string() })?;
    if spec.pool != pool {
        return Err(Problem::OtherPool { given: spec.pool, pool: pool.to_owned() });
    }
    Ok(DispatchRequest { name: name.to_owned(), spec })
}

fn known<S: AsRef<str>>(fields: impl IntoIterator<Item = S>, known: &'static [&'static str]) -> Result<(), Problem> {
    match fields.into_iter().find(|field| !known.contains(&field.as_ref())) {
        Some(field) => Err(Problem::UnknownField { field: field.as_ref().to_owned(), known }),
        None => Ok(()),
    }
}

fn spec(pool: &str, mut fields: Map<String, Value>) -> Result<DispatchSpec, serde_json::Error> {
    fields.entry("pool").or_insert_with(|| pool.into());
    serde_json::from_value(Value::Object(fields))
}

fn result(name: &str, value: &str) -> Result<ResultRequest, Problem> {
    let mut rest = value.trim_start();
    let mut word = next_word(&mut rest).ok_or(Problem::NoOutcome)?;
    let mut attempt = None;
    if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        let bad = || Problem::BadAttempt { word: word.to_owned() };
        attempt = Some(word.parse().ok().filter(|n| *n >= 1).ok_or_else(bad)?);
        word = next_word(&mut rest).ok_or(Problem::NoOutcome)?;
    }
    let outcome = OUTCOMES
        .into_iter()
        .find(|outcome| format!("{outcome:?}").eq_ignore_ascii_case(word))
        .ok_or_else(|| Problem::BadOutcome { word: word.to_owned() })?;
    let mut request =
        ResultRequest { dispatch: name.to_owned(), attempt, outcome, retry_after: None, uid: None, message: None };
    while !rest.is_empty() {
        if let Some(message) = rest.strip_prefix("message=") {
            if message.chars().count() > MAX_TEXT {
                return Err(Problem::LongMessage);
            }
            request.message = Some(message.to_owned());
            break;
        }
        let Some(word) = next_word(&mut rest) else { break };
        match word.split_once('=') {
            Some(("retryAfter", period)) => {
                let period = period.parse().map_err(Problem::BadRetryAfter)?;
                set(&mut request.retry_after, period, "retryAfter")?;
            }
            Some(("uid", uid)) => {
                if uid.is_empty() || !uid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                    return Err(Problem::BadUid);
                }
                set(&mut request.uid, uid.to_owned(), "uid")?;
            }
            _ => return Err(Problem::UnknownWord { word: word.to_owned() }),
        }
    }
    if request.retry_after.is_some() && !outcome.names_a_time() {
        return Err(Problem::RetryAfterWithout);
    }
    Ok(request)
}

/// Takes the next word and the spaces after it.
fn next_word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (word, after) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
    *rest = after.trim_start();
    (!word.is_empty()).then_some(word)
}

fn set<T>(slot: &mut Option<T>, value: T, word: &'static str) -> Result<(), Problem> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Problem::Repeated { word }),
    }
}

fn cooldown(name: &str, value: &str) -> Result<CooldownRequest, Problem> {
    let text = value.trim();
    let change = if text.eq_ignore_ascii_case("clear") {
        Some(CooldownChange::Clear)
    } else {
        text.parse().ok().filter(|period: &Period| !period.is_zero()).map(CooldownChange::Rest)
    };
    let change = change.ok_or_else(|| Problem::BadCooldown { value: text.to_owned() })?;
    Ok(CooldownRequest { target: name.to_owned(), change })
}

impl Request {
    /// The annotation's key.
    pub fn key(&self) -> String {
        match self {
            Self::Dispatch(r) => format!("{DISPATCH_REQUEST}{}", r.name),
            Self::Result(r) => format!("{RESULT_REQUEST}{}", r.dispatch),
            Self::Cooldown(r) => format!("{COOLDOWN_REQUEST}{}", r.target),
        }
    }

    /// The annotation's value.
    pub fn value(&self) -> String {
        match self {
            Self::Dispatch(r) => r.to_string(),
            Self::Result(r) => r.to_string(),
            Self::Cooldown(r) => r.to_string(),
        }
    }
}

impl fmt::Display for DispatchRequest {
    /// The annotation's value: JSON with the fields that differ from the defaults, or an empty string.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = serde_json::to_value(&self.spec).map_err(|_| fmt::Error)?;
        let Some(fields) = fields.as_object_mut() else { return Err(fmt::Error) };
        for given in ["pool", "cancel", "result"] {
            fields.remove(given);
        }
        if self.spec.priority == 0 {
            fields.remove("priority");
        }
        if self.spec.retry == Retry::default() {
            fields.remove("retry");
        }
        if fields.is_empty() {
            return Ok(());
        }
        f.write_str(&serde_json::to_string(fields).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Display for ResultRequest {
    /// The annotation's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(attempt) = self.attempt {
            write!(f, "{attempt} ")?;
        }
        write!(f, "{:?}", self.outcome)?;
        if let Some(period) = self.retry_after {
            write!(f, " retryAfter={period}")?;
        }
        if let Some(uid) = &self.uid {
            write!(f, " uid={uid}")?;
        }
        if let Some(message) = &self.message {
            write!(f, " message={message}")?;
        }
        Ok(())
    }
}

impl fmt::Display for CooldownRequest {
    /// The annotation's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.change {
            CooldownChange::Rest(period) => write!(f, "{period}"),
            CooldownChange::Clear => f.write_str("clear"),
        }
    }
}

#[cfg(test)]
mod tests;
