//! `kill -9` of the local server while tasks run in its containers and processes, while `run --local` uses the same engine.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use poolkeeper::api::{ContainerPool, Worker};
use poolkeeper_testkit::local_server::{Rig, until};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::engine::{Engine, IMAGE};
use crate::supervisor::{Supervisor, dispatches, judge};
use crate::swapped;
use crate::{PROGRAM, number};
use poolkeeper_testkit::truth::Truth;

/// What each worker is: its uid, and its container or process.
pub async fn workers(rig: &Rig) -> BTreeMap<String, (String, String)> {
    let api: Api<Worker> = Api::default_namespaced(rig.client().await);
    let all = api.list(&ListParams::default()).await.unwrap();
    let handle = |worker: &Worker| worker.status.as_ref()?.handle.as_ref().map(|handle| handle.id.clone());
    all.iter().filter_map(|w| Some((w.name_any(), (w.uid()?, handle(w)?)))).collect()
}

pub fn processes() -> ContainerPool {
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "processes"},
        "spec": {"runtime": "Process", "min": 2, "max": 2},
    });
    serde_json::from_value(pool).unwrap()
}

/// Kills the server while supervisors work on its pools, until all tasks are done and it was killed often enough.
async fn killed(rig: &Rig, pools: &[&str], truth: &Truth) {
    let kills = number("POOLKEEPER_KILLS", 2);
    let seed = number("POOLKEEPER_CRASH_SEED", u64::from(std::process::id()));
    println!("{kills} kills, POOLKEEPER_CRASH_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let tasks = usize::try_from(4 + kills).unwrap();
    until("the workers are up", || rig.run(&["get", "workers"]).stdout.matches(" Ready ").count() == 2 * pools.len());
    let before = workers(rig).await;
    let mut supervisors: Vec<Supervisor> =
        pools.iter().map(|pool| Supervisor::start(rig, pool, 3, truth, &truth.tasks(pool, tasks))).collect();
    // One that finds no server when it starts gives up, and its tasks never begin.
    until("every pool works", || pools.iter().all(|pool| truth.count(&format!("begin {pool}-")) > 0));
    for kill in 0..kills {
        let (begun, more) = (truth.count("begin"), rng.random_range(0..4));
        let all = tasks * pools.len();
        until("work goes on", || {
            assert!(!supervisors.iter_mut().any(Supervisor::has_failed), "a supervisor gave up");
            truth.count("begin") >= (begun + more).min(all)
        });
        // Anywhere in what follows a begin or an end.
        std::thread::sleep(std::time::Duration::from_millis(rng.random_range(0..400)));
        rig.kill();
        rig.up();
        println!("kill {kill} after {begun} begins and {more} more");
    }
    for (pool, supervisor) in pools.iter().zip(supervisors) {
        supervisor.finish(rig, pool);
    }
    let unknown = judge(truth, &dispatches(rig).await, tasks * pools.len());
    assert_eq!(unknown.worker_lost, 0, "containers and processes outlive the server");
    let after = workers(rig).await;
    // A worker is another one only if an attempt on it was lost.
    let replaced = before.iter().filter(|(name, it)| after.get(*name) != Some(it)).count();
    assert!(replaced <= unknown.lost, "{replaced} replaced, {unknown:?}: {before:?} {after:?}");
}

#[tokio::test]
async fn tasks_in_processes_run_on_and_none_runs_twice() {
    let rig = Rig::new(PROGRAM);
    let truth = Truth::new(&rig.file("truth"), "test $n -ge 8");
    rig.up();
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
    pools.create(&PostParams::default(), &processes()).await.unwrap();
    killed(&rig, &["processes"], &truth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_are_adopted_and_nobody_sweeps_those_of_another() {
    let Some(engine) = Engine::up() else { return };
    let rig = Rig::with_docker(PROGRAM);
    let truth = Truth::new(&rig.file("truth"), "test $n -ge 8");
    rig.local(&["up", "--docker-host", &engine.address()]).exits(0);
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
    pools.create(&PostParams::default(), &processes()).await.unwrap();
    pools.create(&PostParams::default(), &swapped::pool("boxes", &truth)).await.unwrap();
    let stop = AtomicBool::new(false);
    let runs = std::thread::scope(|scope| {
        let (stop, engine, rig) = (&stop, &engine, &rig);
        let beside = scope.spawn(move || {
            let mut runs = 0;
            while !stop.load(Ordering::SeqCst) {
                let mut run = rig.poolkeeper(&["run", "beside", "--local", "--image", IMAGE, "--", "sleep", "0.2"]);
                let said = run.env("DOCKER_HOST", engine.address()).output().unwrap();
                assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
                runs += 1;
            }
            runs
        });
        let work = || tokio::runtime::Handle::current().block_on(killed(rig, &["processes", "boxes"], &truth));
        // Also if it fails, the loop of runs ends.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tokio::task::block_in_place(work)));
        stop.store(true, Ordering::SeqCst);
        let runs = beside.join().unwrap();
        done.map_or_else(|why| std::panic::resume_unwind(why), |()| runs)
    });
    println!("{runs} runs at the same time");
    rig.local(&["down", "--force"]).exits(0);
    assert_eq!(engine.containers(), Vec::<String>::new());
}
