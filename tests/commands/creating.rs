//! `create pool`.
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::changing::{object, until_ready};

async fn secret(rig: &Rig, name: &str) -> Option<Secret> {
    Api::<Secret>::default_namespaced(rig.client().await).get_opt(name).await.unwrap()
}

#[tokio::test]
async fn values_of_this_shell_become_a_secret_of_the_pool() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let token = rig.file("token");
    std::fs::write(&token, "from a file\n").unwrap();
    let file = format!("b=TOKEN:file:{}", token.display());
    let args = [
        "create",
        "pool",
        "agents",
        "--min",
        "2",
        "--max",
        "3",
        "--cooldown",
        "1m",
        "--scope",
        "credential",
        "--idle-timeout",
        "5m",
        "--credential",
        "a=TOKEN:env:A_TOKEN_OF_THE_SHELL",
        "--credential",
        &file,
        "-o",
        "name",
    ];
    let said = rig.run(&args).exits(0);
    assert_eq!(said.stdout, "containerpool.poolkeeper.dev/agents\n");
    assert!(
        said.stderr.contains("the values of a, b are stored in Secret agents-credentials, not in the pool\n"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("from a file"), "{}", said.stderr);
    let kept = secret(&rig, "agents-credentials").await.unwrap();
    let data = kept.data.unwrap();
    assert_eq!((&*data["a"].0, &*data["b"].0), (&b"secret"[..], &b"from a file"[..]));
    let pool = object(&rig, "pool/agents");
    let spec = &pool["spec"];
    let at =
        |key: &str| json!({"name": key, "env": "TOKEN", "secretKeyRef": {"name": "agents-credentials", "key": key}});
    assert_eq!(spec["credentials"], json!([at("a"), at("b")]));
    assert_eq!((&spec["min"], &spec["max"], &spec["cooldown"]), (&json!(2), &json!(3), &json!("1m")));
    assert_eq!(
        (&spec["rateLimit"]["scope"], &spec["runtime"], &spec["idleTimeout"]),
        (&json!("Credential"), &json!("Process"), &json!("5m"))
    );
    until_ready(&rig, 2);
    let said =
        rig.run(&["create", "pool", "agents", "--credential", "c=TOKEN:env:A_TOKEN_OF_THE_SHELL"]).exits(4).stderr;
    assert!(said.contains("\"agents\" already exists"), "{said}");
    assert_eq!(secret(&rig, "agents-credentials").await.unwrap().data.unwrap().len(), 2, "it is left as it was");
    rig.run(&["delete", "pool", "agents"]).exits(0);
    let mut gone = false;
    for _ in 0..600 {
        gone = secret(&rig, "agents-credentials").await.is_none();
        if gone {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(gone, "the Secret goes with its pool");
}

#[tokio::test]
async fn nothing_is_left_of_a_pool_that_is_refused() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let credential = ["--credential", "a=TOKEN:env:A_TOKEN_OF_THE_SHELL"];
    for (args, code, message) in [
        (&["create", "pool", "agents", "--min", "3", "--max", "2"][..], 2, "min must be <= max (raise spec.max first)"),
        (&["create", "pool", "agents", "--cooldown", "soon"], 2, "spec.cooldown is \"soon\""),
        (&["create", "pool", "agents", "--runtime", "vm"], 2, "use Process or Docker, or Pod on a cluster"),
        (&["create", "pool", "agents", "--scope", "all"], 2, "use Worker or Credential"),
        (
            &["create", "pool", "agents", "--credential", "b=env:NOT_SET_HERE"],
            2,
            "NOT_SET_HERE is not set here: export it first",
        ),
        (&["create", "pool", "agents", "--file", "/nonexistent.yaml"], 3, "--file /nonexistent.yaml"),
        (&["create", "pool", "Agents"], 2, "\"Agents\" is no name"),
        (&["create", "pool", "agents", "-o", "table"], 2, "-o of create is name, json or yaml"),
        (&["create", "pool", "agents", "--runtime", "Process", "--image", "a"], 2, "runtime Process has no image"),
    ] {
        let said = rig.run(&[args, &credential].concat()).exits(code);
        assert!(said.stderr.contains(message), "{args:?}: {}", said.stderr);
        assert!(
            object(&rig, "pool/agents").is_null() && secret(&rig, "agents-credentials").await.is_none(),
            "{args:?}"
        );
    }
    // A Secret of that name that was made by hand is left alone.
    let secrets: Api<Secret> = Api::default_namespaced(rig.client().await);
    let by_hand = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "agents-credentials"}, "stringData": {"a": "mine"}});
    secrets.create(&PostParams::default(), &serde_json::from_value(by_hand).unwrap()).await.unwrap();
    let said = rig.run(&[&["create", "pool", "agents"][..], &credential].concat()).exits(4).stderr;
    assert!(said.contains("Secret agents-credentials exists, and was not made for pool agents"), "{said}");
    assert!(object(&rig, "pool/agents").is_null());
    let named = ["create", "pool", "agents", "--credential", "a=TOKEN:secret:agents-credentials/a"];
    let said = rig.run(&named).exits(0).stderr;
    assert!(!said.contains("are stored in"), "{said}");
    rig.run(&["delete", "pool", "agents"]).exits(0);
    assert!(secret(&rig, "agents-credentials").await.is_some(), "it does not go with the pool");
    let said = rig.run(&["create", "pool", "pods", "--runtime", "Pod", "--image", "a"]).exits(1).stderr;
    assert!(said.contains("the controller does not accept pool pods: runtime Pod is not allowed here"), "{said}");
}

#[tokio::test]
async fn a_dry_run_prints_the_pool_and_makes_nothing() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let credential = "a=env:A_TOKEN_OF_THE_SHELL";
    let said = rig
        .run(&["create", "pool", "agents", "--image", "alpine", "--credential", credential, "--dry-run", "-o", "json"])
        .exits(0);
    let pool: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&pool["spec"]["image"], &pool["spec"]["command"]), (&json!("alpine"), &json!(["sleep", "infinity"])));
    assert_eq!(pool["spec"]["credentials"][0]["secretKeyRef"]["name"], "agents-credentials");
    assert!(rig.run(&["create", "pool", "agents", "--dry-run"]).exits(0).stdout.contains("\nkind: ContainerPool\n"));
    assert!(object(&rig, "pool/agents").is_null() && secret(&rig, "agents-credentials").await.is_none());
    // The flags go before the file, and a variable in the file is one of the server.
    let file = rig.file("pool.yaml");
    let yaml = "apiVersion: poolkeeper.dev/v1alpha1\nkind: ContainerPool\nmetadata: {name: other}\nspec:\n  runtime: Process\n  min: 1\n  credentials: [{name: a, env: T, fromEnv: T}]\n";
    std::fs::write(&file, yaml).unwrap();
    let said = rig
        .run(&["create", "pool", "agents", "-f", &file.display().to_string(), "--min", "0", "--dry-run", "-o", "json"])
        .exits(0);
    let pool: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&pool["metadata"]["name"], &pool["spec"]["min"]), (&json!("agents"), &json!(0)));
    assert_eq!(pool["spec"]["credentials"][0]["fromEnv"], "T");
    until("nothing was made", || rig.run(&["get", "pools"]).exits(0).stdout.is_empty());
}
