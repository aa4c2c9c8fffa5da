//! How many workers a pool has: which are created, and which are removed.

use jiff::Timestamp;

use super::assign::Gate;
use super::size::{Counts, want};
use crate::api::pool::Credential;
use crate::api::worker::{WorkerPhase, WorkerSpec};
use crate::api::{ContainerPool, RuntimeKind, Worker, names};
use crate::core::agenda::Wake;
use crate::core::{Core, HostKey, Now, ObjectKey, Subject, Verb, WorkerEnd, template, time};
use crate::runtime::LOCAL_HOST;

/// How long a start is assumed to take until one was seen.
const START_GUESS: std::time::Duration = std::time::Duration::from_secs(2);

/// Every credential of a pool is a directory that other workers have.
struct InUse;

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

impl Core {
    /// Idle workers of a pool whose credential rests or is refused.
    pub(in crate::core) fn resting_by_credential(&mut self, pool: &ObjectKey, now: Now) -> i32 {
        let creds: Vec<(String, usize)> = self.pools.get(pool).map_or_else(Vec::new, |p| {
            p.slots.idle().iter().filter_map(|(c, set)| Some((c.clone()?, set.len()))).collect()
        });
        let mut n = 0;
        for (id, idle) in creds {
            if self.credential_rests(pool, &id, now) {
                n += idle;
            }
        }
        count(n)
    }

    /// True while a credential rests, or is parked.
    pub(in crate::core) fn credential_rests(&mut self, pool: &ObjectKey, identity: &str, now: Now) -> bool {
        let rest = self.credential_rest(&pool.namespace, identity);
        rest.parked || rest.until.is_some_and(|u| self.rest_ends.lasts(u.0, now))
    }

    /// Counts what decides the size of a pool.
    pub(in crate::core) fn counts(&mut self, pool: &ObjectKey, obj: &ContainerPool, now: Now) -> Counts {
        let by_credential = self.resting_by_credential(pool, now);
        let (mut credential_free, mut credential_back) = (obj.spec.credentials.is_empty(), None);
        for c in &obj.spec.credentials {
            let rest = self.credential_rest(&pool.namespace, &c.identity());
            let until = match rest.parked.then(|| self.gate(pool, &obj.spec, Some(&c.identity()), None, now)) {
                Some(Gate::Parked(next)) => next,
                Some(Gate::Probing(next)) => Some(next),
                Some(_) => None,
                None => rest.until.map(|u| u.0).filter(|u| self.rest_ends.lasts(*u, now)),
            };
            credential_free |= !rest.parked && until.is_none();
            credential_back = credential_back.into_iter().chain(until).min();
        }
        let probers = i32::from(self.lacks_prober(pool, obj, now).is_some());
        let Some(p) = self.pools.get(pool) else { return Counts::default() };
        Counts {
            busy: count(p.slots.busy().len()),
            resting: count(p.slots.resting().len()) + by_credential,
            unavailable: count(p.slots.unavailable().len() + p.slots.spent().len()),
            replaced: count(p.learned.replacements.leaving()),
            queued: count(p.queue.len()),
            credential_free,
            probers,
            credential_back,
        }
    }

    /// Removes workers that are too many, and creates those that are missing.
    pub(in crate::core) fn scale(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now, wake: &mut Wake) {
        let counts = self.counts(key, obj, now);
        // Nothing else may wake the pool for it: there may be no worker on that credential, or no work.
        if let Some(back) = counts.credential_back {
            self.wake_at_rest_end(back, wake);
        }
        if self.cfg.is_paused(obj) || self.runtime_refused(obj).is_some() {
            return;
        }
        let want = want(&obj.spec, counts);
        self.shrink(key, obj, want, now, wake);
        self.swap_resting(key, obj, counts, now);
        self.grow(key, obj, want, now, wake);
    }

