//! The credentials of a pool that rest, whichever pool met the limit.

use super::assign::Gate;
use crate::api::pool::RestingCredential;
use crate::api::{ContainerPool, seconds};
use crate::core::{Core, Now, ObjectKey};

impl Core {
    /// Credentials of a pool that rest now or were refused, in the order of the spec.
    pub(in crate::core) fn resting_credentials(
        &mut self,
        key: &ObjectKey,
        obj: &ContainerPool,
        now: Now,
    ) -> Vec<RestingCredential> {
        let mut all = Vec::new();
        for c in &obj.spec.credentials {
            let id = c.identity();
            let rest = self.credential_rest(&key.namespace, &id);
            let until = if rest.parked {
                match self.gate(key, &obj.spec, Some(&id), None, now) {
                    Gate::Parked(next) => next,
                    _ => rest.until.map(|u| u.0), // it is being probed
                }
            } else {
                rest.until.map(|u| u.0).filter(|u| self.rest_ends.lasts(*u, now))
            };
            if !rest.parked && until.is_none() {
                continue;
            }
            let met = self.rest_met_by(&key.namespace, &id);
            all.push(RestingCredential {
                name: c.name.clone(),
                key: id,
                pool: met.as_ref().map_or(&key.name, |(pool, _)| &pool.name).to_string(),
                until: until.map(seconds),
                parked: rest.parked,
                strikes: rest.strikes,
                reason: met.and_then(|(_, reason)| reason),
            });
        }
        all
    }
}
