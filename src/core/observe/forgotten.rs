//! An object that is gone leaves nothing behind.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::{ContainerPool, RuntimeKind, Worker};
use crate::core::template::template_hash;
use crate::core::testkit::dispatch;
use crate::core::{Config, Core, Fetched, HostKey, Input, Listed, Now, ObjectKey, RuntimeFact, Seen, Settled, Subject};
use crate::runtime::{Instance, InstanceKey, InstanceState, LOCAL_HOST, Observation, RuntimeError};

fn core() -> Core {
    let mut core = Core::new(Config {
        default_runtime: RuntimeKind::Process,
        runtimes: vec![RuntimeKind::Process],
        hosts: vec![(RuntimeKind::Process, vec![LOCAL_HOST.to_owned()])],
        rollup_interval: Duration::from_secs(5),
        local_credentials: true,
        standing_down: false,
        check_pattern: |_| Ok(()),
        target: Arc::new(|_, _| unreachable!()),
    });
    core.listed = Listed { pools: true, workers: true, dispatches: true };
    core
}

fn now() -> Now {
    Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(1000))
}

fn object<T: DeserializeOwned>(kind: &str, name: &str, version: u32, spec: &Value, status: &Value) -> Arc<T> {
    let metadata = json!({"name": name, "namespace": "ns", "uid": name, "resourceVersion": version.to_string(),
        "finalizers": ["poolkeeper.dev/pool"]});
    let value = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, "status": status});
    Arc::new(serde_json::from_value(value).unwrap())
}

fn host() -> HostKey {
    HostKey { runtime: RuntimeKind::Process, host: LOCAL_HOST.to_owned() }
}

#[test]
fn a_dispatch_takes_its_failures_with_it() {
    let (mut core, key) = (core(), ObjectKey::new("ns", "d"));
    let d = Arc::new(dispatch("ns", "d", "nowhere"));
    let refused = || Input::Settled(Subject::Dispatch(key.clone()), Settled::Refused("no".into()));
    core.apply(Input::Dispatch(Seen::Present(d.clone())), now());
    core.decide(now());
    core.apply(refused(), now());
    assert_eq!(core.agenda.failing(), 1);
    core.apply(Input::Dispatch(Seen::Gone(d)), now());
    assert_eq!(core.agenda.failing(), 0);
    // The answer to the write under way comes last.
    core.apply(refused(), now());
    assert_eq!(core.agenda.failing(), 0);
}

#[test]
fn a_credential_is_forgotten_with_its_last_pool_and_attempt() {
    let mut core = core();
    let spec = json!({"runtime": "Process", "credentials": [{"name": "c", "env": "TOKEN", "fromEnv": "PATH"}]});
    let p: Arc<ContainerPool> = object("ContainerPool", "p", 1, &spec, &json!({}));
    core.apply(Input::Pool(Seen::Present(p.clone())), now());
    assert_eq!(core.credentials.len(), 1);
    core.apply(Input::Pool(Seen::Gone(p.clone())), now());
    assert_eq!(core.credentials.len(), 0);

    let hash = template_hash(&p.spec, p.spec.credentials.first());
    let spec = json!({"pool": "p", "runtime": "Process", "host": "local", "credential": "c", "poolGeneration": 1, "templateHash": hash});
    let named = json!({"name": "d", "uid": "d", "attempt": 1, "assignedAt": "2026-01-01T00:00:00Z"});
    let w: Arc<Worker> = object("Worker", "p-0", 2, &spec, &json!({"phase": "Busy", "dispatch": named}));
    core.apply(Input::Pool(Seen::Present(p.clone())), now());
    core.apply(Input::Worker(Seen::Present(w.clone())), now());
    core.apply(Input::Pool(Seen::Gone(p)), now());
    assert_eq!(core.credentials.len(), 1, "an attempt on it is open");
    core.apply(Input::Worker(Seen::Gone(w)), now());
    assert_eq!(core.credentials.len(), 0);
}

#[test]
fn an_orphan_that_goes_while_something_is_under_way_leaves_nothing() {
    let key = InstanceKey { namespace: "ns".into(), worker: "p-0".into(), uid: "u".into() };
    let orphan = Subject::Orphan(Box::new(key.clone()));
    let observed = |o| Input::Runtime(RuntimeFact::Observed(host(), o));
    let instance = Instance {
        key: key.clone(),
        host: LOCAL_HOST.to_owned(),
        handle: serde_json::from_value(json!({"id": "1", "started": "1"})).unwrap(),
        state: InstanceState::Running,
        own: true,
    };
    let absent = || Input::Settled(orphan.clone(), Settled::Done(Some(Fetched::Worker(None))));
    let unasked = || Input::Settled(orphan.clone(), Settled::Failed(None, "no answer".into()));
    let unstopped = || Input::Runtime(RuntimeFact::Stopped(key.clone(), Err(RuntimeError::Refused("no".into()))));
    for late in [&absent as &dyn Fn() -> Input, &unasked, &unstopped] {
        let mut core = core();
        core.apply(observed(Observation::Listed(vec![instance.clone()])), now());
        core.decide(now());
        assert_eq!(core.in_flight(), 1, "whether it has a Worker is asked");
        core.apply(observed(Observation::Gone(key.clone())), now());
        core.apply(late(), now());
        core.decide(now());
        assert_eq!((core.instances.sizes(), core.agenda.failing()), ((0, 0), 0));
    }
}