    /// Workers above `max` that are not busy are removed at once, workers above the wanted number after `idleTimeout`. Starting
    /// workers are removed before idle ones: they have done nothing, and may never become Ready.
    fn shrink(&mut self, key: &ObjectKey, obj: &ContainerPool, want: i32, now: Now, wake: &mut Wake) {
        let Some(p) = self.pools.get(key) else { return };
        let staying = count(p.members.staying());
        // A worker that was created ahead of the removal of another one is not too many.
        let ahead = count(p.learned.replacements.ahead());
        let (above_max, above_want) = (staying - obj.spec.max, staying - want - ahead);
        if above_want <= 0 {
            return;
        }
        let mut leave: Vec<i32> = Vec::new();
        for ordinal in p.slots.starting().iter().rev() {
            let n = count(leave.len());
            if n >= above_want {
                break;
            }
            let made = self.workers.get(&key.sibling(names::worker(&key.name, *ordinal)));
            let made = made.and_then(|e| e.obj().metadata.creation_timestamp.as_ref());
            let due = made.map_or(now.wall, |t| time::after(t.0, obj.spec.idle_timeout.get()));
            if n < above_max || due <= now.wall {
                leave.push(*ordinal);
            } else {
                wake.at(due);
                break;
            }
        }
        // A worker with a write under way may turn out to be one that is still starting.
        let held = count(p.slots.held().len());
        for (since, ordinal) in p.slots.idle_since() {
            let n = count(leave.len()) + held;
            if n >= above_want {
                break;
            }
            let due = time::after(*since, obj.spec.idle_timeout.get());
            if n < above_max || due <= now.wall {
                leave.push(*ordinal);
            } else {
                wake.at(due);
                break;
            }
        }
        for (n, ordinal) in (0..).zip(leave) {
            self.visits.0 += 1;
            let why = if n < above_max { WorkerEnd::AboveMax } else { WorkerEnd::NotNeeded };
            self.delete_worker(&key.sibling(names::worker(&key.name, ordinal)), why, now);
        }
    }

    /// If work is queued, the pool is full and another credential is free: replaces a worker whose credential rests for longer
    /// than a start takes by one on the free credential.
    fn swap_resting(&mut self, key: &ObjectKey, obj: &ContainerPool, counts: Counts, now: Now) {
        let Some(p) = self.pools.get(key) else { return };
        let coming =
            count(p.slots.starting().len() + p.members.creating() + p.members.deleting() + p.slots.held().len());
        if counts.queued <= coming
            || count(p.members.len()) < obj.spec.max
            || (self.next_host(key, obj).and_then(|h| self.next_credential(key, obj, &h.host, now)).is_none()
                && counts.probers == 0)
        {
            return;
        }
        let Some(p) = self.pools.get(key) else { return };
        let took = p.start_took.unwrap_or(START_GUESS);
        let idle: Vec<(String, i32)> =
            p.slots.idle().iter().filter_map(|(c, set)| Some((c.clone()?, set.first()?.1))).collect();
        let mut longest: Option<(Timestamp, i32)> = None;
        for (id, ordinal) in idle {
            match self.gate(key, &obj.spec, Some(&id), None, now) {
                Gate::Open | Gate::Probe => return, // an idle worker can take it
                Gate::Resting(until) if until > time::after(now.wall, took) => {
                    longest = longest.max(Some((until, ordinal)));
                }
                Gate::Parked(_) => longest = longest.max(Some((Timestamp::MAX, ordinal))),
                _ => {}
            }
        }
        if let Some((_, ordinal)) = longest {
            let worker = key.sibling(names::worker(&key.name, ordinal));
            self.delete_worker(&worker, WorkerEnd::CredentialRests, now);
        }
    }

