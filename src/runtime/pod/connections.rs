//! Execs of the helper on which no task runs. The next task in the same Pod uses one: to start an exec costs the node more than to run
//! a command.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::api::AttachedProcess;

use super::ending::Ended;
use crate::runtime::process::client::Connection;

/// How long an exec waits for the next task. The helper waits for longer.
const IDLE: Duration = Duration::from_secs(10);
/// How long a helper may take to say that it is there.
const ANSWER: Duration = Duration::from_secs(5);

/// An exec on which no task runs.
pub(super) struct Open {
    pub(super) connection: Connection,
    pub(super) exec: AttachedProcess,
    pub(super) ended: Ended,
    /// True if it was seen to be there just now.
    pub(super) is_checked: bool,
}

/// Those of each Pod: one at most, as one task at a time runs there.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    put: u64,
    open: BTreeMap<String, (u64, Open)>,
}

impl Connections {
    /// Stores one for a while.
    pub(super) fn put(&self, pod: String, open: Open) {
        let number = {
            let mut state = lock(&self.0);
            state.put += 1;
            let number = state.put;
            state.open.insert(pod.clone(), (number, open));
            number
        };
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(IDLE).await;
            let mut state = lock(&this.0);
            if state.open.get(&pod).is_some_and(|(stored, _)| *stored == number) {
                state.open.remove(&pod);
            }
        });
    }

    /// Takes the one of a Pod, if its helper is there.
    pub(super) async fn take(&self, pod: &str) -> Option<Open> {
        let (_, mut open) = lock(&self.0).open.remove(pod)?;
        let is_there =
            open.is_checked || tokio::time::timeout(ANSWER, open.connection.answers()).await.unwrap_or(false);
        is_there.then_some(open)
    }
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
