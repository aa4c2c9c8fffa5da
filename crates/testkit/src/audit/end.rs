//! What is left when faults have ended and all is quiet.

use std::collections::BTreeSet;
use std::time::Duration;

use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::pool::{Credential, HistoryPolicy};
use poolkeeper::api::worker::WorkerPhase;
use poolkeeper::api::{ContainerPool, ContainerPoolSpec, Worker};
use poolkeeper::runtime::InstanceState;

use super::{Audit, is_final, is_open, state_of, status_of};

/// How many workers a pool keeps while nothing waits and no credential of it is refused.
pub fn size_at_rest(spec: &ContainerPoolSpec) -> i32 {
    spec.max.min(spec.min.max(spec.warm))
}

impl Audit<'_> {
    pub(super) fn end(&mut self) {
        let Some(quiet) = self.evidence.quiet_at else {
            let last = self.evidence.records.iter().rev().find(|r| r.resource.plural != "leases");
            let last = last.map(|r| format!("{:?} {} {}", r.change, r.resource.plural, r.object));
            self.complain("all becomes quiet", format!("the last write was {last:?}"));
            return;
        };
        self.idle_costs_nothing(quiet);
        self.success_is_silent();
        let alive: Vec<ContainerPool> =
            self.pools.values().filter(|p| p.gone.is_none()).map(|p| p.last().clone()).collect();
        let parked = |p: &ContainerPool| {
            let rests: Vec<String> =
                p.status.iter().flat_map(|s| &s.rate_limits).filter(|r| r.parked).map(|r| r.key.clone()).collect();
            !p.spec.credentials.is_empty() && p.spec.credentials.iter().any(|c| rests.contains(&c.identity()))
        };
        // A refusal holds for every pool that names the credential.
        let refused: BTreeSet<String> = alive
            .iter()
            .flat_map(|p| p.status.iter().flat_map(|s| &s.rate_limits))
            .filter(|r| r.parked)
            .map(|r| r.key.clone())
            .collect();
        let touched =
            |p: &ContainerPool| parked(p) || p.spec.credentials.iter().any(|c| refused.contains(&c.identity()));
        let mut waiting = 0;
        for (_, d) in self.dispatches.iter().filter(|(_, d)| d.gone.is_none()).collect::<Vec<_>>() {
            let s = status_of(d.last());
            if is_final(s.phase) {
                continue;
            }
            let pool = alive.iter().find(|p| p.metadata.name.as_deref() == Some(&d.last().spec.pool));
            // With a probe the work goes on by itself.
            let probes = |p: &ContainerPool| !p.spec.rate_limit.park_probe.is_zero();
            if is_open(&s) || pool.is_some_and(|p| !touched(p) || probes(p)) {
                let text = format!("{}: {s:?}", d.name);
                self.violations.push(super::Violation { rule: "every dispatch comes to its end", at: self.rv, text });
            }
            waiting += 1;
        }
        *self.tally.entry("waiting at the end, rightly".to_owned()).or_default() += waiting;
        self.workers_at_the_end(&alive, &|identity| refused.contains(identity));
        for p in &alive {
            let name = p.metadata.name.clone().unwrap();
            self.check(p.metadata.deletion_timestamp.is_none(), "a deleted pool goes", || name.clone());
            self.pool_at_the_end(p, &name, touched(p));
        }
    }

    /// A task that just ran well is worth no Event.
    fn success_is_silent(&mut self) {
        let smooth = self.dispatches.iter().filter(|(_, d)| {
            let s = status_of(d.last());
            s.phase == DispatchPhase::Succeeded && s.attempt == 1
        });
        let told: Vec<String> =
            smooth.filter(|(uid, _)| self.told.contains(*uid)).map(|(_, d)| d.name.clone()).collect();
        self.check(told.is_empty(), "no Event on the success path", || told.join(" "));
    }

    fn idle_costs_nothing(&mut self, quiet: Duration) {
        let late: Vec<String> = self
            .evidence
            .records
            .iter()
            .filter(|r| self.when(r.resource_version) > quiet && r.resource.plural != "leases")
            .filter(|r| !self.is_end_of_history(r.resource_version))
            .map(|r| format!("{:?} {} {}", r.change, r.resource.plural, r.object))
            .collect();
        self.check(late.is_empty(), "idling and waiting cost no writes", || late.join("\n"));
    }

    /// This write removed a dispatch that had been finished for as long as its pool says (`history.ttl`). By the clock of the controller,
    /// which may have been set.
    fn is_end_of_history(&self, rv: u64) -> bool {
        const SET: Duration = Duration::from_secs(60);
        let Some(d) = self.dispatches.values().find(|d| d.gone == Some(rv)) else { return false };
        let finished = d.versions.iter().find(|v| is_final(status_of(&v.object).phase)).map(|v| self.when(v.rv));
        let pools = self.pools.values().filter(|p| p.name == d.last().spec.pool);
        let ttl = pools.map(|p| p.last().spec.dispatch.history.ttl.get()).min();
        let ttl = ttl.unwrap_or_else(|| HistoryPolicy::default().ttl.get());
        finished.is_some_and(|finished| self.when(rv) + SET >= finished + ttl)
    }

    fn workers_at_the_end(&mut self, alive: &[ContainerPool], touched: &dyn Fn(&str) -> bool) {
        let mut there = BTreeSet::new();
        let workers: Vec<_> =
            self.workers.iter().filter(|(_, w)| w.gone.is_none()).map(|(k, w)| (k.clone(), w.last().clone())).collect();
        for (uid, w) in workers {
            let s = state_of(&w);
            let text = format!("{} {:?} {:?}", w.metadata.name.clone().unwrap(), s, w.metadata.deletion_timestamp);
            self.check(s.dispatch.is_none(), "every worker is freed", || text.clone());
            self.check(w.metadata.deletion_timestamp.is_none(), "a deleted worker goes", || text.clone());
            self.check(s.phase == WorkerPhase::Ready, "every worker comes up", || text.clone());
            let pool = alive.iter().find(|p| p.metadata.name.as_deref() == Some(&w.spec.pool));
            self.check(pool.is_some(), "no worker outlives its pool", || text.clone());
            let shape = |p: &ContainerPool| (p.spec.image.clone(), p.spec.command.clone());
            let made_from = self.pools.values().filter(|p| p.name == w.spec.pool).flat_map(|p| p.versions.iter());
            let made_from = made_from
                .filter(|v| v.object.metadata.generation == Some(w.spec.pool_generation))
                .any(|v| pool.is_some_and(|p| shape(p) == shape(&v.object)));
            self.check(made_from, "an update reaches every worker", || text.clone());
            there.insert(uid);
        }
        let running: BTreeSet<String> = self
            .evidence
            .instances
            .iter()
            .filter(|i| matches!(i.state, InstanceState::Running | InstanceState::Paused))
            .map(|i| i.key.uid.clone())
            .collect();
        for i in self.evidence.instances.iter().filter(|i| i.state == InstanceState::Paused) {
            let spec = |w: &Worker| alive.iter().find(|p| p.metadata.name.as_deref() == Some(&w.spec.pool));
            let worker = self.workers.get(&i.key.uid).map(|w| w.last().clone());
            let asked = worker.as_ref().and_then(spec).is_some_and(|p| {
                let refused = |c: &Credential| touched(&c.identity());
                p.spec.rate_limit.pause && p.spec.credentials.iter().any(refused)
            });
            // After so long a time no rest lasts, but that of a refused credential.
            self.check(asked, "a pause ends with its rest", || i.key.to_string());
        }
        let all: BTreeSet<String> = self.evidence.instances.iter().map(|i| i.key.uid.clone()).collect();
        self.check(all.is_subset(&there), "no orphan is left", || format!("{:?}", all.difference(&there)));
        self.check(there.is_subset(&running), "every worker has its instance", || {
            format!("{:?}", there.difference(&running))
        });
    }

    fn pool_at_the_end(&mut self, p: &ContainerPool, name: &str, touched: bool) {
        let count = self.workers.values().filter(|w| w.gone.is_none() && w.last().spec.pool == *name).count();
        let count = i32::try_from(count).unwrap();
        let queued = self
            .dispatches
            .values()
            .filter(|d| d.gone.is_none() && d.last().spec.pool == *name && !is_final(status_of(d.last()).phase));
        let queued = i32::try_from(queued.count()).unwrap();
        let s = &p.spec;
        self.check(count >= s.min && count <= s.max, "min <= workers <= max", || {
            format!("{name}: {count} of {}..{}", s.min, s.max)
        });
        if !touched && queued == 0 {
            let want = size_at_rest(s);
            self.check(count == want, "a worker that idles too long leaves", || {
                format!("{name}: {count} workers, {want} wanted")
            });
        }
        let Some(status) = &p.status else {
            self.complain("a pool has a status", name);
            return;
        };
        let right = status.workers == count && status.busy == 0 && status.starting == 0 && status.queued == queued;
        self.check(right, "the roll-up tells what is", || {
            format!("{name}: {count} workers, {queued} queued, status {status:?}")
        });
    }
}
