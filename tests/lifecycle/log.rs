//! What the log says: compared in full, without the times.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use poolkeeper::cli::LogFormat;
use poolkeeper::cli::log::lines;
use poolkeeper::runtime::Exit;
use poolkeeper_testkit::fake::Fault;
use serde_json::json;
use tracing::Dispatch;

use crate::world::World;

/// The lines of this thread's log.
struct Lines {
    written: Buffer,
    /// Those that [`Lines::about_objects`] gave.
    given: Mutex<Vec<String>>,
    _guard: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn at(level: &str, format: LogFormat) -> Self {
        // With only one subscriber tracing asks the thread that reaches a callsite first, which may be that of another test
        // and have none, and caches the answer for all threads.
        static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
        LazyLock::force(&ANOTHER);
        let written = Buffer::default();
        let writer = written.clone();
        let guard = tracing::subscriber::set_default(lines(level, format, false, move || writer.clone()));
        Self { written, given: Mutex::default(), _guard: guard }
    }

    /// What was logged since the last call, without the times.
    fn take(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.written.0.lock().unwrap())).unwrap();
        text.lines().map(masked).collect()
    }

    /// As [`Lines::take`], without the beginning that is the same in every line, and without changes of a pool's conditions.
    fn about_objects(&self) -> Vec<String> {
        let lines: Vec<String> =
            self.take().iter().map(|line| short(line)).filter(|l| !l.starts_with("INFO pool event ")).collect();
        self.given.lock().unwrap().extend(lines.clone());
        lines
    }
}

fn masked(line: &str) -> String {
    let time = regex::Regex::new(r"\d{4}-\d\d-\d\dT[0-9:.]+Z").unwrap();
    time.replace_all(line, "TIME").into_owned()
}

fn short(line: &str) -> String {
    line.replace("TIME  ", "").replace("poolkeeper::controller: ", "").replace(" namespace=default", "")
}

