//! How many writes a second a store takes, on a disk whose sync lasts 5 ms and on the disk of `$TMPDIR`.
//!
//! `cargo test --release --test local_disk -- --ignored --nocapture speed`
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use poolkeeper::clock::{Ids, SystemClock};
use poolkeeper::local::{Contents, DiskStore, History, LocalApi, Options};
use poolkeeper_testkit::gadget::*;
use redb::StorageBackend;
use redb::backends::FileBackend;
use serde_json::json;

static SYNCS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// A file whose sync takes longer.
#[derive(Debug)]
struct SlowFile(FileBackend, Duration);

impl StorageBackend for SlowFile {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        std::thread::sleep(self.1);
        SYNCS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
}

fn open(path: &Path, sync: Duration) -> (DiskStore, Contents) {
    drop(DiskStore::open(path, Timestamp::UNIX_EPOCH).unwrap());
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    DiskStore::on(SlowFile(FileBackend::new(file).unwrap(), sync), path, Timestamp::UNIX_EPOCH).unwrap()
}

/// Status patches by that many clients at a time, for two seconds: how many a second, and the latency of the 99th percentile.
async fn writes(api: &LocalApi, writers: usize) -> (f64, Duration) {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let namespace = "default".to_owned();
            let env = Subject { client: api.client(&namespace), namespace, local: Some(api.clone()) };
            tokio::spawn(async move {
                let name = format!("gadget-{writer}");
                let _ = env.try_create(&name, json!({"max": 5})).await;
                let mut took = Vec::new();
                while begin.elapsed() < Duration::from_secs(2) {
                    let start = Instant::now();
                    let status = json!({"status": {"phase": format!("{}", took.len())}});
                    env.merge_status(&name, status).await.unwrap();
                    took.push(start.elapsed());
                }
                took
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.append(&mut task.await.unwrap());
    }
    all.sort_unstable();
    (all.len() as f64 / begin.elapsed().as_secs_f64(), all[all.len() * 99 / 100])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn writes_a_second() {
    let options = || {
        let (clock, ids) = (Arc::new(SystemClock::new()), Ids::seeded(1));
        Options { crds: crds(), clock, ids, history: History::Window(1024) }
    };
    let memory = LocalApi::new(options()).unwrap();
    for writers in [1, 32] {
        let (rate, p99) = writes(&memory, writers).await;
        println!("in memory, {writers} writers: {rate:.0} writes/s, p99 {p99:?}");
    }
    for sync in [Duration::ZERO, Duration::from_millis(5)] {
        let dir = tempfile::tempdir().unwrap();
        let (store, contents) = open(&dir.path().join("store.redb"), sync);
        let api = LocalApi::restored(options(), store, contents).unwrap();
        for writers in [1, 32] {
            let (rate, p99) = writes(&api, writers).await;
            println!(
                "sync +{sync:?}, {writers} writers: {rate:.0} writes/s, p99 {p99:?}, {} syncs",
                SYNCS.swap(0, std::sync::atomic::Ordering::Relaxed)
            );
        }
    }
}
