//! Reading and writing the Lease of an election.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use crate::api::names;
use crate::causes::with_causes;
use crate::core::election::Record;

/// Why a request for the Lease failed.
#[derive(thiserror::Error, Debug)]
pub(super) enum LeaseError {
    /// The Lease has another version, or it already exists.
    #[error("another client wrote it")]
    Conflict,
    /// The Lease, or its namespace, does not exist.
    #[error("{0}")]
    Gone(String),
    #[error("{0}")]
    Other(String),
}

impl From<kube::Error> for LeaseError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            kube::Error::Api(status) if status.code == 404 => Self::Gone(status.message),
            kube::Error::Api(status) => Self::Other(status.message),
            error => Self::Other(with_causes(&error)),
        }
    }
}

/// A Lease with that record, and with an installation's id if it has none.
pub(super) fn with(base: Option<Lease>, name: &str, record: &Record, id: impl FnOnce() -> String) -> Lease {
    let mut lease = base.unwrap_or_else(|| Lease {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: None,
    });
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations.entry(names::INSTALLATION.to_owned()).or_insert_with(id);
    if *record != Record::default() {
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(record.holder.clone());
        spec.lease_duration_seconds = record.seconds;
        spec.acquire_time = record.acquired.map(MicroTime);
        spec.renew_time = record.renewed.map(MicroTime);
        spec.lease_transitions = Some(record.transitions);
    }
    lease
}

/// The answer to a request, if it comes in time.
pub(super) async fn answered<T>(
    limit: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, LeaseError> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(LeaseError::from),
        Err(_) => Err(LeaseError::Other(format!("no answer within {}s", limit.as_secs_f64()))),
    }
}

/// What the Lease says about its holder.
pub(super) fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        seconds: spec.lease_duration_seconds,
        acquired: spec.acquire_time.map(|t| t.0),
        renewed: spec.renew_time.map(|t| t.0),
        transitions: spec.lease_transitions.unwrap_or(0),
    }
}

/// The installation's id.
pub(super) fn installation(lease: &Lease) -> Option<String> {
    let id = lease.metadata.annotations.as_ref()?.get(names::INSTALLATION)?;
    (!id.is_empty()).then(|| id.clone())
}
