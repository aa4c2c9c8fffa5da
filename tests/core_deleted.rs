//! What is known of an end holds though its dispatch is deleted before all that follows from it is written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use poolkeeper::api::{ContainerPool, Dispatch, RuntimeKind, Worker, names};
use poolkeeper::core::{Action, Config, Core, Event, HostKey, Key, Now, RuntimeFact, Seen, Verb};
use poolkeeper::runtime::{Instance, InstanceKey, InstanceState, LOCAL_HOST, Observation};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const NOW: &str = "2026-01-01T01:00:00Z";

fn object<T: DeserializeOwned>(name: &str, version: u32, spec: Value, status: Value) -> Arc<T> {
    let metadata = json!({"name": name, "namespace": "ns", "uid": format!("{name}-uid"), "generation": 1,
        "resourceVersion": version.to_string(), "creationTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": [names::WORKER_FINALIZER, names::POOL_FINALIZER]});
    let kind = std::any::type_name::<T>().rsplit("::").next().unwrap();
    let value = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, "status": status});
    Arc::new(serde_json::from_value(value).unwrap())
}

fn host() -> HostKey {
    HostKey { runtime: RuntimeKind::Process, host: LOCAL_HOST.to_owned() }
}

/// A pool whose workers share a credential; its worker names attempt 1 of `task`, which runs, or ended so.
fn core(last_result: &Value) -> (Core, Arc<Dispatch>) {
    let mut core = Core::new(Config {
        default_runtime: RuntimeKind::Process,
        runtimes: vec![RuntimeKind::Process],
        hosts: vec![(RuntimeKind::Process, vec![LOCAL_HOST.to_owned()])],
        rollup_interval: Duration::from_secs(5),
        local_credentials: true,
        target: Arc::new(|_, _| unreachable!("nothing is published here")),
    });
    let pool: Arc<ContainerPool> = object(
        "p",
        1,
        json!({"min": 1, "max": 1, "runtime": "Process", "rateLimit": {"scope": "Credential"},
            "credentials": [{"name": "a", "env": "TOKEN", "fromEnv": "PATH"}]}),
        json!({}),
    );
    let named = json!({"name": "task", "uid": "task-uid", "attempt": 1, "assignedAt": "2026-01-01T00:30:00.000000Z"});
    let handle = json!({"id": "1", "started": "1"});
    let worker: Arc<Worker> = object(
        "p-0",
        2,
        json!({"pool": "p", "runtime": "Process", "host": "local", "credential": "a", "poolGeneration": 1, "templateHash": ""}),
        json!({"phase": "Busy", "dispatch": named, "handle": handle, "dispatches": 1}),
    );
    let ended = !last_result.is_null();
    let task: Arc<Dispatch> = object(
        "task",
        3,
        json!({"pool": "p"}),
        json!({"phase": if ended { "Failed" } else { "Assigned" }, "attempt": 1, "worker": {"name": "p-0", "uid": "p-0-uid"},
            "assignedAt": "2026-01-01T00:30:00.000000Z", "lastResult": last_result,
            "finishedAt": ended.then_some(NOW)}),
    );
    let instance = Instance {
        key: InstanceKey { namespace: "ns".into(), worker: "p-0".into(), uid: "p-0-uid".into() },
        host: LOCAL_HOST.to_owned(),
        handle: serde_json::from_value(handle).unwrap(),
        state: InstanceState::Running,
    };
    let events = [
        Event::Pool(Seen::Present(pool)),
        Event::Worker(Seen::Present(worker)),
        Event::Dispatch(Seen::Present(task.clone())),
        Event::Pool(Seen::Listed([Key::new("ns", "p")].into())),
        Event::Worker(Seen::Listed([Key::new("ns", "p-0")].into())),
        Event::Dispatch(Seen::Listed([Key::new("ns", "task")].into())),
        Event::Runtime(RuntimeFact::Observed(host(), Observation::Listed(vec![instance]))),
    ];
    for event in events {
        core.apply(event, now());
    }
    (core, task)
}

fn now() -> Now {
    Now::new(NOW.parse().unwrap(), Duration::from_secs(1000))
}

fn verbs(core: &mut Core) -> Vec<Verb> {
    let verb = |a| if let Action::Write(_, verb) = a { Some(verb) } else { None };
    core.decide(now()).into_iter().filter_map(verb).collect()
}

#[test]
fn a_rest_is_not_forgotten_with_its_dispatch() {
    let limited = json!({"attempt": 1, "outcome": "RateLimited", "closedAt": NOW, "until": "2026-01-01T02:00:00Z"});
    let (mut core, task) = core(&limited);
    let first = verbs(&mut core);
    let rests = |verbs: &[Verb]| {
        let limits =
            verbs.iter().filter_map(|v| if let Verb::PoolStatus(_, s) = v { Some(&s.rate_limits) } else { None });
        limits.flatten().any(|r| r.until.as_ref().is_some_and(|t| t.0.to_string() == "2026-01-01T02:00:00Z"))
    };
    assert!(rests(&first), "the credential's rest is written first: {first:?}");

    // That write is still under way.
    core.apply(Event::Dispatch(Seen::Gone(task)), now());
    let then = verbs(&mut core);
    let harmful = then.iter().find(|v| matches!(v, Verb::DeleteWorker(_) | Verb::GetDispatch(_)));
    assert!(harmful.is_none(), "its worker waits for it: {then:?}");
}

#[test]
fn a_worker_is_freed_though_the_dispatch_that_ended_on_it_is_deleted() {
    let (mut core, task) = core(&json!({"attempt": 1, "outcome": "Succeeded", "closedAt": NOW}));
    core.apply(Event::Dispatch(Seen::Gone(task)), now());
    let then = verbs(&mut core);
    let freed = |v: &Verb| matches!(v, Verb::WorkerStatus(_, s) if s.dispatch.is_none());
    assert!(then.iter().any(freed), "{then:?}");
}

/// Whether it was reported between is not known: the server is asked.
#[test]
fn an_open_attempt_whose_dispatch_is_deleted_is_asked_for() {
    let (mut core, task) = core(&Value::Null);
    core.apply(Event::Dispatch(Seen::Gone(task)), now());
    let then = verbs(&mut core);
    assert!(then.iter().any(|v| matches!(v, Verb::GetDispatch(_))), "{then:?}");
}
