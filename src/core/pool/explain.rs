//! Why a dispatch waits, until when, and what would shorten the wait.

use jiff::Timestamp;

use super::assign::Gate;
use crate::api::vocabulary::PoolReady;
use crate::api::{ContainerPool, RuntimeKind, names, seconds};
use crate::core::agenda::RetryWait;
use crate::core::state::instances::InstanceView;
use crate::core::state::slots::{Slot, Standing};
use crate::core::{Core, Now, Object, ObjectKey, Subject};

/// How many workers are looked at.
pub(super) const LOOKED_AT: usize = 20;
/// How many are named.
const NAMED: usize = 3;

/// What a pool's queue waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It does not wait: the next dispatch is being assigned.
    Nothing,
    /// The pool is paused.
    Paused,
    /// The pool is being deleted.
    Deleting,
    /// The runtime is not allowed, or the pool's spec cannot be carried out.
    Refused(String),
    /// Starts fail; the next try is then.
    StartsFail(String, Option<Timestamp>),
    /// A host cannot be reached.
    HostUnreachable(String),
    /// Workers are being started.
    Starting,
    /// Every worker that is being started waits. Why, in the runtime's words.
    StartsPostponed(String),
    /// All workers, or all credentials, rest. The first rest ends then. What rests, and why.
    Resting(Option<Timestamp>, String),
    /// Every credential was refused.
    Parked,
    /// One attempt goes first after a rest; the others may follow then.
    Probing(Timestamp),
    /// All workers that are up are busy.
    Busy {
        /// Workers that name a dispatch.
        busy: i32,
        /// Workers that rest.
        resting: i32,
        /// `spec.max` of the pool.
        max: i32,
    },
    /// Workers are idle, and each of their credentials that does not rest has as many open attempts as it may have.
    Full,
    /// Workers are being deleted, and others will follow them. Their names.
    Replaced(String),
    /// The API server refuses to create a Worker. Its words.
    WriteRefused(String),
    /// No worker can take work, and no other one may be created. Their names, and why.
    Unavailable(String),
}

impl Wait {
    /// As the reason of the pool's condition Ready.
    pub const fn reason(&self) -> PoolReady {
        match self {
            Self::Nothing => PoolReady::Available,
            Self::Paused => PoolReady::Paused,
            Self::Deleting => PoolReady::Deleting,
            Self::Refused(_) => PoolReady::Refused,
            Self::StartsFail(..) => PoolReady::StartsFail,
            Self::HostUnreachable(_) => PoolReady::HostUnreachable,
            Self::Starting => PoolReady::Starting,
            Self::StartsPostponed(_) => PoolReady::StartsWait,
            Self::Resting(..) => PoolReady::Resting,
            Self::Parked => PoolReady::CredentialsRefused,
            Self::Probing(_) => PoolReady::Probing,
            Self::Busy { .. } | Self::Full => PoolReady::Busy,
            Self::Replaced(_) => PoolReady::Replacing,
            Self::WriteRefused(_) => PoolReady::WriteRefused,
            Self::Unavailable(_) => PoolReady::WorkersUnavailable,
        }
    }

    /// When it may end, if that is known.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::StartsFail(_, t) | Self::Resting(t, _) => *t,
            Self::Probing(t) => Some(*t),
            _ => None,
        }
    }
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("a worker is available"),
            Self::Paused => f.write_str("the pool is paused (spec.paused)"),
            Self::Deleting => f.write_str("the pool is being deleted"),
            Self::Refused(why) | Self::HostUnreachable(why) => f.write_str(why),
            Self::StartsFail(why, _) => write!(f, "workers do not start: {why}"),
            Self::Starting => f.write_str("workers are starting"),
            Self::StartsPostponed(why) => write!(f, "workers cannot start yet: {why}"),
            Self::Resting(Some(t), what) => write!(f, "{what}; the next is back at {}", seconds(*t).0),
            Self::Resting(None, what) => f.write_str(what),
            Self::Parked => {
                f.write_str("every credential was refused; change it, or clear it with a cooldown annotation")
            }
            Self::Probing(t) => {
                let t = seconds(*t).0;
                write!(f, "one attempt goes first after a rest; the others follow when it succeeds, or at {t}")
            }
            Self::Busy { busy, resting, max } => {
                let rest = if *resting > 0 { format!(" and {resting} resting") } else { String::new() };
                let advice = if busy + resting >= *max { " (raise spec.max for more)" } else { "" };
                write!(f, "all workers are busy: {busy} busy{rest} of max {max}{advice}")
            }
            Self::Full => {
                f.write_str("the credentials of the idle workers have as many open attempts as maxConcurrent allows")
            }
            Self::Replaced(names) => write!(f, "{names} being replaced"),
            Self::WriteRefused(why) => write!(f, "the API server refuses to create a Worker: {why}"),
            Self::Unavailable(names) => write!(f, "no worker can take work: {names}"),
        }
    }
}

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
        if obj.spec.paused {
            return Wait::Paused;
        }
        if let Some(why) = self.runtime_refused(&obj) {
            return Wait::Refused(why);
        }
        let creds: Vec<Option<String>> =
            self.pools.get(key).map(|p| p.slots.idle().keys().cloned().collect()).unwrap_or_default();
        let (mut back, mut probing): (Option<Timestamp>, Option<Timestamp>) = (None, None);
        let (mut parked, mut full) = (0, false);
        for c in &creds {
            match self.gate(key, &obj.spec, c.as_deref(), None, now) {
                Gate::Open => return Wait::Nothing,
                Gate::Resting(t) => back = Some(back.map_or(t, |b| b.min(t))),
                Gate::Probing(t) => probing = Some(probing.map_or(t, |b| b.min(t))),
                Gate::Parked => parked += 1,
                Gate::Full => full = true,
            }
        }
        let counts = self.counts(key, &obj, now);
        let Some(p) = self.pools.get(key) else { return Wait::Nothing };
        if let Some((t, _)) = p.slots.resting().first() {
            back = Some(back.map_or(*t, |b| b.min(*t)));
        }
        if let Some(wait) = self.coming(key, &obj) {
            return wait;
        }
        if parked > 0 && parked == creds.len() && counts.busy == 0 {
            return Wait::Parked;
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
        let runtime = self.runtime_of(obj);
        if let Some((host, why)) = self.instances.unlisted(runtime) {
            let what = match (runtime, why) {
                (RuntimeKind::Pod, "") => "the Pods were not listed yet".to_owned(),
                (RuntimeKind::Pod, why) => format!("the Pods cannot be listed: {why}"),
                (_, "") => format!("{runtime} host {host:?} has not answered yet"),
                (_, why) => format!("{runtime} host {host:?} cannot be reached: {why}"),
            };
            return Some(Wait::HostUnreachable(what));
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