/// Nothing is seen of its deletion but that it is gone.
#[tokio::test(start_paused = true)]
async fn a_worker_that_is_removed_with_its_finalizer_is_a_line() {
    let w = World::new();
    let log = Lines::at("info", LogFormat::Text);
    w.pool("agents", json!({"min": 1, "max": 1})).await;
    w.until_pool("agents", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    let first = w.all_workers().await[0].metadata.uid.clone();
    let off = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    w.workers().patch("agents-0", &PatchParams::default(), &off).await.unwrap();
    delete_worker(&w, "agents-0").await;
    let another = |x: &poolkeeper::api::Worker| {
        x.metadata.uid != first
            && x.status.as_ref().is_some_and(|s| s.phase == poolkeeper::api::worker::WorkerPhase::Ready)
    };
    w.until_workers("another one", |ws| ws.len() == 1 && another(&ws[0])).await;
    assert_eq!(
        log.about_objects(),
        [
            "INFO worker started pool=agents worker=agents-0",
            r#"INFO worker deleted pool=agents worker=agents-0 reason="another client deleted it, and removed its finalizer before""#,
            "INFO worker started pool=agents worker=agents-0",
        ]
    );
}

async fn delete_worker(w: &World, name: &str) {
    w.workers().delete(name, &DeleteParams::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn at_info_each_start_each_end_and_each_attempt_that_did_not_succeed_is_a_line() {
    ends().await;
}

/// Starts and ends of workers and attempts. Returns all that was logged.
async fn ends() -> Vec<String> {
    let w = World::new();
    let log = Lines::at("info", LogFormat::Text);
    w.pool("agents", json!({"max": 2, "cooldown": "10m", "idleTimeout": "1m"})).await;
    w.dispatch("greet", "agents", json!({"retry": {"rateLimited": 0, "workerLost": 1}})).await;
    w.until_assigned("greet").await;
    assert_eq!(log.about_objects(), ["INFO worker started pool=agents worker=agents-0"]);

    // A lost attempt that is retried, on another worker, and limited there.
    let key = w.fake.instances()[0].0.key.clone();
    assert!(
        w.fake
            .exit(&key, Exit { code: Some(3), out_of_memory: false, tail: "no\nroom".to_owned(), from_outside: false })
    );
    w.until_dispatch("greet", "lost", |d| d.status.as_ref().is_some_and(|s| s.attempt == 2)).await;
    w.report("greet", json!({"outcome": "RateLimited", "message": "5 in a row", "retryAfter": "90s"})).await;
    w.until_final("greet").await;
    w.until_workers("one", |ws| ws.len() == 1).await;
    assert_eq!(
        log.about_objects(),
        [
            r#"INFO attempt ended pool=agents worker=agents-0 dispatch=greet attempt=1 outcome=WorkerLost phase=Pending reason="worker exited with code 3; last output: no\nroom""#,
            r#"INFO worker deleted pool=agents worker=agents-0 dispatch=greet reason="attempt 1 of greet ended without a report""#,
            "INFO worker started pool=agents worker=agents-1",
            r#"INFO attempt ended pool=agents worker=agents-1 dispatch=greet attempt=2 outcome=RateLimited phase=Failed until=TIME reason="5 in a row""#,
        ]
    );

    // A busy worker that a person deletes, and forces.
    w.annotate("agents", "cooldown.poolkeeper.dev/agents-1", "clear").await;
    w.dispatch("stuck", "agents", json!({})).await;
    let worker = w.until_assigned("stuck").await;
    delete_worker(&w, &worker).await;
    w.until_workers("draining", |ws| ws.iter().any(|x| x.metadata.deletion_timestamp.is_some())).await;
    let force = json!({"metadata": {"annotations": {"poolkeeper.dev/force-delete": "true"}}});
    w.workers().patch(&worker, &PatchParams::default(), &Patch::Merge(force)).await.unwrap();
    w.until_final("stuck").await;
    w.until_workers("gone", <[_]>::is_empty).await;
    assert_eq!(
        log.about_objects(),
        [
            r#"INFO worker deleted pool=agents worker=agents-1 dispatch=stuck reason="another client deleted it; it waits for the end of stuck""#,
            r#"INFO attempt ended pool=agents worker=agents-1 dispatch=stuck attempt=1 outcome=Forced phase=Failed reason="annotation poolkeeper.dev/force-delete is set""#,
        ]
    );
    log.given.into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn at_info_each_refusal_is_a_line() {
    refusals().await;
}

/// Refusals of a start, a request, and dispatches. Returns all that was logged.
async fn refusals() -> Vec<String> {
    let w = World::new();
    let log = Lines::at("info", LogFormat::Text);
    w.fake.fail_next_start(Fault::Refused("no space left".to_owned()));
    w.pool("agents", json!({"min": 1, "max": 1, "dispatch": {"queueLimit": 1}})).await;
    w.until_pool("agents", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    w.annotate("agents", "dispach.poolkeeper.dev/a", "").await;
    w.dispatch("a", "agents", json!({})).await;
    w.until_assigned("a").await;
    w.dispatch("b", "agents", json!({})).await;
    w.dispatch("c", "agents", json!({})).await;
    w.until_final("c").await;
    w.dispatch("elsewhere", "nowhere", json!({})).await;
    w.until_dispatch("elsewhere", "told", |d| d.status.as_ref().is_some_and(|s| !s.conditions.is_empty())).await;
    assert_eq!(
        log.about_objects(),
        [
            r#"INFO worker deleted pool=agents worker=agents-0 reason="it did not start: no space left""#,
            "INFO worker started pool=agents worker=agents-0",
            r#"INFO request refused pool=agents reason="annotation dispach.poolkeeper.dev/a: there is no such annotation: use dispatch.poolkeeper.dev/TASK, result.poolkeeper.dev/TASK or cooldown.poolkeeper.dev/WORKER-or-CREDENTIAL; for example dispatch.poolkeeper.dev/task-42='{\"priority\":5}'""#,
            r#"INFO dispatch refused pool=agents dispatch=c phase=Failed reason="1 dispatches wait already (spec.dispatch.queueLimit)""#,
            r#"INFO dispatch has no pool pool=nowhere dispatch=elsewhere reason="there is no ContainerPool \"nowhere\" in namespace \"default\"; waiting for it""#,
        ]
    );
    log.given.into_inner().unwrap()
}

/// A policy denies deletions: the write is retried, and its refusal is logged once.
#[tokio::test(start_paused = true)]
async fn a_refused_write_is_one_warning_for_the_same_words() {
    let w = World::new();
    w.pool("agents", json!({"min": 1, "max": 1})).await;
    w.until_pool("agents", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    let log = Lines::at("info", LogFormat::Text);
    w.refuse(http::Method::DELETE, Some("denied the request: no deletions today"));
    w.patch_pool("agents", json!({"spec": {"image": "worker:2"}})).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    w.refuse(http::Method::DELETE, None);
    w.until_pool("agents", "updated", |p| p.status.as_ref().is_some_and(|s| s.ready == 1 && s.updated == 1)).await;
    assert_eq!(
        log.about_objects(),
        [
            r#"WARN write refused pool=agents worker=agents-0 reason="delete the worker: denied the request: no deletions today""#,
            r#"INFO worker deleted pool=agents worker=agents-0 reason="the pool's template has changed""#,
            "INFO worker started pool=agents worker=agents-0",
        ]
    );
}

/// The whole way of a dispatch that succeeds.
#[tokio::test(start_paused = true)]
async fn at_debug_each_action_is_a_line() {
    let w = World::new();
    w.pool("agents", json!({"min": 1, "max": 1})).await;
    w.until_pool("agents", "ready", |p| p.status.as_ref().is_some_and(|s| s.ready == 1)).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let log = Lines::at("debug", LogFormat::Json);
    w.dispatch("greet", "agents", json!({})).await;
    w.until_assigned("greet").await;
    w.report("greet", json!({"outcome": "Succeeded"})).await;
    w.until_final("greet").await;
    w.until_workers("free", |ws| ws.iter().all(|x| x.status.as_ref().is_some_and(|s| s.dispatch.is_none()))).await;
    let lines = log.take();
    let lines: Vec<&str> = lines.iter().map(String::as_str).filter(|l| !l.contains("the pool's status")).collect();
    let line = |what: &str, rest: &str| {
        let object = r#""namespace":"default","pool":"agents","worker":"agents-0","dispatch":"greet","attempt":1"#;
        format!(
            r#"{{"timestamp":"TIME","level":"DEBUG","message":"{what}",{object},{rest},"target":"poolkeeper::controller"}}"#
        )
    };
    let wanted = [
        line("reserve the worker", r#""phase":"Busy""#),
        line("publish the attempt", r#""phase":"Assigned""#),
        line("close the attempt", r#""outcome":"Succeeded","phase":"Succeeded""#),
        line("free the worker", r#""phase":"Ready""#),
    ];
    assert_eq!(lines, wanted);
}

/// The lines that docs/kubernetes.md quotes are lines of the two scenarios above.
#[tokio::test(start_paused = true)]
async fn the_page_quotes_real_lines() {
    let mut logged = ends().await;
    logged.extend(refusals().await);
    let page = include_str!("../../docs/kubernetes.md");
    let section = page.split_once("## Reading the log\n").unwrap().1.split_once("\n## ").unwrap().0;
    let quoted = section.split_once("```text\n").unwrap().1.split_once("```").unwrap().0;
    assert!(quoted.lines().count() > 3);
    for line in quoted.lines() {
        let line = short(&masked(line));
        assert!(logged.contains(&line), "{line} is not among {logged:#?}");
    }
}
