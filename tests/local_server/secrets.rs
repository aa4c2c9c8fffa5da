//! Credentials of pools: where the server finds their values, and what it says if it finds none.
use std::os::unix::fs::PermissionsExt;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use poolkeeper::api::{ContainerPool, Dispatch, Worker};
use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::life::{assigned, dispatch, pool};

fn with_credential(name: &str, credential: Value) -> ContainerPool {
    let mut entry = json!({"name": "a", "env": "API_TOKEN"});
    entry.as_object_mut().unwrap().extend(credential.as_object().unwrap().clone());
    pool(name, json!({"max": 1, "credentials": [entry]}))
}

/// The environment of the worker that this dispatch gets.
async fn environment(client: &Client, pool: &str, name: &str) -> String {
    let dispatches: Api<Dispatch> = Api::default_namespaced(client.clone());
    dispatches.create(&PostParams::default(), &dispatch(name, json!({"pool": pool}))).await.unwrap();
    let job = assigned(&dispatches, name).await;
    let argv = job.status.clone().unwrap().target.unwrap().argv;
    let output = tokio::process::Command::new(&argv[0]).args(&argv[1..]).arg("env").output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result = json!({"metadata": {"uid": job.uid()}, "spec": {"result": {"attempt": 1, "outcome": "Succeeded"}}});
    dispatches.patch(name, &PatchParams::default(), &Patch::Merge(&result)).await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Why no worker of a pool can be started, as its status says.
async fn refusal(client: &Client, pool: &str) -> String {
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let says = |pool: &ContainerPool| {
        let status = pool.status.as_ref()?;
        status.conditions.iter().map(|c| c.message.clone()).find(|message| message.contains("credential a: "))
    };
    let wait =
        kube::runtime::wait::await_condition(pools, pool, |pool: Option<&ContainerPool>| pool.and_then(says).is_some());
    let found = tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.unwrap().unwrap();
    found.as_ref().and_then(says).unwrap()
}

#[tokio::test]
async fn a_worker_gets_the_value_that_its_secret_has_when_it_starts() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let workers: Api<Worker> = Api::default_namespaced(client.clone());
    let tokens: Secret =
        serde_json::from_value(json!({"metadata": {"name": "tokens"}, "stringData": {"a": "sesame-open\n"}})).unwrap();
    secrets.create(&PostParams::default(), &tokens).await.unwrap();
    let at = json!({"secretKeyRef": {"name": "tokens", "key": "a"}});
    pools.create(&PostParams::default(), &with_credential("agents", at)).await.unwrap();
    let seen = environment(&client, "agents", "first").await;
    assert!(seen.lines().any(|line| line == "API_TOKEN=sesame-open"), "{seen}");
    // It outlives the server, and is in no file that others may read, nor in the log.
    rig.kill();
    rig.up();
    let patch = json!({"stringData": {"a": "sesame-shut"}});
    secrets.patch("tokens", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let old = workers.get("agents-0").await.unwrap().uid().unwrap();
    workers.delete("agents-0", &DeleteParams::default()).await.unwrap();
    let gone = kube::runtime::wait::conditions::is_deleted(&old);
    kube::runtime::wait::await_condition(workers, "agents-0", gone).await.unwrap();
    let seen = environment(&client, "agents", "second").await;
    assert!(seen.lines().any(|line| line == "API_TOKEN=sesame-shut"), "{seen}");
    assert!(!rig.local(&["logs"]).stdout.contains("sesame"));
    let kept = std::fs::read(rig.home().join("server.log")).unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains("sesame"));
}

#[tokio::test]
async fn workers_get_the_values_that_changed_while_no_server_ran() {
    let rig = Rig::new(PROGRAM);
    let file = rig.file("token");
    std::fs::write(&file, "file-one").unwrap();
    rig.local(&["up", "--env", "TOKEN=variable-one"]).exits(0);
    let client = rig.client().await;
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let tokens: Secret =
        serde_json::from_value(json!({"metadata": {"name": "tokens"}, "stringData": {"a": "secret-one"}})).unwrap();
    secrets.create(&PostParams::default(), &tokens).await.unwrap();
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let workers: Api<Worker> = Api::default_namespaced(client.clone());
    let mut uids = Vec::new();
    for (name, credential) in [
        ("variable", json!({"fromEnv": "TOKEN"})),
        ("file", json!({"fromFile": file})),
        ("secret", json!({"secretKeyRef": {"name": "tokens", "key": "a"}})),
    ] {
        pools.create(&PostParams::default(), &with_credential(name, credential)).await.unwrap();
        let seen = environment(&client, name, &format!("{name}-first")).await;
        assert!(seen.lines().any(|line| line == format!("API_TOKEN={name}-one")), "{seen}");
        uids.push((name, workers.get(&format!("{name}-0")).await.unwrap().uid().unwrap()));
    }
    // The hashes are stored at the next look.
    let hashes = rig.home().join("credentials.json");
    until("the server stored what it saw", || {
        let stored = std::fs::read_to_string(&hashes).unwrap_or_default();
        ["env/TOKEN", "token\"", "tokens/a"].iter().all(|identity| stored.contains(identity))
    });
    let stored = std::fs::read_to_string(&hashes).unwrap();
    assert!(!stored.contains("-one"), "{stored}");
    assert_eq!(std::fs::metadata(&hashes).unwrap().permissions().mode() & 0o777, 0o600);
    rig.kill();
    std::fs::write(&file, "file-two").unwrap();
    rig.local(&["up", "--env", "TOKEN=variable-two"]).exits(0);
    for (name, uid) in uids {
        let worker = format!("{name}-0");
        if name == "secret" {
            let same = workers.get(&worker).await.unwrap().uid();
            assert_eq!(same.as_deref(), Some(&*uid), "its value is the same");
            continue;
        }
        let is_replaced = kube::runtime::wait::conditions::is_deleted(&uid);
        kube::runtime::wait::await_condition(workers.clone(), &worker, is_replaced).await.unwrap();
        let seen = environment(&client, name, &format!("{name}-second")).await;
        assert!(seen.lines().any(|line| line == format!("API_TOKEN={name}-two")), "{seen}");
    }
}

#[tokio::test]
async fn a_credential_without_a_value_is_named_with_what_to_do() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    let tokens: Secret =
        serde_json::from_value(json!({"metadata": {"name": "tokens"}, "stringData": {"b": "x"}})).unwrap();
    secrets.create(&PostParams::default(), &tokens).await.unwrap();
    for (name, credential, words) in [
        (
            "no-secret",
            json!({"secretKeyRef": {"name": "nothing", "key": "a"}}),
            "credential a: there is no Secret nothing in namespace default: create it with the key a",
        ),
        (
            "no-key",
            json!({"secretKeyRef": {"name": "tokens", "key": "a"}}),
            "credential a: Secret tokens has no key a; it has b",
        ),
        (
            "no-variable",
            json!({"fromEnv": "NO_SUCH_TOKEN"}),
            "credential a: the variable NO_SUCH_TOKEN is not set where the local server runs, and that of your shell does not \
             count: keep the value in a Secret and name it in secretKeyRef, as `poolkeeper create pool --credential \
             a=env:NO_SUCH_TOKEN` does",
        ),
        (
            "relative",
            json!({"fromCommand": ["./print-token"]}),
            "credential a: the program ./print-token of fromCommand is a relative path",
        ),
    ] {
        let mut pool = with_credential(name, credential);
        pool.spec.min = 1;
        pools.create(&PostParams::default(), &pool).await.unwrap();
        let said = refusal(&client, name).await;
        assert!(said.contains(words), "{name}: {said}");
    }
}
