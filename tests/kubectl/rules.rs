//! Every rule of the three kinds as kubectl meets it: the table of `crates/testkit/src/rules/` by `kubectl apply` and
//! `kubectl patch`, and what `kubectl scale` may set.
//!
//! Needs kubectl on the PATH and a real API server: `POOLKEEPER_TEST_API` is its kubeconfig. `scripts/ci/conformance.sh` has
//! both. `tests/conformance` holds the whole answers, and the rules of the schemas that are not in this table.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use poolkeeper_testkit::cluster::{self, Namespace};
use poolkeeper_testkit::program;
use poolkeeper_testkit::rules::{self, Case};

use crate::server;

/// How many kubectl run at a time: each is mostly waiting for its own start.
const BESIDE: usize = 3;

/// kubectl in a namespace of its own.
struct Kubectl {
    program: PathBuf,
    namespace: Namespace,
    /// Its cache of what the server offers, so nothing is left in the user's home.
    cache: tempfile::TempDir,
}

impl Kubectl {
    /// Installs the kinds. None, with a loud line on stderr, if there is no cluster.
    async fn new() -> Option<Self> {
        let (client, program) = (cluster::client().await?, program::kubectl()?);
        server::install(&program);
        let kubectl = Self { program, namespace: Namespace::new(client).await, cache: tempfile::tempdir().unwrap() };
        Some(kubectl)
    }

    /// Runs it with this on standard input.
    fn run(&self, args: &[&str], stdin: Option<&Value>) -> Output {
        let mut child = Command::new(&self.program)
            .args(["--namespace", &self.namespace.name])
            .arg("--cache-dir")
            .arg(self.cache.path())
            .args(args)
            .env("KUBECONFIG", std::env::var_os("POOLKEEPER_TEST_API").unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        if let Some(object) = stdin {
            pipe.write_all(object.to_string().as_bytes()).unwrap();
        }
        drop(pipe);
        child.wait_with_output().unwrap()
    }

    fn apply(&self, object: &Value) -> Result<(), String> {
        said(&self.run(&["apply", "-f", "-"], Some(object)))
    }

    /// Makes `spec` or `status` of an object, as it was written last, that of `object`.
    fn patch(&self, was: &Value, object: &Value, part: &str) -> Result<(), String> {
        let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        let patch = json!({part: rules::difference(&was[part], &object[part])}).to_string();
        let mut args = vec!["patch", kind, name, "--type=merge", "-p", &patch];
        if part == "status" {
            args.push("--subresource=status");
        }
        said(&self.run(&args, None))
    }

    /// Tells a case: the first step by `apply`, as the others unless they are `patched`. Returns how the last one ended.
    fn tell(&self, case: &Case, name: &str, patched: bool) -> Result<(), String> {
        let objects = case.objects();
        let last = objects.len() - 1;
        let mut was = Value::Null;
        for (i, mut object) in objects.into_iter().enumerate() {
            // Each in a name of its own, except those that are about names.
            if object["metadata"]["name"] == "agents" {
                object["metadata"]["name"] = json!(name);
            }
            let mut spec = object.clone();
            let status = spec.as_object_mut().unwrap().remove("status");
            let mut end = if i == 0 || !patched { self.apply(&spec) } else { self.patch(&was, &spec, "spec") };
            if status.is_some() && end.is_ok() {
                end = self.patch(&was, &object, "status");
            }
            if i == last {
                return end;
            }
            end.unwrap_or_else(|e| panic!("{} {:?}: step {i}: {e}", case.kind, case.name));
            was["spec"] = object["spec"].take();
            if status.is_some() {
                was["status"] = object["status"].take();
            }
        }
        unreachable!("a case has steps")
    }
}

/// What kubectl said when it failed. `patch` warns of a field that there is not, where `apply` fails.
fn said(output: &Output) -> Result<(), String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() && !text.contains("Warning: unknown field") { Ok(()) } else { Err(text) }
}

