//! kubectl against the local server: what works, and by which names the rest is refused.
//!
//! Needs kubectl on the PATH, or where `scripts/cluster` puts it.
use std::process::{Command, Stdio};

use poolkeeper_testkit::local_server::{Rig, Said};
use poolkeeper_testkit::program::kubectl;

use crate::PROGRAM;

/// Runs it in a shell, as a user does after `eval "$(poolkeeper local env)"`.
fn shell(rig: &Rig, kubectl: &std::path::Path, script: &str) -> Said {
    let cache = rig.file("cache");
    let script = format!(
        "eval \"$(poolkeeper() {{ '{}' \"$@\"; }}; poolkeeper local env)\"; k() {{ '{}' --cache-dir '{}' \"$@\"; }}; {script}",
        env!("CARGO_BIN_EXE_poolkeeper"),
        kubectl.display(),
        cache.display()
    );
    let mut command = Command::new("sh");
    command.args(["-ec", &script]).env("POOLKEEPER_HOME", rig.home()).env_remove("KUBECONFIG").stdin(Stdio::null());
    Said::of(command.output().unwrap())
}

const POOL: &str = "printf 'apiVersion: poolkeeper.dev/v1alpha1\nkind: ContainerPool\nmetadata: {name: agents}\nspec: {runtime: Process, min: 1, max: 3}\n'";
const DISPATCH: &str =
    "printf 'apiVersion: poolkeeper.dev/v1alpha1\nkind: Dispatch\nmetadata: {name: job}\nspec: {pool: agents}\n'";

#[test]
fn the_day_of_a_user() {
    let Some(kubectl) = kubectl() else { return };
    let rig = Rig::new(PROGRAM);
    rig.up();
    let k = |script: &str| shell(&rig, &kubectl, script);
    assert_eq!(k(&format!("{POOL} | k apply -f -")).exits(0).stdout, "containerpool.poolkeeper.dev/agents created\n");
    assert_eq!(k(&format!("{POOL} | k apply -f -")).exits(0).stdout, "containerpool.poolkeeper.dev/agents unchanged\n");
    k(&format!("{POOL} | k diff -f -")).exits(0);
    let misspelt = k(&format!("{POOL} | sed s/max/mux/ | k apply -f -")).exits(1);
    assert!(misspelt.stderr.contains("strict decoding error: unknown field \"spec.mux\""), "{}", misspelt.stderr);
    k("k wait --for=jsonpath='{.status.ready}'=1 cpool/agents --timeout=60s").exits(0);
    // The columns are those of a cluster: the server makes them.
    let pools = k("k get containerpools").exits(0).stdout;
    let headings: Vec<&str> = pools.lines().next().unwrap_or_default().split_whitespace().collect();
    assert!(headings.starts_with(&["NAME"]) && headings.contains(&"READY") && headings.contains(&"AGE"), "{pools}");
    let workers = k("k get pkw -o wide").exits(0).stdout;
    assert!(workers.contains("PHASE") && workers.contains("Ready"), "{workers}");
    let watched = k("k get pkw -w --request-timeout=1s || true").stdout;
    assert_eq!(watched.matches("NAME").count(), 1, "{watched}");
    assert!(k("k describe cpool agents").exits(0).stdout.contains("Events:"));
    assert!(k("k explain cpool.spec.max").exits(0).stdout.contains("FIELD: max <integer>"));
    assert_eq!(k("k annotate cpool agents a/b=c").exits(0).stdout, "containerpool.poolkeeper.dev/agents annotated\n");
    assert_eq!(k("k label cpool agents a=b").exits(0).stdout, "containerpool.poolkeeper.dev/agents labeled\n");
    assert_eq!(k("k get cpool -l a=b -o name").exits(0).stdout, "containerpool.poolkeeper.dev/agents\n");

    k("k scale cpool agents --replicas=2").exits(0);
    k("k wait --for=jsonpath='{.status.ready}'=2 cpool/agents --timeout=60s").exits(0);
    let refused = k("k scale cpool agents --replicas=9").exits(1);
    assert!(refused.stderr.contains("min must be <= max (raise spec.max first)"), "{}", refused.stderr);

    // kubectl sends this as protobuf.
    let secret = "k create secret generic tokens --from-literal=a=sesame";
    assert_eq!(k(secret).exits(0).stdout, "secret/tokens created\n");
    let secrets = k("k get secrets").exits(0).stdout;
    let rows: Vec<Vec<&str>> = secrets.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((&rows[0][..], &rows[1][..3]), (&["NAME", "TYPE", "DATA", "AGE"][..], &["tokens", "Opaque", "1"][..]));
    let described = k("k describe secret tokens").exits(0).stdout;
    assert!(described.contains("a:  6 bytes") && !described.contains("sesame"), "{described}");
    k("k delete secret tokens").exits(0);

    k(&format!("{DISPATCH} | k create -f -")).exits(0);
    k("k wait --for=jsonpath='{.status.phase}'=Assigned pkd/job --timeout=60s").exits(0);
    let end = r#"k patch pkd job --type=merge -p '{"spec":{"result":{"attempt":1,"outcome":"Succeeded"}}}'"#;
    k(end).exits(0);
    k("k wait --for=jsonpath='{.status.phase}'=Succeeded pkd/job --timeout=60s").exits(0);
    // It returns when the object is gone.
    k("k delete cpool agents --cascade=foreground --timeout=60s").exits(0);
    assert_eq!(k("k get cpool,pkw -o name").exits(0).stdout, "");
}

/// The controller has to stop the worker before the namespace can go.
#[test]
fn a_namespace_goes_with_its_workers() {
    let Some(kubectl) = kubectl() else { return };
    let rig = Rig::new(PROGRAM);
    rig.up();
    let k = |script: &str| shell(&rig, &kubectl, script);
    k("k create namespace team").exits(0);
    k(&format!("{POOL} | k -n team apply -f -")).exits(0);
    k("k -n team wait --for=jsonpath='{.status.ready}'=1 cpool/agents --timeout=60s").exits(0);
    k("k delete namespace team --timeout=60s").exits(0);
    assert_eq!(k("k get cpool,pkw -A -o name").exits(0).stdout, "");
}

#[test]
fn what_is_not_there_yet_is_named() {
    let Some(kubectl) = kubectl() else { return };
    let rig = Rig::new(PROGRAM);
    rig.up();
    let k = |script: &str| shell(&rig, &kubectl, script);
    k(&format!("{POOL} | k apply -f -")).exits(0);
    for (script, refusal) in [
        (
            "k get pods",
            "the local server has no Pods: its workers are containers or processes. Use `poolkeeper get workers`",
        ),
        ("k logs agents-0", "the local server has no Pods"),
        ("k exec agents-0 -- true", "`poolkeeper exec worker/NAME -- COMMAND` instead"),
        ("k port-forward pod/agents-0 8080", "the local server has no Pods"),
        ("k get nodes", "the server doesn't have a resource type \"nodes\""),
        ("k delete namespace default", "this namespace may not be deleted"),
    ] {
        let said = k(script);
        assert!(said.code != 0 && said.stderr.contains(refusal), "{script}: {} {}", said.code, said.stderr);
    }
    assert_eq!(k("k auth can-i delete containerpools").exits(0).stdout, "yes\n");
    let said = k(&format!("{POOL} | k apply --server-side -f -")).exits(1);
    assert!(said.stderr.contains("use `kubectl apply` without --server-side"), "{}", said.stderr);
}
