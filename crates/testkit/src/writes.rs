//! What was written, by what it was for, read from the history of the in-process API.
//!
//! Used by the bench `cycle` and by `tests/lifecycle/writes.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use poolkeeper::local::{Change, Record};
use serde_json::Value;

/// Writes by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// A worker got a dispatch: reserve.
    pub reserve: usize,
    /// A worker's dispatch was replaced by another one in one write.
    pub reuse: usize,
    /// A worker's dispatch was removed: free.
    pub free: usize,
    /// An attempt was published.
    pub publish: usize,
    /// An attempt was closed.
    pub close: usize,
    /// A dispatch says why it waits.
    pub waits: usize,
    /// A dispatch was deleted.
    pub deleted: usize,
    /// The supervisor's: a dispatch was made, or its spec changed.
    pub supervisor: usize,
    /// A pool's status.
    pub roll_ups: usize,
    /// Kubernetes Events.
    pub events: usize,
    /// Whatever else.
    pub other: usize,
}

impl Writes {
    /// What the controller writes for dispatches while they are wanted: the design's "writes per dispatch".
    pub const fn cycle(&self) -> usize {
        self.reserve + self.reuse + self.free + self.publish + self.close
    }

    /// Of all writers.
    pub const fn all(&self) -> usize {
        self.cycle() + self.waits + self.deleted + self.supervisor + self.roll_ups + self.events + self.other
    }
}

/// Counts the records from `from` on; those before are what there was.
pub fn count(records: &[Record], from: usize) -> Writes {
    let mut seen: BTreeMap<&str, &Arc<Value>> = BTreeMap::new();
    let mut w = Writes::default();
    for (i, r) in records.iter().enumerate() {
        let before = seen.insert(&r.uid, &r.object);
        if i < from {
            continue;
        }
        let was = |path: &str| before.and_then(|b| b.pointer(path)).unwrap_or(&Value::Null);
        let is = |path: &str| r.object.pointer(path).unwrap_or(&Value::Null);
        let kind = match (r.resource.plural.as_str(), r.change) {
            ("events", _) => &mut w.events,
            ("containerpools", Change::Modified) if was("/status") != is("/status") => &mut w.roll_ups,
            ("dispatches", Change::Added) => &mut w.supervisor,
            ("dispatches", Change::Deleted) => &mut w.deleted,
            ("dispatches", Change::Modified) if was("/spec") != is("/spec") => &mut w.supervisor,
            ("dispatches", Change::Modified) if was("/status/lastResult") != is("/status/lastResult") => &mut w.close,
            ("dispatches", Change::Modified) if was("/status/attempt") != is("/status/attempt") => &mut w.publish,
            ("dispatches", Change::Modified) if is("/status/phase") == "Pending" => &mut w.waits,
            ("workers", Change::Modified) => {
                match (was("/status/dispatch").is_object(), is("/status/dispatch").is_object()) {
                    (false, true) => &mut w.reserve,
                    (true, true) => &mut w.reuse,
                    (true, false) => &mut w.free,
                    (false, false) => &mut w.other,
                }
            }
            _ => &mut w.other,
        };
        *kind += 1;
    }
    w
}