    fn grow(&mut self, key: &ObjectKey, obj: &ContainerPool, want: i32, now: Now, wake: &mut Wake) {
        let Some(p) = self.pools.get(key) else { return };
        let exist = count(p.members.len() + p.members.creating());
        // A worker that was removed to be replaced is created again, even if fewer are wanted by now.
        let owed = count(p.learned.replacements.owed());
        let mut missing = (want.min(obj.spec.max) - exist).max(owed).min(obj.spec.max - exist);
        if missing <= 0 {
            // A creation that was refused is not wanted any more.
            if let Some(next) = self.next_created(key) {
                self.agenda.forget_failures(&next);
            }
            return;
        }
        if p.learned.backoff.is_failing() {
            if let Some(until) = p.learned.backoff.until().filter(|u| *u > now.wall) {
                wake.at(until);
                return;
            }
            // While starts fail, one worker is started at a time.
            missing = missing.min(1 - count(p.slots.starting().len() + p.members.creating()));
        }
        for _ in 0..missing.max(0) {
            let Some(p) = self.pools.get_mut(key) else { return };
            let ordinal = p.members.lowest_free(&mut self.visits.0);
            if ordinal >= obj.spec.max {
                return; // the name space is the cap
            }
            let owed = p.learned.replacements.first_owed().cloned();
            let Some(host) = self.next_host(key, obj) else { return };
            let inherited = owed.flatten().filter(|name| obj.spec.credentials.iter().any(|c| c.name == *name));
            let Ok(credential) = self.credential_for_next(key, obj, inherited, &host.host, now) else {
                self.directories.wait(key); // the end of a worker that has one of them marks the pool again
                return;
            };
            let identity = obj.spec.credentials.iter().find(|c| Some(&c.name) == credential.as_ref());
            let early = identity.and_then(|c| self.created_too_early(key, &c.identity(), now));
            if let Some(t) = early {
                wake.at(t);
                return;
            }
            let worker = new_worker(obj, ordinal, host, credential);
            let subject = Subject::Worker(key.sibling(names::worker(&key.name, ordinal)));
            if self.agenda.is_locked(&subject) || self.agenda.blocked_until(&subject, now).is_some() {
                // The end of a write marks the pool again.
                if let Some(until) = self.agenda.blocked_until(&subject, now) {
                    wake.after(until);
                }
                return;
            }
            if let Some(p) = self.pools.get_mut(key) {
                p.learned.replacements.repay(ordinal);
                p.members.begin_creation(ordinal, worker.spec.clone());
            }
            self.directories.add(&key.sibling(names::worker(&key.name, ordinal)), &worker.spec);
            self.write(subject, Verb::CreateWorker(Box::new(worker)));
        }
    }

    /// The worker that would be created next.
    pub(in crate::core) fn next_created(&mut self, key: &ObjectKey) -> Option<Subject> {
        let next = self.pools.get_mut(key)?.members.lowest_free(&mut self.visits.0);
        Some(Subject::Worker(key.sibling(names::worker(&key.name, next))))
    }

    /// The credential of the next worker, if the pool has some.
    ///
    /// # Errors
    /// Each is a directory that other workers have.
    fn credential_for_next(
        &mut self,
        key: &ObjectKey,
        obj: &ContainerPool,
        inherited: Option<String>,
        host: &str,
        now: Now,
    ) -> Result<Option<String>, InUse> {
        if obj.spec.credentials.is_empty() {
            return Ok(None);
        }
        if let Some(inherited) = inherited {
            // A worker that replaces another one is on the same credential.
            let entry = obj.spec.credentials.iter().find(|c| c.name == inherited);
            let is_full = entry.is_some_and(|c| self.directory_is_full(c, host));
            return if is_full { Err(InUse) } else { Ok(Some(inherited)) };
        }
        if let Some(probed) = self.lacks_prober(key, obj, now).and_then(|place| obj.spec.credentials.get(place)) {
            let is_full = self.directory_is_full(probed, host);
            return if is_full { Err(InUse) } else { Ok(Some(probed.name.clone())) };
        }
        // Below `min` a worker is created even while all credentials rest. It is ready when one of them is free.
        self.next_credential(key, obj, host, now).or_else(|| self.least_used(key, obj, host)).map(Some).ok_or(InUse)
    }

    /// The free credential with the fewest workers, in the order of the spec.
    pub(super) fn next_credential(
        &mut self,
        key: &ObjectKey,
        obj: &ContainerPool,
        host: &str,
        now: Now,
    ) -> Option<String> {
        let mut best: Option<(usize, String)> = None;
        for c in &obj.spec.credentials {
            let rest = self.credential_rest(&key.namespace, &c.identity());
            let free = !rest.parked && !rest.until.is_some_and(|u| self.rest_ends.lasts(u.0, now));
            let n = self.made_with(key, &c.name);
            let full = c.max_concurrent.is_some_and(|m| n >= usize::try_from(m).unwrap_or(0))
                || self.directory_is_full(c, host);
            if free && !full && best.as_ref().is_none_or(|(least, _)| n < *least) {
                best = Some((n, c.name.clone()));
            }
        }
        best.map(|(_, name)| name)
    }

