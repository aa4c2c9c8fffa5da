//! How long finished dispatches stay: until `history.ttl` or `history.limit`, and until their worker is freed.

use crate::api::pool::HistoryPolicy;
use crate::core::agenda::Wake;
use crate::core::{Core, Now, Object, ObjectKey, Subject, Verb, time};

/// Deletes under way at a time. More would not be faster, and each is looked at again whenever another one ends.
const AT_A_TIME: usize = 32;

impl Core {
    /// Deletes dispatches that have stayed long enough. Each costs one delete.
    pub(in crate::core) fn expire_history(
        &mut self,
        key: &ObjectKey,
        policy: &HistoryPolicy,
        now: Now,
        wake: &mut Wake,
    ) {
        let limit = usize::try_from(policy.limit).unwrap_or(0);
        let Some(p) = self.pools.get(key) else { return };
        let mut over = p.queue.finished().len().saturating_sub(limit);
        let (mut due, mut under_way) = (Vec::new(), 0);
        for (finished, name) in p.queue.finished() {
            let end = time::after(*finished, policy.ttl.get());
            if over == 0 && end > now.wall {
                wake.at(end);
                break;
            }
            over = over.saturating_sub(1);
            self.visits.0 += 1;
            let dispatch = key.sibling(name.clone());
            let Some(e) = self.dispatches.get(&dispatch) else { continue };
            let (held, base) = (self.claims.is_named(e.obj().uid_str()), e.obj().clone());
            // That no worker in the cache names it is not a fact. Unless its last worker was seen without it, a live GET is needed.
            let status = base.status.as_ref();
            let ask =
                status.filter(|s| !e.is_released(s.attempt)).and_then(|s| s.worker.as_ref()).map(|w| w.name.clone());
            let subject = Subject::Dispatch(dispatch);
            let blocked = self.agenda.blocked_until(&subject, now);
            if let Some(until) = blocked {
                wake.after(until);
            }
            if blocked.is_some() || self.agenda.is_locked(&subject) {
                under_way += 1;
            } else if !held && !base.is_deleting() {
                under_way += 1;
                let verb = match ask {
                    Some(worker) => Verb::GetWorker(key.sibling(worker)),
                    None => Verb::DeleteDispatch(base),
                };
                due.push((subject, verb));
            }
            if under_way >= AT_A_TIME {
                break;
            }
        }
        for (subject, verb) in due {
            self.write(subject, verb);
        }
    }
}
