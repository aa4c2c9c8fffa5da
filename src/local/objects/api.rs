//! The state of a server, which the verbs share.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{Clock, Ids};
use crate::local::schema::cel::Rules;
use crate::local::schema::kind::Kinds;
use crate::local::store::committed::State;

/// A server without its HTTP.
pub(crate) struct Api {
    pub kinds: Kinds,
    pub clock: Arc<dyn Clock>,
    pub ids: Ids,
    pub rules: Rules,
    pub state: Mutex<State>,
}

impl Api {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves at worst a write that no watch saw: go on with it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
