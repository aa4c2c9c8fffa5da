//! Attempts against a real API, with an executor that follows a script.
use std::sync::Mutex;

use async_trait::async_trait;
use futures::StreamExt;
use kube::api::{Patch, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::*;
use crate::api::dispatch::{Target, WorkerRef};
use crate::api::{RuntimeKind, Worker, crd};
use crate::clock::{Ids, SystemClock};
use crate::local::{History, LocalApi, Options};
use crate::runtime::exec::Executor;
use crate::supervisor::progress::Silent;
use crate::supervisor::report::params;

/// Every task ends in the same way.
struct Scripted {
    end: TaskEnd,
    file: Option<&'static str>,
    ran: Arc<Mutex<Vec<Task>>>,
}

#[async_trait]
impl Executor for Scripted {
    async fn exec(&self, _: &Target, task: Task) -> Result<Running, ExecError> {
        self.ran.lock().unwrap().push(task);
        let end = self.end.clone();
        let output = futures::stream::iter([Output::Stdout(Bytes::from_static(b"out\n"))]).boxed();
        Ok(Running { output, end: Box::pin(async move { end }) })
    }

    async fn result_path(&self, _: &Target, _: &str, attempt: i32) -> Result<String, ExecError> {
        Ok(format!("/results/{attempt}"))
    }

    async fn reaches_host(&self, _: &Target) -> bool {
        true
    }

    async fn take_result(&self, _: &Target, _: &str) -> Result<Option<Vec<u8>>, ExecError> {
        Ok(self.file.map(|f| f.as_bytes().to_vec()))
    }
}

struct Scene {
    runner: Runner,
    attempt: Attempt,
    ran: Arc<Mutex<Vec<Task>>>,
    dir: tempfile::TempDir,
}

/// A Dispatch `t` whose attempt 1 is open on Worker `p-0`.
async fn scene(end: TaskEnd, file: Option<&'static str>) -> Scene {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = Options { crds: crd::all(), clock: clock.clone(), ids: Ids::seeded(1), history: History::Window(10) };
    let client = LocalApi::new(options).unwrap().client("default");
    let dispatches: Api<Dispatch> = Api::default_namespaced(client.clone());
    let workers: Api<Worker> = Api::default_namespaced(client.clone());
    let worker = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Worker", "metadata": {"name": "p-0"},
        "spec": {"pool": "p", "poolGeneration": 1, "runtime": "Process", "templateHash": "x"},
    });
    let worker = workers.create(&PostParams::default(), &serde_json::from_value(worker).unwrap()).await.unwrap();
    let dispatch = Dispatch::new("t", crate::api::DispatchSpec { pool: "p".into(), ..Default::default() });
    let dispatch = dispatches.create(&PostParams::default(), &dispatch).await.unwrap();
    let (target, worker) = (
        Target { runtime: RuntimeKind::Process, host: None, id: "x".into(), argv: vec!["x".into()], endpoint: None },
        WorkerRef { name: "p-0".into(), uid: worker.uid().unwrap() },
    );
    let status = json!({"status": {"phase": "Assigned", "attempt": 1, "worker": worker, "target": target}});
    dispatches.patch_status("t", &params(), &Patch::Merge(&status)).await.unwrap();
    let (ran, dir) = (Arc::new(Mutex::new(Vec::new())), tempfile::tempdir().unwrap());
    let executor = Arc::new(Scripted { end, file, ran: ran.clone() });
    let tracker = Arc::new(Tracker::new(Arc::new(Silent), clock.clone()));
    let runner = Runner {
        place: Place::new(client, "default", executor, std::future::pending()),
        patience: Patience::new(Duration::ZERO, clock.clone(), tracker.clone()),
        tracker,
        clock,
        command: vec!["agent".into()],
        judge: Judge { exit_codes: vec![75], ..Judge::default() },
        silence: None,
        state: None,
        stdin: Bytes::new(),
        live: false,
        keep: true,
        keep_for: None,
        short_rests: ShortRests::default(),
        command_seen: AtomicBool::new(false),
    };
    let task = TaskRef {
        id: "line-1".into(),
        line: 1,
        text: Some("work".into()),
        dir: Some(dir.path().join("line-1")),
        earlier: 0,
        priority: 0,
    };
    let attempt = Attempt {
        name: "t".into(),
        uid: dispatch.uid().unwrap(),
        number: 1,
        worker,
        target,
        task: Arc::new(task),
        last_try: true,
        again: false,
        exited: Arc::default(),
        spent: Arc::default(),
    };
    Scene { runner, attempt, ran, dir }
}

