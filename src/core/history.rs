//! How long finished dispatches stay: until `history.ttl` or `history.limit`, and their worker is freed.

use super::index::Wake;
use super::{Core, Key, Now, Object, Subject, Verb, cooldown};
use crate::api::ContainerPool;

impl Core {
    /// Deletes what has been kept long enough. One delete is all that a dispatch's end costs.
    pub(super) fn expire_history(&mut self, key: &Key, obj: &ContainerPool, now: Now, wake: &mut Wake) {
        let policy = obj.spec.dispatch.history.clone();
        let limit = usize::try_from(policy.limit).unwrap_or(0);
        let Some(p) = self.pools.get(key) else { return };
        let mut over = p.finals.len().saturating_sub(limit);
        let mut due = Vec::new();
        for (finished, name) in &p.finals {
            let end = cooldown::after(*finished, policy.ttl.get());
            if over == 0 && end > now.wall {
                wake.at(end);
                break;
            }
            over = over.saturating_sub(1);
            due.push(key.sibling(name.clone()));
        }
        for d in due {
            self.visits.0 += 1;
            let subject = Subject::Dispatch(d.clone());
            let Some(e) = self.dispatches.get(&d) else { continue };
            let held = self.named.contains_key(e.obj.uid_str());
            let stuck =
                self.inflight.contains(&subject) || self.trouble.get(&subject).is_some_and(|t| t.until > now.mono);
            if !held && !stuck && !e.obj.is_deleting() {
                let base = e.obj.clone();
                self.write(subject, Verb::DeleteDispatch(base));
            }
        }
    }
}
