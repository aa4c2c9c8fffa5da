//! The objects of a server, as watches show them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::api::{ContainerPool, Dispatch, RuntimeKind, Worker};
use crate::core::{Object, ObjectKey, Seen};

/// What the connection to a server is needed for.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Watched {
    /// The server as a whole.
    Server,
    /// Pools.
    Pools,
    /// Workers.
    Workers,
    /// Dispatches.
    Dispatches,
}

/// Something that is new.
#[derive(Clone, Debug)]
pub enum Change {
    /// About pools.
    Pool(Seen<ContainerPool>),
    /// About workers.
    Worker(Seen<Worker>),
    /// About dispatches.
    Dispatch(Seen<Dispatch>),
    /// The connection was lost at a time of this machine's clock.
    Lost(Watched, Timestamp, Loss),
    /// The server answers. Its clock is ahead of this machine's by that much.
    Answers(SignedDuration),
}

/// Why a connection was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// In words.
    pub why: String,
    /// True if the server says that this user may not look.
    pub refused: bool,
}

impl Loss {
    /// A server that is away, or does not answer.
    pub fn away(why: impl Into<String>) -> Self {
        Self { why: why.into(), refused: false }
    }
}

/// That the server is lost.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Since when, by the server's clock.
    pub since: Timestamp,
    /// Why.
    pub why: String,
}

/// The objects of one kind.
#[derive(Debug)]
struct Objects<K> {
    all: BTreeMap<ObjectKey, Arc<K>>,
    listed: bool,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), listed: false }
    }
}

impl<K: Object + Clone> Objects<K> {
    /// Takes in what a watch shows. True if all objects were listed.
    fn apply(&mut self, seen: Seen<K>, trim: impl FnOnce(&mut K)) -> bool {
        match seen {
            Seen::Present(object) => {
                let mut object = Arc::unwrap_or_clone(object);
                trim(&mut object);
                self.all.insert(ObjectKey::of(&object), Arc::new(object));
            }
            Seen::Gone(object) => {
                self.all.remove(&ObjectKey::of(&*object));
            }
            Seen::Listed(keys) => {
                self.all.retain(|key, _| keys.contains(key));
                self.listed = true;
                return true;
            }
        }
        false
    }
}

/// The objects of a server.
#[derive(Debug)]
pub struct Store {
    default_runtime: RuntimeKind,
    pools: Objects<ContainerPool>,
    workers: Objects<Worker>,
    dispatches: Objects<Dispatch>,
    /// What is lost, since when by this machine's clock, and why.
    lost: BTreeMap<Watched, (Timestamp, String)>,
    ahead: SignedDuration,
}

impl Store {
    /// Knows nothing yet. `default_runtime`: that of the server's controller, for pools that name none.
    pub fn new(default_runtime: RuntimeKind) -> Self {
        Self {
            default_runtime,
            pools: Objects::default(),
            workers: Objects::default(),
            dispatches: Objects::default(),
            lost: BTreeMap::new(),
            ahead: SignedDuration::ZERO,
        }
    }

    /// Takes in what is new. After a loss the objects stay as they were, until they are listed again.
    pub fn apply(&mut self, change: Change) {
        let listed = match change {
            Change::Pool(seen) => self.pools.apply(seen, |_| {}).then_some(Watched::Pools),
            Change::Worker(seen) => self.workers.apply(seen, |_| {}).then_some(Watched::Workers),
            Change::Dispatch(seen) => self.dispatches.apply(seen, trim).then_some(Watched::Dispatches),
            Change::Lost(what, at, Loss { why, .. }) => {
                self.lost.entry(what).and_modify(|(_, old)| old.clone_from(&why)).or_insert((at, why));
                None
            }
            Change::Answers(ahead) => {
                self.ahead = ahead;
                Some(Watched::Server)
            }
        };
        if let Some(listed) = listed {
            self.lost.remove(&listed);
        }
    }

    /// The time of the server, from that of this machine.
    pub fn server_time(&self, local: Timestamp) -> Timestamp {
        local.saturating_add(self.ahead).unwrap_or(local)
    }

    /// True once every kind was listed.
    pub fn is_complete(&self) -> bool {
        self.pools.listed && self.workers.listed && self.dispatches.listed
    }

    /// Present while something of the server is lost: since the first loss.
    pub fn lost(&self) -> Option<Lost> {
        let since = self.lost.values().map(|(since, _)| *since).min()?;
        // What the server as a whole says comes first, and is the shortest.
        let (_, why) = self.lost.values().next()?;
        Some(Lost { since: self.server_time(since), why: why.clone() })
    }

    pub(super) fn default_runtime(&self) -> RuntimeKind {
        self.default_runtime
    }

    pub(super) fn pools(&self) -> &BTreeMap<ObjectKey, Arc<ContainerPool>> {
        &self.pools.all
    }

    pub(super) fn workers(&self) -> &BTreeMap<ObjectKey, Arc<Worker>> {
        &self.workers.all
    }

    pub(super) fn dispatches(&self) -> &BTreeMap<ObjectKey, Arc<Dispatch>> {
        &self.dispatches.all
    }
}

/// Removes what no view shows: there may be many dispatches.
fn trim(dispatch: &mut Dispatch) {
    dispatch.metadata.annotations = None;
    dispatch.metadata.finalizers = None;
    dispatch.spec.result = None;
    if let Some(status) = &mut dispatch.status {
        status.target = None;
        if status.phase.is_final() {
            status.conditions = Vec::new();
        }
    }
}
