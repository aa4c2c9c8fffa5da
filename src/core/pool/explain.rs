//! Why a dispatch waits, until when, and what would shorten the wait.

use jiff::Timestamp;

use super::assign::Gate;
use crate::api::names;
use crate::api::vocabulary::PoolReady;
use crate::core::state::instances::InstanceView;
use crate::core::{Core, Now, Object, ObjectKey};

/// How many starting workers are looked at.
const LOOKED_AT: usize = 20;

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
    /// All workers, or all credentials, rest. The first rest ends then.
    Resting(Option<Timestamp>),
    /// Every credential was refused.
    Parked,
    /// One attempt goes first after a rest; the others may follow then.
    Probing(Timestamp),
    /// All workers are busy, and the pool may not have more.
    Busy,
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
            Self::Resting(_) => PoolReady::Resting,
            Self::Parked => PoolReady::CredentialsRefused,
            Self::Probing(_) => PoolReady::Probing,
            Self::Busy => PoolReady::Busy,
        }
    }

    /// When it may end, if that is known.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::StartsFail(_, t) | Self::Resting(t) => *t,
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
            Self::Resting(Some(t)) => write!(f, "all workers rest; the next is back at {t:.0}"),
            Self::Resting(None) => f.write_str("all workers rest"),
            Self::Parked => {
                f.write_str("every credential was refused; change it, or clear it with a cooldown annotation")
            }
            Self::Probing(t) => {
                write!(f, "one attempt goes first after a rest; the others follow when it succeeds, or at {t:.0}")
            }
            Self::Busy => f.write_str("all workers are busy (raise spec.max for more)"),
        }
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
        let (mut back, mut probing, mut parked): (Option<Timestamp>, Option<Timestamp>, usize) = (None, None, 0);
        for c in &creds {
            match self.gate(key, &obj.spec, c.as_deref(), None, now) {
                Gate::Open => return Wait::Nothing,
                Gate::Resting(t) => back = Some(back.map_or(t, |b| b.min(t))),
                Gate::Probing(t) => probing = Some(probing.map_or(t, |b| b.min(t))),
                Gate::Parked => parked += 1,
                Gate::Full => {}
            }
        }
        let counts = self.counts(key, &obj, now);
        let Some(p) = self.pools.get(key) else { return Wait::Nothing };
        if let Some((t, _)) = p.slots.resting().first() {
            back = Some(back.map_or(*t, |b| b.min(*t)));
        }
        if p.learned.backoff.is_failing() {
            return Wait::StartsFail(p.learned.backoff.message().to_owned(), p.learned.backoff.until());
        }
        let runtime = self.runtime_of(&obj);
        if let Some((host, message)) = self.instances.unlisted(runtime) {
            let why = if message.is_empty() { "not reached yet" } else { message };
            return Wait::HostUnreachable(format!("{runtime} host {host:?}: {why}"));
        }
        if !p.slots.starting().is_empty() || p.members.creating() > 0 {
            return self.starts_wait(key).map_or(Wait::Starting, Wait::StartsPostponed);
        }
        if parked > 0 && parked == creds.len() && counts.busy == 0 {
            return Wait::Parked;
        }
        if let Some(t) = probing {
            return Wait::Probing(t);
        }
        if counts.busy > 0 {
            return Wait::Busy;
        }
        if back.is_some() || !counts.credential_free {
            let spec = obj.spec.credentials.iter().map(crate::api::pool::Credential::identity).collect::<Vec<_>>();
            for id in spec {
                let until = self.credential_rest(&key.namespace, &id).until;
                let until = until.map(|t| t.0).filter(|t| self.rest_ends.lasts(*t, now));
                back = match (back, until) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            return Wait::Resting(back);
        }
        Wait::Nothing
    }

    /// Why none of the workers that are being started becomes Ready, if all of them wait. Only a few are looked at.
    fn starts_wait(&self, key: &ObjectKey) -> Option<String> {
        let p = self.pools.get(key).filter(|p| p.members.creating() == 0)?;
        let mut first = None;
        for o in p.slots.starting().iter().take(LOOKED_AT) {
            let e = self.workers.get(&key.sibling(names::worker(&key.name, *o)))?;
            let why = match self.instances.view_of(e.obj()) {
                Some(InstanceView::There { state, .. }) => state.why_not_ready()?,
                _ => e.life().waits_for()?,
            };
            first.get_or_insert_with(|| why.to_owned());
        }
        first
    }
}