fn judge(case: &Case, way: &str, end: Result<(), String>) {
    match (case.refused, end) {
        (None, Ok(())) => {}
        (None, Err(why)) => panic!("{way}: {} {:?} is refused: {why}", case.kind, case.name),
        (Some(text), Ok(())) => panic!("{way}: {} {:?} is taken; expected: {text}", case.kind, case.name),
        (Some(text), Err(why)) => {
            assert!(
                why.contains(text),
                "{way}: {} {:?} is refused, but not with {text:?}: {why}",
                case.kind,
                case.name
            );
        }
    }
}

/// Runs `tell` for each of the cases; `nth` tells them apart.
fn each(cases: &[&Case], tell: impl Fn(usize, &Case) + Sync) {
    std::thread::scope(|scope| {
        let tell = &tell;
        let all: Vec<_> = (0..BESIDE)
            .map(|n| {
                let mine = cases.iter().enumerate().skip(n).step_by(BESIDE);
                scope.spawn(move || mine.for_each(|(nth, case)| tell(nth, case)))
            })
            .collect();
        for one in all {
            one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

#[tokio::test]
async fn apply_keeps_every_rule() {
    let Some(kubectl) = Kubectl::new().await else { return };
    let cases: Vec<&Case> = rules::cases().collect();
    each(&cases, |nth, case| {
        judge(case, "apply", kubectl.tell(case, &format!("case-{nth}"), false));
    });
    kubectl.namespace.delete().await;
}

/// What a pool may not be by birth it may not become; the other kinds' specs cannot change except as their cases say.
#[tokio::test]
async fn patch_keeps_every_rule() {
    let Some(kubectl) = Kubectl::new().await else { return };
    let is_about_a_name = |case: &Case| case.objects()[0]["metadata"]["name"] != "agents";
    let cases: Vec<&Case> = rules::cases()
        .filter(|case| case.steps.len() > 1 || (case.kind == "ContainerPool" && !is_about_a_name(case)))
        .collect();
    each(&cases, |nth, case| {
        let name = format!("case-{nth}");
        let end = if case.steps.len() == 1 {
            let mut object = case.objects().remove(0);
            object["metadata"]["name"] = json!(name);
            // A pool needs one of these two. The patch removes the one that the case does not have.
            let has_image = !object["spec"]["image"].is_null();
            let spec = if has_image { json!({"image": "a"}) } else { json!({"runtime": "Process"}) };
            let least = json!({
                "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": object["metadata"], "spec": spec,
            });
            kubectl.apply(&least).unwrap();
            let status = !object["status"].is_null();
            let patch = |part| kubectl.patch(&least, &object, part);
            patch("spec").and_then(|()| if status { patch("status") } else { Ok(()) })
        } else {
            kubectl.tell(case, &name, true)
        };
        judge(case, "patch", end);
    });
    kubectl.namespace.delete().await;
}

#[tokio::test]
async fn scale_keeps_every_rule() {
    let Some(kubectl) = Kubectl::new().await else { return };
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"},
        "spec": {"image": "a", "min": 1, "max": 8},
    });
    kubectl.apply(&pool).unwrap();
    let scale = |replicas: &str| {
        said(&kubectl.run(&["scale", "containerpool/agents", &format!("--replicas={replicas}")], None))
    };
    let min = || kubectl.run(&["get", "cpool", "agents", "-o", "jsonpath={.spec.min}"], None).stdout;
    for replicas in ["8", "0", "3"] {
        scale(replicas).unwrap();
        assert_eq!(String::from_utf8(min()).unwrap(), replicas);
    }
    for (replicas, text) in [
        ("9", "min must be <= max (raise spec.max first)"),
        ("100001", "spec.min in body should be less than or equal to 100000"),
        ("-1", "must be greater than or equal to 0"),
    ] {
        let why = scale(replicas).unwrap_err();
        assert!(why.contains(text), "{replicas}: {why}");
        assert_eq!(String::from_utf8(min()).unwrap(), "3");
    }
    kubectl.namespace.delete().await;
}
