//! How many requests a task costs the engine: counted, not timed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use futures::StreamExt;
use poolkeeper::api::dispatch::Target;
use poolkeeper::runtime::LOCAL_HOST;
use poolkeeper::runtime::docker::{DockerExecutor, Endpoint, HostOptions};
use poolkeeper::runtime::exec::{Executor, Task, TaskEnd};

use crate::fixture::{Fixture, within, words};

/// A socket that passes everything on to the engine, and writes down what was asked.
struct Counter {
    path: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

impl Counter {
    fn new(engine: PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let engine = UnixStream::connect(&engine).unwrap();
                let seen = seen.clone();
                pass_on(client.try_clone().unwrap(), engine.try_clone().unwrap(), Some(seen));
                pass_on(engine, client, None);
            }
        });
        Self { path, asked, _dir: dir }
    }

    fn host(&self) -> HostOptions {
        HostOptions { name: LOCAL_HOST.to_owned(), endpoint: Some(Endpoint::Unix(self.path.clone())) }
    }

    /// What was asked since the last call, and how often.
    fn take(&self) -> BTreeMap<String, usize> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        asked.into_iter().fold(BTreeMap::new(), |mut counts, what| {
            *counts.entry(what).or_default() += 1;
            counts
        })
    }
}

/// Copies until one side ends. The client makes a connection for each request, whose first line is noted.
fn pass_on(mut from: UnixStream, mut to: UnixStream, seen: Option<Arc<Mutex<Vec<String>>>>) {
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        let mut first = seen;
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            if let Some(seen) = first.take() {
                let head = String::from_utf8_lossy(&buffer[..n]).into_owned();
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(kind(&head));
            }
            if to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// `GET /v1.41/exec/0123…/json?x HTTP/1.1` is `GET exec json`.
fn kind(head: &str) -> String {
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let is_id = |part: &str| part.len() == 64 && part.chars().all(|c| c.is_ascii_hexdigit());
    let parts = path.split('/').filter(|part| !part.is_empty() && !part.starts_with("v1.") && !is_id(part));
    std::iter::once(method).chain(parts).collect::<Vec<_>>().join(" ")
}

/// As an attempt does it.
async fn attempt(executor: &DockerExecutor, target: &Target, number: i32) -> Option<Vec<u8>> {
    let path = executor.result_path(target, "task", number).await.unwrap();
    let script = if number == 0 { format!("echo {{}} > {path}") } else { "true".to_owned() };
    let task = Task { argv: words(&["sh", "-c", &script]), ..Task::default() };
    let mut running = executor.exec(target, task).await.unwrap();
    while within(running.output.next()).await.is_some() {}
    assert_eq!(within(running.end).await, TaskEnd::Exited(0));
    executor.take_result(target, &path).await.unwrap()
}

#[tokio::test]
async fn a_task_costs_six_requests_and_one_more_look_for_each_tenth_of_a_second_of_silence() {
    let Some(fx) = Fixture::new().await else { return };
    let socket = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let Some(socket) = socket.strip_prefix("unix://") else {
        return crate::fixture::skip("the engine is not reached by a socket");
    };
    let counter = Counter::new(Path::new(socket).to_owned());
    let (_, target) = fx.worker().await;
    let executor = DockerExecutor::new(vec![counter.host()]).unwrap();

    // The first attempt in a container makes the directory of the results, and this one leaves a result.
    assert_eq!(attempt(&executor, &target, 0).await, Some(b"{}\n".to_vec()));
    let first = counter.take();
    assert_eq!(first["PUT containers archive"], 2, "{first:?}");

    let tasks = 10;
    for number in 1..=tasks {
        assert_eq!(attempt(&executor, &target, number).await, None);
    }
    let mut asked = counter.take();
    // How often depends on how long the engine takes to start a process.
    let looks = asked.remove("GET exec json").unwrap();
    let tasks = usize::try_from(tasks).unwrap();
    assert!(looks >= tasks, "{looks}");
    let once = [
        "HEAD containers archive",
        "POST containers exec",
        "POST exec start",
        "GET containers json",
        "GET containers archive",
    ];
    assert_eq!(asked, once.map(|what| (what.to_owned(), tasks)).into());
}

/// A task that removes the directory does not take the results of the next ones with it.
#[tokio::test]
async fn a_directory_of_results_that_a_task_removed_is_made_again() {
    let Some(fx) = Fixture::new().await else { return };
    let (_, target) = fx.worker().await;
    for (number, harm) in ["rm -r", "chmod 700", "rm -r DIR; ln -s /etc", "rm -r DIR; touch"].into_iter().enumerate() {
        let path = fx.executor.result_path(&target, "task", i32::try_from(number).unwrap()).await.unwrap();
        fx.sh(&target, &format!("echo {number} > {path}")).await.text();
        assert_eq!(fx.executor.take_result(&target, &path).await.unwrap(), Some(format!("{number}\n").into_bytes()));
        let directory = path.rsplit_once('/').unwrap().0;
        fx.sh(&target, &format!("{} {directory}", harm.replace("DIR", directory))).await.text();
    }
}
