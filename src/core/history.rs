//! How long finished dispatches stay: until `history.ttl` or `history.limit`, and their worker is freed.

use super::index::Wake;
use super::{Core, Key, Now, Object, Subject, Verb, cooldown};
use crate::api::pool::HistoryPolicy;

/// Deletes under way at a time. More would not be faster, and each is passed by again for each that ends.
const AT_A_TIME: usize = 32;

impl Core {
    /// Deletes what has been kept long enough. One delete is all that a dispatch's end costs.
    pub(super) fn expire_history(&mut self, key: &Key, policy: &HistoryPolicy, now: Now, wake: &mut Wake) {
        let limit = usize::try_from(policy.limit).unwrap_or(0);
        let Some(p) = self.pools.get(key) else { return };
        let mut over = p.finals.len().saturating_sub(limit);
        let (mut due, mut under_way) = (Vec::new(), 0);
        for (finished, name) in &p.finals {
            let end = cooldown::after(*finished, policy.ttl.get());
            if over == 0 && end > now.wall {
                wake.at(end);
                break;
            }
            over = over.saturating_sub(1);
            self.visits.0 += 1;
            let dispatch = key.sibling(name.clone());
            let Some(e) = self.dispatches.get(&dispatch) else { continue };
            let (held, base) = (self.named.contains_key(e.obj.uid_str()), e.obj.clone());
            let subject = Subject::Dispatch(dispatch);
            let trouble = self.trouble.get(&subject).filter(|t| t.until > now.mono);
            if let Some(t) = trouble {
                wake.after(t.until);
            }
            if trouble.is_some() || self.inflight.contains(&subject) {
                under_way += 1;
            } else if !held && !base.is_deleting() {
                under_way += 1;
                due.push((subject, base));
            }
            if under_way >= AT_A_TIME {
                break;
            }
        }
        for (subject, base) in due {
            self.write(subject, Verb::DeleteDispatch(base));
        }
    }
}
