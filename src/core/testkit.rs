//! Objects for the tests of this layer.

use jiff::Timestamp;

use crate::api::dispatch::{LastResult, Outcome};
use crate::api::{Dispatch, DispatchSpec, Time};

/// A fresh Dispatch with uid `<name>-uid`.
pub fn dispatch(namespace: &str, name: &str, pool: &str) -> Dispatch {
    let mut d = Dispatch::new(name, DispatchSpec { pool: pool.to_owned(), ..DispatchSpec::default() });
    d.metadata.namespace = Some(namespace.to_owned());
    d.metadata.uid = Some(format!("{name}-uid"));
    d.metadata.resource_version = Some("1".to_owned());
    d
}

/// A closed attempt without a rest.
pub fn result(attempt: i32, outcome: Outcome) -> LastResult {
    LastResult { attempt, outcome, closed_at: Time::from(Timestamp::UNIX_EPOCH), until: None, message: None }
}

/// A point in time: seconds of the epoch.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// A rate limit until then.
pub fn limited(until: i64) -> LastResult {
    LastResult { until: Some(Time::from(at(until))), ..result(1, Outcome::RateLimited) }
}
