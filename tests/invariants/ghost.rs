//! A reservation that an old controller asked for and that arrives late: what it knew of the dispatch was true once.
//!
//! The protocol allows it (`model/`: "reservation from a stale view"): it names an attempt that some version of the
//! dispatch let be reserved, on a worker that is idle as it is stored now. Only a publish counts.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use poolkeeper::api::worker::WorkerPhase;
use poolkeeper::api::{Dispatch, Worker};
use poolkeeper::local::{Change, Record};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::time::sleep;

use crate::users::workers;
use crate::world::World;

/// How long it waits for something to reserve, and for a worker.
const PATIENCE: u64 = 90;

/// An attempt that some version of a dispatch let be reserved.
#[derive(Clone, Debug)]
struct Claim {
    name: String,
    uid: String,
    pool: String,
    attempt: i32,
    /// A later attempt was published since.
    past: bool,
    /// It ran, on this worker, which may be the one that was chosen long ago.
    ran_on: Option<String>,
}

/// Every claim on an existing dispatch, read from the history of the store as far as it was there.
#[derive(Default)]
struct Claims {
    /// Versions of objects that were read.
    read: usize,
    all: Vec<Claim>,
}

impl Claims {
    /// Reads on.
    fn update(&mut self, world: &World) {
        let records = world.api.history_after(self.read);
        self.read += records.len();
        for record in records.iter().filter(|r| r.resource.plural == "dispatches") {
            self.note(record);
        }
    }

    fn note(&mut self, record: &Record) {
        if record.change == Change::Deleted {
            self.all.retain(|c| c.uid != record.uid);
            return;
        }
        let d: Dispatch = serde_json::from_value((*record.object).clone()).unwrap();
        let status = d.status.clone().unwrap_or_default();
        for c in self.all.iter_mut().filter(|c| c.uid == record.uid) {
            c.past |= c.attempt < status.attempt;
            if c.attempt == status.attempt {
                c.ran_on = status.worker.as_ref().map(|w| w.uid.clone());
            }
        }
        let closed = status.attempt == 0 || status.last_result.is_some_and(|r| r.attempt == status.attempt);
        let attempt = status.attempt + 1;
        let known = self.all.iter().any(|c| c.uid == record.uid && c.attempt == attempt);
        if closed && !status.phase.is_final() && !d.spec.cancel && !known {
            let (name, pool) = (record.name.clone(), d.spec.pool.clone());
            self.all.push(Claim { name, uid: record.uid.clone(), pool, attempt, past: false, ran_on: None });
        }
    }

    /// Those whose previous attempt was released.
    fn released(&self, workers: &[Worker]) -> Vec<Claim> {
        let named = |uid: &str, attempt: i32| {
            let names = |w: &Worker| w.status.as_ref().and_then(|s| s.dispatch.clone());
            workers.iter().filter_map(names).any(|n| n.uid == uid && n.attempt == attempt)
        };
        self.all.iter().filter(|c| !named(&c.uid, c.attempt - 1)).cloned().collect()
    }
}

fn is_idle(w: &Worker, now: Timestamp) -> bool {
    let Some(s) = &w.status else { return false };
    let rests = s.cooldown.as_ref().and_then(|c| c.until.as_ref()).is_some_and(|u| u.0 > now);
    s.phase == WorkerPhase::Ready
        && s.dispatch.is_none()
        && !rests
        && !w.spec.cordoned
        && w.metadata.deletion_timestamp.is_none()
}

/// Reserves an idle worker for an attempt that was to be reserved once.
pub async fn reserve_late(world: &World) {
    let mut rng = StdRng::seed_from_u64(world.plan.seed ^ 0x6057 ^ u64::try_from(world.now().as_millis()).unwrap());
    let wants_past = rng.random::<f64>() < 0.7;
    let mut claims = Claims::default();
    for waited in 0..PATIENCE {
        let (now, all) = (world.server_now(), workers(world).await);
        claims.update(world);
        let claims = claims.released(&all);
        let mut pairs = Vec::new();
        for w in all.iter().filter(|w| is_idle(w, now)) {
            pairs.extend(claims.iter().filter(|c| c.pool == w.spec.pool).map(|c| (w, c)));
        }
        let past: Vec<_> = pairs.iter().filter(|(_, c)| c.past).copied().collect();
        // What is past is rare: nothing else is taken before it was waited for.
        let from = match (past.is_empty(), wants_past && waited + 1 < PATIENCE) {
            (false, _) if wants_past => past,
            (_, true) => Vec::new(),
            _ => pairs,
        };
        if let Some((worker, claim)) = from.choose(&mut rng)
            && write(world, worker, claim, now).await
        {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn write(world: &World, worker: &Worker, claim: &Claim, now: Timestamp) -> bool {
    let name = worker.metadata.name.clone().unwrap();
    let named = json!({"name": claim.name, "uid": claim.uid, "attempt": claim.attempt, "assignedAt": micros(now)});
    let dispatches = worker.status.as_ref().map_or(0, |s| s.dispatches) + 1;
    let change = json!({
        "metadata": {"uid": worker.metadata.uid, "resourceVersion": worker.metadata.resource_version},
        "status": {
            "phase": "Busy", "dispatch": named, "lastDispatchTime": micros(now), "idleSince": null,
            "dispatches": dispatches,
        },
    });
    let api: kube::Api<Worker> = kube::Api::namespaced(world.ghost.clone(), "sim");
    // Its choice is not to be judged.
    world.trouble(Duration::ZERO);
    let done = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(change)).await;
    if let Err(e) = &done {
        world.ledger.say(format!("  ghost: {name}: {e}"));
        return false;
    }
    world.ledger.count("fault: late reservation");
    world.ledger.say(format!("  ghost: {name} is reserved for {} {}, past: {}", claim.name, claim.attempt, claim.past));
    if claim.ran_on == worker.metadata.uid {
        world.ledger.count("late reservation of the worker that ran it");
    }
    true
}

fn micros(t: Timestamp) -> serde_json::Value {
    serde_json::to_value(poolkeeper::api::Time::from(t)).unwrap()
}
