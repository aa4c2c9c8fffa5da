//! Losses of power and errors under the store: whatever was answered is there again, and no version is used twice.
//!
//! `POOLKEEPER_LOSSES` is the number of cases; each has a seed, which a failure names.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use poolkeeper::local::{Change, Contents, DiskStore, Record, Resource, Store};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::disk::Disk;

/// The objects: by name, their version and their size.
type Objects = BTreeMap<String, (u64, usize)>;

fn record(name: String, change: Change, version: u64, size: usize) -> Record {
    let object = json!({
        "metadata": {"name": name, "resourceVersion": version.to_string(), "uid": "u"}, "data": "x".repeat(size),
    });
    Record {
        resource_version: version,
        time: Timestamp::UNIX_EPOCH,
        change,
        resource: Resource { group: "g".into(), plural: "things".into() },
        namespace: Some("default".into()),
        name,
        uid: "u".into(),
        object: Arc::new(object),
        unsettled: false,
    }
}

fn found(contents: &Contents) -> Objects {
    let size = |record: &Record| record.object["data"].as_str().unwrap().len();
    contents.objects.iter().map(|r| (r.name.clone(), (r.resource_version, size(r)))).collect()
}

/// Some changes of different objects, as a batch, and the objects after it.
fn batch(rng: &mut StdRng, before: &Objects, mut version: u64) -> (Vec<Record>, Objects) {
    let (mut after, mut records, mut names) = (before.clone(), Vec::new(), BTreeSet::new());
    for _ in 0..rng.random_range(1..6) {
        let name = format!("object-{}", rng.random_range(0..12));
        if !names.insert(name.clone()) {
            continue;
        }
        version += 1;
        if after.contains_key(&name) && rng.random_bool(0.3) {
            after.remove(&name);
            records.push(record(name, Change::Deleted, version, 0));
        } else {
            let size = if rng.random_bool(0.1) { 20_000 } else { rng.random_range(0..600) };
            let change = if after.contains_key(&name) { Change::Modified } else { Change::Added };
            after.insert(name.clone(), (version, size));
            records.push(record(name, change, version, size));
        }
    }
    (records, after)
}

/// An empty store, as it lies on a disk.
fn empty() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    drop(DiskStore::open(&path, Timestamp::UNIX_EPOCH).unwrap());
    std::fs::read(path).unwrap()
}

fn open(disk: &Disk) -> Result<(DiskStore, Contents), String> {
    DiskStore::on(disk.clone(), Path::new("store.redb"), Timestamp::UNIX_EPOCH).map_err(|e| e.to_string())
}

/// What is certain after some commits: the objects that were answered, and those after the commit that was not.
struct Known {
    answered: Objects,
    perhaps: Option<Objects>,
    /// The newest version that a client may have seen.
    seen: u64,
}

impl Known {
    /// Checks what a store holds, and goes on from there.
    fn check(&mut self, contents: &Contents, case: &str) {
        let found = found(contents);
        let whole = found == self.answered || self.perhaps.as_ref() == Some(&found);
        assert!(whole, "{case}: {found:?} is there; answered: {:?}, perhaps {:?}", self.answered, self.perhaps);
        assert!(contents.revision > self.seen, "{case}: version {} again", contents.revision);
        assert!(found.values().all(|(version, _)| *version < contents.revision), "{case}");
        (self.answered, self.perhaps, self.seen) = (found, None, contents.revision);
    }

    /// Commits until an error, or to the end.
    async fn work(&mut self, rng: &mut StdRng, store: &mut DiskStore, commits: usize) {
        let mut version = self.seen;
        for _ in 0..commits {
            let (records, after) = batch(rng, &self.answered, version);
            if store.commit(&records).await.is_err() {
                self.perhaps = Some(after);
                // It cannot know what it has stored, so it takes nothing more.
                let (records, _) = batch(rng, &self.answered, version);
                assert!(store.commit(&records).await.is_err(), "a commit after one that failed");
                return;
            }
            version = records.last().unwrap().resource_version;
            (self.answered, self.seen) = (after, version);
        }
    }
}

fn cases(standard: u64) -> u64 {
    std::env::var("POOLKEEPER_LOSSES").ok().map_or(standard, |n| n.parse().unwrap())
}

#[tokio::test]
async fn no_loss_of_power_loses_what_was_answered() {
    let empty = empty();
    for seed in 0..cases(100) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut disk = Disk::with(empty.clone());
        let mut known = Known { answered: Objects::new(), perhaps: None, seen: 1 };
        for life in 0..3 {
            let case = format!("seed {seed}, life {life}");
            // The power may go while the store is opened too. Nothing was answered then.
            let limit = if rng.random_bool(0.2) { 60 } else { 400 };
            disk.off_after(rng.random_range(0..limit));
            if let Ok((mut store, contents)) = open(&disk) {
                known.check(&contents, &case);
                let commits = rng.random_range(0..12);
                known.work(&mut rng, &mut store, commits).await;
                if rng.random_bool(0.5) {
                    // Else the loss comes before the file is closed.
                    drop(store);
                } else {
                    disk.off_after(0);
                }
            }
            let killed = rng.random_bool(0.2);
            disk = Disk::with(if killed { disk.after_kill() } else { disk.after_power_loss(rng.random()) });
        }
        let (_, contents) = open(&disk).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        known.check(&contents, &format!("seed {seed}, at the end"));
    }
}

#[tokio::test]
async fn whichever_call_to_the_disk_fails_nothing_that_was_answered_is_lost() {
    let empty = empty();
    let mut nth = 0;
    loop {
        nth += 1;
        let mut rng = StdRng::seed_from_u64(1);
        let disk = Disk::with(empty.clone());
        disk.fail_after(nth);
        let mut known = Known { answered: Objects::new(), perhaps: None, seen: 1 };
        if let Ok((mut store, contents)) = open(&disk) {
            known.check(&contents, &format!("call {nth}"));
            known.work(&mut rng, &mut store, 5).await;
        }
        if disk.calls() < nth {
            break;
        }
        let (_, contents) = open(&disk).unwrap_or_else(|e| panic!("call {nth}: {e}"));
        known.check(&contents, &format!("call {nth}, opened again"));
    }
    assert!(nth > 50, "{nth} calls");
}
