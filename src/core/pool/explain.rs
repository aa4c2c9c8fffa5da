//! Why a dispatch waits, until when, and what would shorten the wait.

use jiff::Timestamp;

use super::assign::Gate;
use super::wait::Wait;
use crate::api::{ContainerPool, names};
use crate::core::agenda::RetryWait;
use crate::core::state::instances::{InstanceView, unlisted};
use crate::core::state::slots::{Slot, Standing};
use crate::core::{Core, Now, Object, ObjectKey, Subject};

/// How many workers are looked at.
pub(super) const LOOKED_AT: usize = 20;
/// How many are named.
const NAMED: usize = 3;

/// A few names, how many more there are, and the verb for all of them.
pub(super) fn are(names: &[String], all: usize) -> String {
    format!("{} {}", few(names, all), if all == 1 { "is" } else { "are" })
}

/// A few names, and how many more there are.
pub(super) fn few(names: &[String], all: usize) -> String {
    let named = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.saturating_sub(names.len().min(NAMED)) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

impl Core {
    /// What the head of a pool's queue waits for, or would wait for.
    pub fn explain(&mut self, key: &ObjectKey, now: Now) -> Wait {
        let Some(obj) = self.pool_obj(key) else { return Wait::Refused("there is no such pool".to_owned()) };
        if obj.is_deleting() {
            return Wait::Deleting;
        }
        if let Some(wait) = self.paused(&obj) {
            return wait;
        }
        if let Some(why) = self.runtime_refused(&obj) {
            return Wait::Refused(why);
        }
        let creds: Vec<Option<String>> =
            self.pools.get(key).map(|p| p.slots.idle().keys().cloned().collect()).unwrap_or_default();
        let (mut back, mut probing): (Option<Timestamp>, Option<Timestamp>) = (None, None);
        let (mut full, mut open, mut usable) = (false, false, 0);
        for c in &creds {
            let gate = self.gate(key, &obj.spec, c.as_deref(), None, now);
            usable += self.usable(key, c, gate);
            match gate {
                Gate::Open | Gate::Probe => open = true,
                Gate::Resting(t) => back = Some(back.map_or(t, |b| b.min(t))),
                Gate::Probing(t) => probing = Some(probing.map_or(t, |b| b.min(t))),
                Gate::Parked(_) => {}
                Gate::Full => full = true,
            }
        }
        if open {
            let held = self.pools.get(key).filter(|p| p.queue.head().is_some() && p.queue.next(usable).is_none());
            return held.map_or(Wait::Nothing, |p| {
                let (waiting, until) = p.queue.overloaded();
                Wait::Overloaded(waiting, until)
            });
        }
        let counts = self.counts(key, &obj, now);
        let Some(p) = self.pools.get(key) else { return Wait::Nothing };
        if let Some((t, _)) = p.slots.resting().first() {
            back = Some(back.map_or(*t, |b| b.min(*t)));
        }
        if let Some(wait) = self.coming(key, &obj) {
            return wait;
        }
        if counts.busy == 0
            && let Some(wait) = self.parked(key, &obj, now)
        {
            return wait;
        }
        if creds.is_empty()
            && counts.busy == 0
            && back.is_none()
            && let Some(why) = self.limited_by_directory(key, &obj, counts, now)
        {
            return Wait::Unavailable(why);
        }
        if let Some(t) = probing {
            return Wait::Probing(t);
        }
        if let Some(why) = self.creation_refused(key) {
            return Wait::WriteRefused(why);
        }
        if full {
            return Wait::Full;
        }
        if counts.busy > 0 {
            return Wait::Busy { busy: counts.busy, resting: counts.resting, max: obj.spec.max };
        }
        if back.is_some() || !counts.credential_free {
            return self.rest(key, &obj, back, now);
        }
        self.missing(key).unwrap_or(Wait::Nothing)
    }

    /// Why a pool keeps what it has, if it does.
    pub(super) fn paused(&self, obj: &ContainerPool) -> Option<Wait> {
        if self.cfg.standing_down {
            return Some(Wait::StandingDown);
        }
        obj.spec.paused.then_some(Wait::Paused)
    }

    /// Which credentials are parked, and when the first is probed, if all of the pool's are.
    fn parked(&mut self, key: &ObjectKey, obj: &ContainerPool, now: Now) -> Option<Wait> {
        let (mut names, mut first) = (Vec::new(), None);
        for c in &obj.spec.credentials {
            let Gate::Parked(next) = self.gate(key, &obj.spec, Some(&c.identity()), None, now) else { return None };
            first = first.into_iter().chain(next).min();
            names.push(c.name.clone());
        }
        let what = match &names[..] {
            [] => return None,
            [only] => format!("credential {only} is parked"),
            all => format!("credentials {} are parked", few(all, all.len())),
        };
        Some(Wait::Parked(what, first))
    }

    /// What rests, and until when. `back`: when the first of the workers is back.
    fn rest(&mut self, key: &ObjectKey, obj: &ContainerPool, back: Option<Timestamp>, now: Now) -> Wait {
        let resting = self.resting_credentials(key, obj, now);
        if resting.is_empty() || resting.len() < obj.spec.credentials.len() {
            return Wait::Resting(back, "all workers rest".to_owned());
        }
        let first = resting.iter().filter_map(|r| r.until.as_ref()).map(|t| t.0).min();
        let back = back.into_iter().chain(first).min();
        let [only] = &resting[..] else {
            return Wait::Resting(back, format!("all {} credentials rest (status.restingCredentials)", resting.len()));
        };
        let why = only.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        Wait::Resting(
            back,
            format!("credential {} ({}) rests since a limit in pool {}{why}", only.name, only.key, only.pool),
        )
    }

    /// How it goes with workers that the pool is about to have: why they do not start, or that they start.
    pub(super) fn coming(&self, key: &ObjectKey, obj: &ContainerPool) -> Option<Wait> {
        let p = self.pools.get(key)?;
        if p.learned.backoff.is_failing() {
            return Some(Wait::StartsFail(p.learned.backoff.message().to_owned(), p.learned.backoff.until()));
        }
        if let Some((host, why)) = self.unlisted(obj) {
            return Some(Wait::HostUnreachable(unlisted(&host, why)));
        }
        let made = p.slots.starting().len() + p.slots.held_standing(&Standing::Starting);
        // A refused creation is under way for a moment at each retry. It is no start.
        let creating = p.members.first_creating().filter(|o| made > 0 || self.write_fails(key, *o).is_none());
        (made > 0 || creating.is_some()).then(|| self.starts_wait(key).map_or(Wait::Starting, Wait::StartsPostponed))
    }

    /// Why the API server refuses to create the worker that is next, if it does. A retry may be under way.
    pub(super) fn creation_refused(&mut self, key: &ObjectKey) -> Option<String> {
        let creating = self.pools.get(key)?.members.first_creating();
        if let Some(why) = creating.and_then(|o| self.write_fails(key, o)) {
            return Some(why.to_owned());
        }
        let next = self.next_created(key)?;
        self.agenda.retry(&next).and_then(RetryWait::write_fails).map(str::to_owned)
    }

    /// Why a write about the worker with this ordinal fails, if it does.
    pub(super) fn write_fails(&self, key: &ObjectKey, ordinal: i32) -> Option<&str> {
        let worker = Subject::Worker(key.sibling(names::worker(&key.name, ordinal)));
        self.agenda.retry(&worker).and_then(RetryWait::write_fails)
    }

    /// Why the pool has no more workers, if none is being started.
    pub(super) fn missing(&mut self, key: &ObjectKey) -> Option<Wait> {
        let p = self.pools.get(key)?;
        let going = || p.members.going().iter().filter(|o| !p.slots.busy().contains(o));
        let all = going().count();
        if all > 0 {
            let named: Vec<String> = going().take(NAMED).map(|o| names::worker(&key.name, *o)).collect();
            return Some(Wait::Replaced(are(&named, all)));
        }
        if let Some(why) = self.creation_refused(key) {
            return Some(Wait::WriteRefused(why));
        }
        let down = self.not_ready(key);
        let named: Vec<String> = down.iter().map(|w| format!("{} ({})", w.worker, w.reason)).collect();
        (!named.is_empty()).then(|| Wait::Unavailable(few(&named, named.len())))
    }

    /// Why none of the workers that are being started becomes Ready, if all of them wait. Only a few are looked at.
    fn starts_wait(&self, key: &ObjectKey) -> Option<String> {
        let p = self.pools.get(key).filter(|p| p.members.creating() == 0)?;
        let mut first = None;
        for o in p.slots.starting().iter().chain(p.slots.held()).take(LOOKED_AT) {
            let e = self.workers.get(&key.sibling(names::worker(&key.name, *o)))?;
            if e.slot().and_then(Slot::standing) != Some(Standing::Starting) {
                continue;
            }
            let why = match self.instances.view_of(e.obj()) {
                Some(InstanceView::There { state, .. }) => state.why_not_ready()?,
                _ => e.life().waits_for()?,
            };
            first.get_or_insert_with(|| why.to_owned());
        }
        first
    }
}
