//! What the server recorded about the dispatch and the worker of an attempt, for a page that shows it.

use kube::Client;
use serde::Serialize;

use crate::cli::feed::events::{self, Subject};
use crate::cli::print::kinds::Kind;
use crate::cli::server::program;
use crate::dashboard::live::events::ShownEvent;

/// Asks for Events.
pub(super) struct Events {
    /// With the rights of the user.
    pub client: Client,
    /// Where the dispatches and workers are.
    pub namespace: String,
    /// The flags that a command needs to reach the same server, each after a space.
    pub flags: String,
}

/// What a page gets.
#[derive(Serialize)]
struct Answer {
    dispatch: Found,
    worker: Found,
    /// The command that shows what the command of the worker printed.
    logs: String,
}

/// The Events of an object.
#[derive(Serialize, Default)]
struct Found {
    events: Vec<ShownEvent>,
    /// Why they are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

impl Events {
    /// The answer to a query such as `dispatch=task-1&worker=agents-0`.
    ///
    /// # Errors
    /// It cannot be written as JSON: never.
    pub(super) async fn answer(&self, query: &str) -> serde_json::Result<Vec<u8>> {
        let named = |which: &str| {
            let found = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == which);
            found.map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let (dispatch, worker) = (named("dispatch"), named("worker"));
        let logs = format!("{} logs {worker}{}", program(), self.flags);
        let (dispatch, worker) = tokio::join!(self.of(Kind::Dispatch, dispatch), self.of(Kind::Worker, worker));
        serde_json::to_vec(&Answer { dispatch, worker, logs })
    }

    async fn of(&self, kind: Kind, name: String) -> Found {
        let subject = Subject { kind, namespace: self.namespace.clone(), name };
        match events::of(self.client.clone(), &subject).await {
            Ok(events) => Found { events, unknown: None },
            Err(why) => Found { events: Vec::new(), unknown: Some(why) },
        }
    }
}
