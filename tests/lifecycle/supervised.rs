//! The built-in supervisor over the whole controller, with an executor that follows a script.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use jiff::Timestamp;
use poolkeeper::api::dispatch::{Outcome, Target};
use poolkeeper::clock::SystemClock;
use poolkeeper::runtime::exec::{ExecError, Executor, Output, Running, Task, TaskEnd};
use poolkeeper::supervisor::Place;
use poolkeeper::supervisor::attempt::{Runner, TaskRef};
use poolkeeper::supervisor::batch::engine::{BatchOptions, Engine};
use poolkeeper::supervisor::batch::source::TaskSource;
use poolkeeper::supervisor::outcome::Judge;
use poolkeeper::supervisor::patience::Patience;
use poolkeeper::supervisor::progress::{Progress, Reporter};
use poolkeeper::supervisor::tracker::Tracker;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::world::{NS, World};

/// What an engine that was stopped for a while leaves of its connections.
const BROKEN: &str = "lost contact with the Docker Engine at unix:///run/d.sock (host local): connection reset by peer";

/// It loses contact with every task, but not with its host.
struct LosesContact;

#[async_trait]
impl Executor for LosesContact {
    async fn exec(&self, _: &Target, _: Task) -> Result<Running, ExecError> {
        let end = async { TaskEnd::Lost(BROKEN.to_owned()) };
        Ok(Running { output: futures::stream::empty().boxed(), end: Box::pin(end) })
    }

    async fn result_path(&self, _: &Target, _: &str, _: i32) -> Result<String, ExecError> {
        Ok("/result".to_owned())
    }

    async fn reaches_host(&self, _: &Target) -> bool {
        true
    }

    async fn take_result(&self, _: &Target, _: &str) -> Result<Option<Vec<u8>>, ExecError> {
        Ok(None)
    }
}

/// Keeps what is reported.
#[derive(Default)]
struct Kept(Mutex<Vec<Progress>>);

#[async_trait]
impl Reporter for Kept {
    fn report(&self, progress: &Progress, _: Timestamp) {
        self.0.lock().unwrap().push(progress.clone());
    }

    async fn pass_on(&self, _: &Output) -> io::Result<()> {
        Ok(())
    }

    fn show_output(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_contact_is_what_the_end_of_the_attempt_says() {
    let w = World::new();
    let pool = w.pool("agents", json!({"min": 1, "max": 1})).await;
    let (kept, clock) = (Arc::new(Kept::default()), Arc::new(SystemClock::new()));
    let tracker = Arc::new(Tracker::new(kept.clone(), clock.clone()));
    let runner = Runner {
        place: Place::new(w.client.clone(), NS, Arc::new(LosesContact), std::future::pending()),
        patience: Patience::new(Duration::ZERO, clock.clone(), tracker.clone()),
        tracker,
        clock,
        command: vec!["agent".to_owned()],
        judge: Judge::default(),
        silence: None,
        state: None,
        stdin: Bytes::new(),
        live: false,
        keep: false,
        keep_for: None,
        short_rests: poolkeeper::supervisor::short_rests::ShortRests::default(),
        command_seen: false.into(),
    };
    let options = BatchOptions {
        pool,
        retry_failed: 0,
        backoff: poolkeeper::api::Period::ZERO,
        max_cost: None,
        spent_before: poolkeeper::supervisor::spent::Usd::default(),
        timeout: None,
        keep: false,
        start_hint: "",
        run: "3f2a91c0".to_owned(),
        lease: None,
        adopted: Default::default(),
    };
    let task =
        TaskRef { id: "line-1".to_owned(), line: 1, text: Some("work".to_owned()), dir: None, earlier: 0, priority: 0 };
    let engine = Engine::new(runner, options, TaskSource::There(Box::new(std::iter::once(Ok(task)))));
    let last = engine.run(&CancellationToken::new()).await.unwrap().unwrap();
    assert_eq!(last.outcome, Outcome::Lost);
    let progress = kept.0.lock().unwrap().clone();
    let workers = progress.iter().filter_map(|p| match p {
        Progress::Started { worker, .. } => Some(worker),
        _ => None,
    });
    assert_eq!(workers.count(), 4, "as often as after WorkerLost: {progress:?}");
    let ended = kept.0.lock().unwrap().iter().find_map(|progress| match progress {
        Progress::Ended { message, .. } => message.clone(),
        _ => None,
    });
    assert_eq!(ended.unwrap(), format!("contact was lost: {BROKEN}"));
}
