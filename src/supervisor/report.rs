//! How the end of an attempt is reported to its Dispatch.

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::api::dispatch::{Dispatch, DispatchResult};
use crate::api::names;

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// The API took it.
    Accepted,
    /// The attempt was ended by something else before: it is not open any more.
    Stale,
}

/// Names Poolkeeper as the writer.
pub fn params() -> PatchParams {
    PatchParams { field_manager: Some(names::MANAGER.to_owned()), ..PatchParams::default() }
}

/// Reports how an attempt of the Dispatch `name` with this `uid` ended. The API refuses a report on an attempt that is not
/// open.
///
/// # Errors
/// The API cannot be reached, or fails.
pub async fn report(
    dispatches: &Api<Dispatch>,
    name: &str,
    uid: &str,
    result: &DispatchResult,
) -> Result<Reported, kube::Error> {
    // Both optional fields are always named: else those of an earlier attempt's report would stay.
    let patch = json!({
        "metadata": {"uid": uid},
        "spec": {"result": {
            "attempt": result.attempt, "outcome": result.outcome, "retryAfter": result.retry_after,
            "message": result.message,
        }},
    });
    match dispatches.patch(name, &params(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(Reported::Accepted),
        // The same report may have come through before, when its answer was lost.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {
            let now = dispatches.get_opt(name).await?;
            let same =
                now.is_some_and(|d| d.metadata.uid.as_deref() == Some(uid) && d.spec.result.as_ref() == Some(result));
            Ok(if same { Reported::Accepted } else { Reported::Stale })
        }
        Err(error) => Err(error),
    }
}
