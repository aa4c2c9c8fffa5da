//! How many writes a second the store takes, on a disk whose sync lasts 5 ms longer and on the disk of `$TMPDIR`, against the
//! store in memory.
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use poolkeeper::clock::{Ids, SystemClock};
use poolkeeper::local::{Contents, DiskStore, History, LocalApi, Options};
use poolkeeper_testkit::gadget::{Subject, crds};
use redb::StorageBackend;
use redb::backends::FileBackend;
use serde_json::json;

/// What is added to each sync.
const SLOW: Duration = Duration::from_millis(5);

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

/// Prints the figures.
pub async fn run() {
    let options = || {
        let (clock, ids) = (Arc::new(SystemClock::new()), Ids::seeded(1));
        Options { crds: crds(), clock, ids, history: History::Window(1024) }
    };
    let memory = LocalApi::new(options()).unwrap();
    let (one, _) = writes(&memory, 1).await;
    let (in_memory, _) = writes(&memory, 32).await;
    println!("store in memory, status PATCHes: {one:.0}/s by one writer, {in_memory:.0}/s by 32");
    for sync in [Duration::ZERO, SLOW] {
        let dir = tempfile::tempdir().unwrap();
        let (store, contents) = open(&dir.path().join("store.redb"), sync);
        let api = LocalApi::restored(options(), store, contents).unwrap();
        let (one, first) = writes(&api, 1).await;
        let (many, p99) = writes(&api, 32).await;
        let ratio = many / one;
        print!(
            "store on disk, sync + {sync:?}: {one:.0}/s by one writer (p99 {first:.1?}), {many:.0}/s by 32 (p99 {p99:.1?}): {ratio:.1}x"
        );
        if sync.is_zero() {
            println!("; {:.2} of the store in memory", many / in_memory);
        } else {
            println!("; p99 of 32 writers is {:.1} syncs", p99.as_secs_f64() * one);
        }
    }
}