impl Scene {
    async fn close(&self, outcome: &str) {
        let last = json!({"attempt": 1, "outcome": outcome, "closedAt": "2026-01-01T00:00:00.000000Z"});
        let status = json!({"status": {"phase": "Pending", "target": null, "lastResult": last}});
        self.runner.place.dispatches().patch_status("t", &params(), &Patch::Merge(&status)).await.unwrap();
    }

    async fn reported(&self) -> Option<DispatchResult> {
        self.runner.place.dispatches().get("t").await.unwrap().spec.result
    }

    fn recorded(&self) -> Option<TaskResult> {
        TaskResult::read(&self.dir.path().join("line-1")).unwrap()
    }
}

#[tokio::test]
async fn what_ended_is_recorded_and_reported() {
    let scene = scene(TaskEnd::Exited(3), None).await;
    let end = scene.runner.attempt(&scene.attempt).await;
    assert!(matches!(end, AttemptEnd::Reported { recorded: true }), "{end:?}");
    assert_eq!(scene.attempt.exited.get(), Some(&3));
    assert_eq!(scene.reported().await.unwrap().outcome, ReportedOutcome::Failed);
    assert_eq!(scene.recorded().unwrap().exit_code, Some(3));
    let task = scene.ran.lock().unwrap().remove(0);
    assert_eq!((task.argv, task.stdin), (vec!["agent".to_owned()], Bytes::from_static(b"work\n")));
    let env: Vec<String> = task.env.iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(
        env,
        [
            "POOLKEEPER_TASK_ID=line-1",
            "POOLKEEPER_ATTEMPT=1",
            "POOLKEEPER_WORKER=p-0",
            "POOLKEEPER_RESULT=/results/1",
            "TASK=work"
        ]
    );
}

#[tokio::test]
async fn what_will_be_tried_again_has_no_result() {
    let limited = scene(TaskEnd::Exited(0), Some(r#"{"outcome":"RateLimited","retryAfter":"90s"}"#)).await;
    let end = limited.runner.attempt(&limited.attempt).await;
    assert!(matches!(end, AttemptEnd::Reported { recorded: false }), "{end:?}");
    assert_eq!(limited.reported().await.unwrap().retry_after.unwrap().to_string(), "1m30s");
    assert_eq!(limited.recorded(), None);
    let mut failed = scene(TaskEnd::Exited(1), None).await;
    failed.attempt.last_try = false;
    failed.runner.attempt(&failed.attempt).await;
    assert_eq!(failed.recorded(), None);
}

#[tokio::test]
async fn what_was_taken_back_is_not_started() {
    let scene = scene(TaskEnd::Exited(0), None).await;
    scene.close("WorkerLost").await;
    assert!(matches!(scene.runner.attempt(&scene.attempt).await, AttemptEnd::Stale));
    assert!(scene.ran.lock().unwrap().is_empty());
    let other = Attempt { uid: "another".into(), ..scene.attempt.clone() };
    assert!(matches!(scene.runner.attempt(&other).await, AttemptEnd::Stale));
}

#[tokio::test]
async fn a_report_on_what_is_closed_is_refused() {
    let scene = scene(TaskEnd::Exited(0), None).await;
    scene.close("TimedOut").await;
    let report = DispatchResult { attempt: 1, outcome: ReportedOutcome::Succeeded, retry_after: None, message: None };
    assert!(matches!(scene.runner.report(&scene.attempt, &report, AttemptEnd::Lost).await, AttemptEnd::Stale));
    assert_eq!(scene.reported().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_lives_on_after_contact_was_lost_is_reported_lost() {
    let scene = scene(TaskEnd::Lost("the stream broke".into()), None).await;
    assert!(matches!(scene.runner.attempt(&scene.attempt).await, AttemptEnd::Lost));
    let reported = scene.reported().await.unwrap();
    assert_eq!((reported.attempt, reported.outcome), (1, ReportedOutcome::Lost));
    assert_eq!(reported.message.as_deref(), Some("contact was lost: the stream broke"));
}

#[tokio::test(start_paused = true)]
async fn of_a_worker_that_is_known_to_be_dead_nothing_is_reported() {
    let scene = scene(TaskEnd::Lost("it died".into()), None).await;
    let close = async {
        tokio::time::sleep(LOST_GRACE / 2).await;
        scene.close("WorkerLost").await;
    };
    let (end, ()) = tokio::join!(scene.runner.attempt(&scene.attempt), close);
    assert!(matches!(end, AttemptEnd::Lost) && scene.reported().await.is_none(), "{end:?}");
}
