//! The credentials of the view.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::model::{Credential, Standing, Worker};
use super::workers::{Rests, of_credential};
use crate::api::ContainerPool;
use crate::core::ObjectKey;

/// The credentials of all pools. Pools of one namespace that have the same one share it.
pub(super) fn credentials<'a>(
    pools: impl Iterator<Item = (&'a ObjectKey, &'a Arc<ContainerPool>)>,
    workers: &[Worker],
    rests: &Rests,
) -> Vec<Credential> {
    let mut used: BTreeMap<(&str, &str, &str), (usize, usize)> = BTreeMap::new();
    for worker in workers {
        let Some(credential) = &worker.credential else { continue };
        let (all, busy) = used.entry((&worker.namespace, &worker.pool, credential)).or_default();
        *all += 1;
        *busy += usize::from(worker.standing == Standing::Busy);
    }
    let mut all: BTreeMap<(Arc<str>, String), Credential> = BTreeMap::new();
    for (key, pool) in pools {
        for spec in &pool.spec.credentials {
            let entry =
                all.entry((key.namespace.clone(), spec.identity())).or_insert_with_key(|(namespace, identity)| {
                    Credential {
                        namespace: namespace.clone().into(),
                        name: spec.name.clone(),
                        key: identity.clone(),
                        pools: Vec::new(),
                        workers: 0,
                        busy: 0,
                        max_concurrent: None,
                        rest: None,
                        met_by: None,
                    }
                });
            if entry.pools.last().is_none_or(|last| **last != *key.name) {
                entry.pools.push(key.name.clone().into());
            }
            let (workers, busy) = used.remove(&(&*key.namespace, &*key.name, &*spec.name)).unwrap_or_default();
            (entry.workers, entry.busy) = (entry.workers + workers, entry.busy + busy);
            entry.max_concurrent = entry.max_concurrent.into_iter().chain(spec.max_concurrent).min();
            let rest = rests.get(key).and_then(|rests| rests.iter().find(|rest| rest.name == spec.name));
            if let Some(rest) = rest.filter(|_| entry.rest.is_none()) {
                entry.rest = Some(of_credential(rest));
                entry.met_by = Some(rest.pool.clone());
            }
        }
    }
    let mut all: Vec<Credential> = all.into_values().collect();
    all.sort_by(|a, b| (&a.namespace, &a.name, &a.key).cmp(&(&b.namespace, &b.name, &b.key)));
    all
}
