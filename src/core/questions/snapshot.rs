//! A [`Core`] that knows what the objects of a server say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::api::dispatch::Target;
use crate::api::pool::RestingCredential;
use crate::api::vocabulary::{WorkerHealthy, WorkerReady};
use crate::api::worker::WorkerPhase;
use crate::api::{Condition, ContainerPool, Dispatch, RuntimeKind, Worker};
use crate::core::{Config, Core, HostKey, Input, Now, Object, ObjectKey, RuntimeFact, Seen, Wait};
use crate::runtime::{Exit, Instance, InstanceKey, InstanceState, LOCAL_HOST, Observation};

/// See the module's page.
pub struct Snapshot {
    core: Core,
    now: Now,
}

impl Snapshot {
    /// `default_runtime`: that of the controller, for pools that name none.
    pub fn new(
        pools: Vec<Arc<ContainerPool>>,
        workers: Vec<Arc<Worker>>,
        dispatches: Vec<Arc<Dispatch>>,
        default_runtime: RuntimeKind,
        now: Now,
    ) -> Self {
        let all = [RuntimeKind::Pod, RuntimeKind::Docker, RuntimeKind::Process];
        let mut hosts: BTreeMap<RuntimeKind, BTreeSet<String>> =
            all.into_iter().map(|runtime| (runtime, BTreeSet::from([LOCAL_HOST.to_owned()]))).collect();
        for pool in &pools {
            let named = pool.spec.hosts.iter().map(|host| host.name.clone());
            hosts.entry(pool.spec.runtime.unwrap_or(default_runtime)).or_default().extend(named);
        }
        let mut instances: BTreeMap<HostKey, Vec<Instance>> = BTreeMap::new();
        for worker in &workers {
            let host = host_of(worker);
            hosts.entry(host.runtime).or_default().insert(host.host.clone());
            instances.entry(host).or_default().extend(instance(worker));
        }
        let core = Core::new(Config {
            default_runtime,
            // Whether the controller allows what a pool asks for stands in the pool's conditions.
            runtimes: all.to_vec(),
            hosts: hosts.iter().map(|(runtime, names)| (*runtime, names.iter().cloned().collect())).collect(),
            rollup_interval: Duration::from_secs(5),
            local_credentials: true,
            standing_down: false,
            check_pattern: |_| Ok(()),
            target: Arc::new(|host, instance| Target {
                runtime: host.runtime,
                host: Some(host.host.clone()),
                id: instance.handle.id.clone(),
                argv: Vec::new(),
                endpoint: None,
            }),
        });
        let mut snapshot = Self { core, now };
        for (runtime, names) in hosts {
            for host in names {
                let key = HostKey { runtime, host };
                let listed = Observation::Listed(instances.remove(&key).unwrap_or_default());
                snapshot.apply(Input::Runtime(RuntimeFact::Observed(key, listed)));
            }
        }
        for pool in pools {
            snapshot.apply(Input::Pool(Seen::Present(pool)));
        }
        for worker in workers {
            snapshot.apply(Input::Worker(Seen::Present(worker)));
        }
        for dispatch in dispatches {
            snapshot.apply(Input::Dispatch(Seen::Present(dispatch)));
        }
        snapshot
    }

    fn apply(&mut self, input: Input) {
        self.core.apply(input, self.now);
    }

    /// What the head of a pool's queue waits for, or would wait for.
    pub(super) fn wait(&mut self, pool: &ContainerPool) -> Wait {
        self.core.explain(&ObjectKey::of(pool), self.now)
    }

    /// The credentials of a pool that rest, whichever pool met the limit.
    pub fn resting_credentials(&mut self, pool: &ContainerPool) -> Vec<RestingCredential> {
        self.core.resting_credentials(&ObjectKey::of(pool), pool, self.now)
    }
}

fn host_of(worker: &Worker) -> HostKey {
    let host = worker.spec.host.clone().unwrap_or_else(|| LOCAL_HOST.to_owned());
    HostKey { runtime: worker.spec.runtime, host }
}

/// The instance of a worker, as the worker's status describes it.
fn instance(worker: &Worker) -> Option<Instance> {
    let status = worker.status.clone().unwrap_or_default();
    let not = |found: Option<&Condition>| found.filter(|c| !c.is_true()).map(|c| c.message.clone());
    let lost = not(Condition::find::<WorkerReady>(&status.conditions));
    let state = match status.phase {
        WorkerPhase::Failed => InstanceState::Exited(Exit::default()),
        _ if lost.is_some() => InstanceState::Exited(Exit::default()),
        WorkerPhase::Starting => match status.message {
            Some(why) => InstanceState::NotReady { why, held: false },
            None => InstanceState::Starting,
        },
        _ => match not(Condition::find::<WorkerHealthy>(&status.conditions)) {
            Some(why) => InstanceState::NotReady { why, held: false },
            None => InstanceState::Running,
        },
    };
    Some(Instance {
        key: InstanceKey {
            namespace: worker.metadata.namespace.clone()?,
            worker: worker.metadata.name.clone()?,
            uid: worker.uid_str().to_owned(),
        },
        host: host_of(worker).host,
        own: true,
        handle: status.handle.unwrap_or_default(),
        state,
    })
}
