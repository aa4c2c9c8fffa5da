//! `poolkeeper run POOL` with tasks that take long: what their attempts share.
use std::fs;

use kube::Api;
use kube::api::ListParams;
use poolkeeper::api::Dispatch;
use poolkeeper_testkit::local_server::Rig;
use serde_json::json;

use crate::PROGRAM;
use crate::get::create_pool;

#[tokio::test]
async fn attempts_share_a_directory_in_the_workers_of_a_pool() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 2, "max": 2, "cooldown": "1h"})).await;
    fs::write(rig.file("t.txt"), "a\n").unwrap();
    let (tasks, state) = (rig.file("t.txt").display().to_string(), rig.file("kept").display().to_string());
    let script = "echo $POOLKEEPER_WORKER >> $POOLKEEPER_STATE/seen; [ $POOLKEEPER_ATTEMPT = 2 ] || exit 75";
    rig.run(&["run", "agents", "--tasks", &tasks, "--state", &state, "--", "sh", "-c", script]).exits(0);
    let seen = fs::read_to_string(rig.file("kept/line-1/seen")).unwrap();
    let mut workers: Vec<&str> = seen.lines().collect();
    workers.sort_unstable();
    assert_eq!(workers, ["agents-0", "agents-1"]);
}

#[tokio::test]
async fn a_pool_whose_workers_cannot_see_the_directory_is_refused_by_name() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let dir = rig.file("kept");
    let mounts = json!([{"hostPath": dir, "mountPath": "/data"}]);
    create_pool(&rig, "images", json!({"runtime": "Docker", "image": "agent:1", "max": 1, "mounts": mounts})).await;
    let said = rig.run(&["run", "images", "--state", &dir.display().to_string(), "--", "true"]).exits(2);
    let dir = dir.canonicalize().unwrap();
    let flag = format!("--mount {0}:/poolkeeper/state:rw", dir.display());
    assert!(
        said.stderr.contains("the workers of pool images do not see it") && said.stderr.contains(&flag),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn the_priority_of_a_task_is_that_of_its_dispatch() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 1, "max": 1})).await;
    fs::write(rig.file("t.jsonl"), "{\"id\":\"first\"}\n{\"id\":\"high\",\"priority\":5}\n").unwrap();
    rig.run(&["run", "agents", "--tasks", &rig.file("t.jsonl").display().to_string(), "--", "true"]).exits(0);
    let dispatches: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    let found = dispatches.list(&ListParams::default()).await.unwrap().items;
    let mut priorities: Vec<_> = found.iter().map(|d| (d.spec.note.as_deref().unwrap(), d.spec.priority)).collect();
    priorities.sort_unstable();
    assert_eq!(priorities, [("first", 0), ("high", 5)]);
    let retry = &found[0].spec.retry;
    assert_eq!((retry.overloaded, retry.backoff.unwrap().to_string().as_str()), (-1, "10s"));
}
