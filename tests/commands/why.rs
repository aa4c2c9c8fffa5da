//! `poolkeeper why`: what is waited for, until when, and what would make it sooner.

use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use poolkeeper::api::{ContainerPool, Dispatch};
use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::get::create_pool;

async fn create_dispatch(rig: &Rig, name: &str, spec: Value) {
    let dispatch = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch", "metadata": {"name": name}, "spec": spec,
    });
    let api: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    api.create(&PostParams::default(), &serde_json::from_value(dispatch).unwrap()).await.unwrap();
}

async fn patch_dispatch(rig: &Rig, name: &str, patch: Value) {
    let api: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

fn why(rig: &Rig, args: &[&str]) -> String {
    rig.run(&[&["why"], args].concat()).exits(0).stdout
}

#[tokio::test]
async fn a_task_says_what_it_waits_for_and_what_would_make_it_sooner() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let said = rig.run(&["why"]).exits(0);
    assert_eq!(
        (&*said.stdout, &*said.stderr),
        ("", "poolkeeper: nothing waits in namespace default of the local server\n")
    );
    assert_eq!(why(&rig, &["-o", "json"]), "[]\n");

    // Without a pool.
    create_dispatch(&rig, "lost", json!({"pool": "nope"})).await;
    let text = why(&rig, &["lost"]);
    assert!(text.starts_with("dispatch/lost: it waits for pool \"nope\", which does not exist\n"), "{text}");
    assert!(text.contains("poolkeeper cancel lost\n"), "{text}");
    assert_eq!(why(&rig, &[]), text, "it is among all that waits");
    patch_dispatch(&rig, "lost", json!({"spec": {"cancel": true}})).await;

    // On a worker, and behind a task that is.
    create_pool(&rig, "agents", json!({"min": 1, "max": 1})).await;
    create_dispatch(&rig, "first", json!({"pool": "agents", "leaseName": "me", "timeout": "1h"})).await;
    until("it is assigned", || why(&rig, &["first"]).contains("attempt 1 is open on worker agents-0 since "));
    let text = why(&rig, &["dispatch/first"]);
    for words in ["\n  until   2", "its holder must renew Lease me", "end it now: poolkeeper cancel first"] {
        assert!(text.contains(words), "{words:?}: {text}");
    }
    create_dispatch(&rig, "second", json!({"pool": "agents"})).await;
    create_dispatch(&rig, "third", json!({"pool": "agents", "priority": -1})).await;
    let text = why(&rig, &["second"]);
    let busy = "all workers are busy: 1 busy of max 1 (raise spec.max for more)";
    assert!(text.starts_with(&format!("dispatch/second: it waits in pool agents: {busy}\n")), "{text}");
    assert!(
        text.contains("it is the first in the queue") && text.contains("poolkeeper scale agents +1 --max 2\n"),
        "{text}"
    );
    assert!(why(&rig, &["third"]).contains("1 dispatch is before it in the queue"));
    let text = why(&rig, &["agents"]);
    assert!(text.starts_with(&format!("pool/agents: 2 dispatches wait (second, third): {busy}\n")), "{text}");

    // Behind a rest: the time, and the command that ends it.
    let limited = json!({"attempt": 1, "outcome": "RateLimited", "retryAfter": "2h"});
    patch_dispatch(&rig, "first", json!({"spec": {"result": limited}})).await;
    until("the worker rests", || why(&rig, &["second"]).contains("all workers rest; the next is back at "));
    let text = why(&rig, &["second"]);
    let worker: Value = serde_json::from_str(&rig.run(&["get", "worker/agents-0", "-o", "json"]).stdout).unwrap();
    let rest = worker["status"]["restsUntil"].as_str().unwrap();
    assert!(text.contains(&format!("\n  until   {rest} (in ")), "{rest}: {text}");
    assert!(text.contains("end the rest of worker agents-0 (until "), "{text}");
    let value: Value = serde_json::from_str(&why(&rig, &["second", "-o", "json"])).unwrap();
    assert_eq!(value[0]["object"], "dispatch/second");
    assert_eq!((&value[0]["state"], &value[0]["reason"]), (&json!("Waiting"), &json!("Resting")));
    assert!(value[0]["until"].is_string() && value[0]["sooner"][0]["command"].is_string(), "{value}");

    // Finished.
    let text = why(&rig, &["first"]);
    assert!(text.starts_with("dispatch/first: it ended as Failed at "), "{text}");
    assert!(text.contains("attempt 1 on agents-0 ended as RateLimited"), "{text}");

    // A pool without work says why it would wait.
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
    pools.patch("agents", &PatchParams::default(), &Patch::Merge(json!({"spec": {"paused": true}}))).await.unwrap();
    let text = why(&rig, &["pool/agents"]);
    assert!(text.contains("the pool is paused (spec.paused)") && text.contains("poolkeeper resume agents"), "{text}");
}

#[tokio::test]
async fn a_refused_credential_and_a_pool_at_rest() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let credentials = json!([{"name": "a", "env": "TOKEN", "fromCommand": ["echo", "1"]}]);
    create_pool(&rig, "agents", json!({"min": 1, "max": 2, "credentials": credentials})).await;
    create_dispatch(&rig, "t", json!({"pool": "agents"})).await;
    until("it is assigned", || why(&rig, &["t"]).contains("is open on worker"));
    patch_dispatch(&rig, "t", json!({"spec": {"result": {"attempt": 1, "outcome": "Unauthorized"}}})).await;
    until("the credential is parked", || why(&rig, &[]).contains("credential a is parked since it was refused"));
    until("the command names it", || {
        why(&rig, &["agents"])
            .contains("end the rest of credential a (which was refused): poolkeeper cooldown a --clear --pool agents")
    });
    assert!(
        why(&rig, &["agents"]).starts_with(
            "pool/agents: no dispatch waits; credential a is parked since it was refused, probed next at "
        )
    );
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let refused = [
        (&["why", "nope"][..], 3, "there is no dispatch or pool \"nope\" in namespace default of the local server"),
        (&["why", "pool/nope"], 3, "there is no pool \"nope\""),
        (&["why", "task/nope", "-n", "other"], 3, "there is no dispatch \"nope\" in namespace other"),
        (&["why", "worker/nope"], 2, "worker/nope: expected dispatch/NAME or pool/NAME"),
    ];
    for (args, code, message) in refused {
        let said = rig.run(args).exits(code);
        assert!(said.stdout.is_empty() && said.stderr.contains(message), "{args:?}: {}", said.stderr);
    }
}