    fn least_used(&mut self, key: &ObjectKey, obj: &ContainerPool, host: &str) -> Option<String> {
        let may_be_used: Vec<&Credential> =
            obj.spec.credentials.iter().filter(|c| !self.directory_is_full(c, host)).collect();
        may_be_used.into_iter().min_by_key(|c| self.made_with(key, &c.name)).map(|c| c.name.clone())
    }

    /// Workers of a pool that have a credential, with those that are being created.
    fn made_with(&self, key: &ObjectKey, credential: &str) -> usize {
        self.pools.get(key).map_or(0, |p| p.members.with_credential(credential))
    }

    /// The listed host with the fewest workers that has room, in the order of the spec.
    pub(in crate::core) fn next_host(&self, key: &ObjectKey, obj: &ContainerPool) -> Option<HostKey> {
        let runtime = self.runtime_of(obj);
        let configured = self.cfg.hosts_of(runtime);
        let of = |host: &str| HostKey { runtime, host: host.to_owned() };
        if obj.spec.hosts.is_empty() {
            let first = configured.first().map_or(LOCAL_HOST, String::as_str);
            return Some(of(first)).filter(|h| self.instances.is_listed(h));
        }
        let p = self.pools.get(key)?;
        let n = |name: &str| p.members.on_host(name);
        let room = |h: &&crate::api::pool::PoolHost| h.max.is_none_or(|m| n(&h.name) < usize::try_from(m).unwrap_or(0));
        let listed = obj.spec.hosts.iter().filter(|h| self.instances.is_listed(&of(&h.name)));
        listed.filter(room).min_by_key(|h| n(&h.name)).map(|h| of(&h.name))
    }

    /// Why the runtime of a pool cannot be used here, if it cannot.
    pub(in crate::core) fn runtime_refused(&self, obj: &ContainerPool) -> Option<String> {
        let runtime = self.runtime_of(obj);
        if !self.cfg.runtimes.contains(&runtime) {
            let allowed: Vec<String> = self.cfg.runtimes.iter().map(RuntimeKind::to_string).collect();
            return Some(format!(
                "runtime {runtime} is not allowed here; this controller allows {}",
                allowed.join(", ")
            ));
        }
        let hosts = self.cfg.hosts_of(runtime);
        if let Some(h) = obj.spec.hosts.iter().find(|h| !hosts.contains(&h.name)) {
            return Some(format!("host {:?} is not configured; there are {}", h.name, hosts.join(", ")));
        }
        if obj.spec.image.is_none() && runtime != RuntimeKind::Process {
            return Some(format!("spec.image is required with runtime {runtime}"));
        }
        if obj.spec.rate_limit.pause && runtime != RuntimeKind::Docker {
            return Some(format!(
                "spec.rateLimit.pause is for runtime Docker only, and this pool has runtime {runtime}"
            ));
        }
        let foreign = obj.spec.credentials.iter().find(|c| c.secret_key_ref.is_none());
        if let Some(c) = foreign.filter(|_| !self.cfg.local_credentials) {
            let what = if c.directory.is_some() { "a directory is for the local server and run --local; " } else { "" };
            return Some(format!("credential {:?}: {what}only secretKeyRef is allowed here", c.name));
        }
        None
    }
}

fn new_worker(pool: &ContainerPool, ordinal: i32, host: HostKey, credential: Option<String>) -> Worker {
    let key = ObjectKey::of(pool);
    let entry = pool.spec.credentials.iter().find(|c| Some(&c.name) == credential.as_ref());
    let template_hash = template::template_hash(&pool.spec, entry);
    let mut w = Worker::new(
        &names::worker(&key.name, ordinal),
        WorkerSpec {
            pool: key.name.to_string(),
            pool_generation: pool.metadata.generation.unwrap_or(1),
            runtime: host.runtime,
            credential,
            host: (host.runtime != RuntimeKind::Pod).then_some(host.host),
            directory: entry.and_then(|c| c.directory.as_ref()).map(|directory| directory.plain_path().into()),
            template_hash,
            cordoned: false,
        },
    );
    w.metadata.namespace = Some(key.namespace.to_string());
    w.metadata.finalizers = Some(vec![names::WORKER_FINALIZER.to_owned()]);
    w.metadata.labels = Some([(names::POOL.to_owned(), key.name.to_string())].into());
    debug_assert_eq!(w.status.clone().unwrap_or_default().phase, WorkerPhase::Starting);
    w
}
