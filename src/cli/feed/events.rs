//! The Events of one object. They are asked for while the object is looked at: a namespace may have many, and not every user
//! may read them.

use std::time::Duration;

use k8s_openapi::api::core::v1;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::causes::with_causes;
use crate::cli::change::check_name;
use crate::cli::print::kinds::Kind;
use crate::dashboard::live::events::{ShownEvent, newest};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many are read of one object. Kubernetes deletes them after an hour.
const READ: u32 = 500;

/// An object whose Events are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name. Events of an earlier object of that name count too: they say what became of it.
    pub name: String,
}

/// The newest Events of an object.
///
/// # Errors
/// This user may not read Events, or the server does not answer. Why, in words.
pub async fn of(client: Client, subject: &Subject) -> Result<Vec<ShownEvent>, String> {
    let Subject { kind, namespace, name } = subject;
    // It becomes a part of a selector.
    check_name(name).map_err(|failure| failure.message)?;
    let events: Api<v1::Event> = Api::namespaced(client, namespace);
    let selector = format!("involvedObject.kind={},involvedObject.name={name}", kind.kind());
    let params = ListParams::default().fields(&selector).limit(READ);
    match tokio::time::timeout(PATIENCE, events.list(&params)).await {
        Ok(Ok(found)) => Ok(newest(found.items)),
        Ok(Err(kube::Error::Api(status))) => Err(status.message.clone()),
        Ok(Err(error)) => Err(with_causes(&error)),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
