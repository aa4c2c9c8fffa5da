//! Dispatch cycles a second: created, assigned, reported, final. Against `run --local` with as many workers, in the same run.
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Instant;

use futures::StreamExt;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::{ContainerPool, Dispatch};
use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::json;

use crate::commands::PROGRAM;

const WORKERS: usize = 16;
const TASKS: usize = 2000;
/// Dispatches that are not final, at most.
const IN_FLIGHT: usize = 64;

fn dispatch(n: usize) -> Dispatch {
    serde_json::from_value(json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch", "metadata": {"name": format!("task-{n}")},
        "spec": {"pool": "agents"},
    }))
    .unwrap()
}

/// A supervisor that runs nothing: it reports success as soon as it sees a target.
async fn by_the_server(rig: &Rig) -> f64 {
    let client = rig.client().await;
    let dispatches: Api<Dispatch> = Api::default_namespaced(client);
    let start = Instant::now();
    let (mut created, mut done, mut reported) = (0, 0, BTreeSet::new());
    let events = watcher(dispatches.clone(), watcher::Config::default()).default_backoff().applied_objects();
    let mut events = std::pin::pin!(events);
    while created < IN_FLIGHT {
        dispatches.create(&PostParams::default(), &dispatch(created)).await.unwrap();
        created += 1;
    }
    while done < TASKS {
        let seen = events.next().await.unwrap().unwrap();
        let Some(status) = &seen.status else { continue };
        if status.phase == DispatchPhase::Succeeded {
            done += 1;
            if created < TASKS {
                let (dispatches, next) = (dispatches.clone(), dispatch(created));
                tokio::spawn(async move { dispatches.create(&PostParams::default(), &next).await.unwrap() });
                created += 1;
            }
        } else if status.target.is_some() && reported.insert(seen.name_any()) {
            let (dispatches, name) = (dispatches.clone(), seen.name_any());
            let result = json!({"spec": {"result": {"attempt": 1, "outcome": "Succeeded"}}});
            tokio::spawn(async move {
                dispatches.patch(&name, &PatchParams::default(), &Patch::Merge(&result)).await.unwrap()
            });
        }
    }
    TASKS as f64 / start.elapsed().as_secs_f64()
}

/// `run --local` with as many tasks of `true`.
fn by_a_run(rig: &Rig) -> f64 {
    let tasks = rig.file("tasks");
    std::fs::write(&tasks, (0..TASKS).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    let mut run =
        rig.poolkeeper(&["run", "--local", "--workers", &WORKERS.to_string(), "--progress", "none", "--tasks"]);
    run.arg(&tasks).args(["--", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    assert!(run.status().unwrap().success());
    TASKS as f64 / start.elapsed().as_secs_f64()
}

/// Prints the figures.
pub async fn run() {
    let rig = Rig::new(PROGRAM);
    let client = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client);
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"},
        "spec": {"runtime": "Process", "min": WORKERS, "max": WORKERS, "dispatch": {"history": {"limit": 5000}}},
    });
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    until("the workers are ready", || rig.run(&["get", "workers"]).stdout.matches(" Ready ").count() == WORKERS);
    let server = by_the_server(&rig).await;
    let run = by_a_run(&rig);
    println!(
        "{TASKS} dispatches on {WORKERS} workers: local server {server:.0} cycles/s, run --local with `true` {run:.0}/s: {:.0} %",
        server / run * 100.0
    );
}
