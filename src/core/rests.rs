//! Rests: of workers and of credentials.
//!
//! A deadline is computed once, when the attempt is closed, and only copied afterwards. A time that the server names wins and
//! is never shortened. Otherwise the pool's `cooldown` doubles with each strike, up to `maxCooldown`. A strike counts, and a
//! success resets the strikes, only if the attempt was assigned at or after the previous deadline. So eight workers that are
//! limited at once are one strike, and a write that is repeated changes nothing. A success that names a time is followed by a rest
//! too, without a strike.
//!
//! A credential that was refused is parked: it rests until it is cleared or changed, or a probe succeeds (`parking`). `until` is the
//! time of the next probe then, and the fence: an attempt that was assigned before it neither parks nor unparks anything.
//!
//! A deadline is a wall-clock time. The controller that computed it also knows when it passes by the monotonic clock
//! ([`super::state::rest_ends`]), so a wall clock that is set back does not make its rests longer.

use std::sync::Arc;

use jiff::Timestamp;

use super::agenda::Wake;
use super::jitter::{doubled, jittered};
use super::{Core, Now, Object, ObjectKey, time};
use crate::api::dispatch::{LastResult, Outcome};
use crate::api::pool::{ContainerPoolSpec, CredentialRest, Scope};
use crate::api::worker::Cooldown;
use crate::api::{ContainerPool, Period, Time, Worker};

/// Jitter of a rest, as a share of it. It is only ever added, so no rest ends early.
const JITTER: f64 = 0.1;

/// What a closed attempt means for rests.
#[derive(Clone, Copy, Debug)]
pub struct Limited<'a> {
    /// When it was assigned, as its Dispatch says: a later reservation for the same attempt never ran.
    pub assigned_at: Timestamp,
    /// How it ended.
    pub result: &'a LastResult,
}

/// When the rest after a rate limit ends. `strikes` and `until` are those before it. `seed` decides the jitter.
pub fn deadline(
    spec: &ContainerPoolSpec,
    strikes: i32,
    until: Option<Timestamp>,
    assigned_at: Timestamp,
    retry_after: Option<Period>,
    seed: &str,
    now: Now,
) -> Timestamp {
    let from = now.wall.max(assigned_at);
    let fresh = until.is_none_or(|u| assigned_at >= u);
    let rest = retry_after.map_or_else(
        || {
            let strike = strikes + i32::from(fresh);
            let longest = spec.rate_limit.max_cooldown.get().max(spec.cooldown.get());
            jittered(doubled(spec.cooldown.get(), strike, longest), JITTER, seed)
        },
        Period::get,
    );
    let end = time::stored(time::after(from, rest));
    until.map_or(end, |u| end.max(u))
}

/// The rest of a worker after a closed attempt, if the scope is Worker. `None`: no rest.
pub fn worker_rest(old: Cooldown, closed: &Limited<'_>) -> Option<Cooldown> {
    let until = old.until.as_ref().map(|t| t.0);
    let fresh = until.is_none_or(|u| closed.assigned_at >= u);
    let cleared = old.cleared_at.as_ref().is_some_and(|c| c.0 > closed.assigned_at);
    let next = match (closed.result.outcome, &closed.result.until) {
        (Outcome::RateLimited, Some(end)) if !cleared => Cooldown {
            until: Some(until.map_or(end.clone(), |u| Time::from(u.max(end.0)))),
            strikes: old.strikes + i32::from(fresh),
            reason: Some(reason_of(closed.result)),
            cleared_at: old.cleared_at,
        },
        (Outcome::Succeeded, Some(end)) if !cleared => Cooldown {
            until: Some(until.map_or(end.clone(), |u| Time::from(u.max(end.0)))),
            strikes: if fresh { 0 } else { old.strikes },
            reason: Some(reason_of(closed.result)),
            cleared_at: old.cleared_at,
        },
        (Outcome::Succeeded, _) if fresh => Cooldown { until: None, strikes: 0, reason: None, ..old },
        _ => old,
    };
    (next != Cooldown::default()).then_some(next)
}

/// The entry of a credential after a closed attempt, or `None` if the entry already shows the attempt. `rest` is the rest of
/// the credential over all pools, `entry` the entry in one of them.
pub fn credential_entry(
    rest: &CredentialRest,
    entry: Option<&CredentialRest>,
    own: bool,
    scope: Scope,
    closed: &Limited<'_>,
) -> Option<CredentialRest> {
    let old = entry.cloned().unwrap_or_else(|| CredentialRest { key: rest.key.clone(), ..CredentialRest::default() });
    if rest.cleared_at.as_ref().is_some_and(|c| c.0 > closed.assigned_at) {
        return None;
    }
    let fresh = rest.until.as_ref().is_none_or(|u| closed.assigned_at >= u.0);
    let base = if is_let_in(rest, closed) && old.parked { unparked(&old, rest) } else { old.clone() };
    let is_later = |end: &Time| base.until.as_ref().is_none_or(|u| *u < *end);
    let next = match (closed.result.outcome, &closed.result.until) {
        // The entries of the other pools are written before this one: its end would make them think that the attempt began before
        // the rest.
        (Outcome::RateLimited, Some(end)) if own && scope == Scope::Credential && is_later(end) => CredentialRest {
            until: Some(end.clone()),
            strikes: rest.strikes + i32::from(fresh),
            reason: Some(reason_of(closed.result)),
            ..base
        },
        (Outcome::Unauthorized, end) if own && is_new(rest, closed) && end.as_ref().is_none_or(is_later) => {
            CredentialRest {
                parked: true,
                until: end.clone().max(base.until),
                reason: Some(reason_of(closed.result)),
                stale_before: base.stale_before.max(Some(closed.result.closed_at.clone())),
                ..base
            }
        }
        // A probe that says nothing about the credential.
        (Outcome::Failed | Outcome::Overloaded, Some(end)) if own && rest.parked && is_later(end) => {
            CredentialRest { until: Some(end.clone()), ..base }
        }
        // A rest without a strike.
        (Outcome::Succeeded, Some(end)) if own && scope == Scope::Credential && is_later(end) => CredentialRest {
            until: Some(end.clone()),
            strikes: if fresh { 0 } else { base.strikes },
            reason: Some(reason_of(closed.result)),
            ..base
        },
        (Outcome::Succeeded, _) if fresh => CredentialRest { strikes: 0, ..base },
        _ => base,
    };
    (next != old).then_some(next)
}

/// True if a refusal says something new: an old process with an old value parks nothing again. What is to be written for this very
/// attempt does not make it old.
fn is_new(rest: &CredentialRest, closed: &Limited<'_>) -> bool {
    let (until, changed) = (rest.until.as_ref(), rest.stale_before.as_ref());
    until.is_none_or(|u| closed.assigned_at >= u.0 || Some(u) == closed.result.until.as_ref())
        && changed.is_none_or(|t| closed.assigned_at >= t.0 || *t == closed.result.closed_at)
}

/// True if a closed attempt shows that the service accepts a parked credential again: it was assigned for a probe, or later. The
/// time may be that of an older rest in another pool, so the attempt is also later than the refusal.
fn is_let_in(rest: &CredentialRest, closed: &Limited<'_>) -> bool {
    let accepted = matches!(closed.result.outcome, Outcome::Succeeded | Outcome::RateLimited);
    let is_later = rest.stale_before.as_ref().is_none_or(|refused| closed.assigned_at >= refused.0);
    accepted && rest.parked && is_later && rest.until.as_ref().is_some_and(|u| closed.assigned_at >= u.0)
}

/// The entry of a parked credential that the service accepts again. `until` stays: what was assigned before it says nothing. Workers
/// from before it may have the refused value.
fn unparked(old: &CredentialRest, rest: &CredentialRest) -> CredentialRest {
    CredentialRest {
        parked: false,
        until: old.until.clone().max(rest.until.clone()),
        reason: None,
        stale_before: old.stale_before.clone().max(rest.until.clone()),
        ..old.clone()
    }
}

/// Why a rest follows from a result.
fn reason_of(result: &LastResult) -> String {
    let of = |outcome: Outcome| match outcome {
        Outcome::Succeeded => "a task that succeeded used up what the service allows".to_owned(),
        _ => outcome.to_string(),
    };
    result.message.clone().unwrap_or_else(|| of(result.outcome))
}

impl Core {
    /// Looks again when a rest with this stored end is over, by either clock.
    pub(super) fn wake_at_rest_end(&self, until: Timestamp, wake: &mut Wake) {
        wake.at(until);
        if let Some(end) = self.rest_ends.end(until) {
            wake.after(end);
        }
    }

    /// The time at which a worker is assigned: now, but not before the stored end of a rest that is over by monotonic time.
    /// That end is later than the wall clock if that was set back, and the stored times alone say whether an attempt
    /// came after a rest.
    pub(super) fn assignment(&mut self, worker: &Worker, now: Now) -> Now {
        let own = worker.status.as_ref().and_then(|s| s.cooldown.as_ref()?.until.clone());
        let identity = self.identity_of(worker).ok().flatten();
        let namespace = ObjectKey::of(worker).namespace;
        let shared = identity.and_then(|id| self.credential_rest(&namespace, &id).until);
        let ends = own.into_iter().chain(shared).map(|t| t.0);
        let wall = ends.filter(|end| self.rest_ends.is_over(*end, now)).fold(now.wall, Timestamp::max);
        Now { wall, ..now }
    }

    /// A credential's rest over all pools of the namespace that name it: the longest.
    pub(super) fn credential_rest(&mut self, namespace: &Arc<str>, identity: &str) -> CredentialRest {
        let mut all = CredentialRest { key: identity.to_owned(), ..CredentialRest::default() };
        let Some(cred) = self.credentials.get(namespace, identity) else { return all };
        for pool in cred.pools() {
            self.visits.0 += 1;
            let Some(entry) = self.pools.get(pool) else { continue };
            let written = entry.obj().and_then(|p| p.status.as_ref());
            let written = written.and_then(|s| s.rate_limits.iter().find(|r| r.key == identity));
            let due = entry.due_rests.get(identity);
            // A due entry was computed from the written one, and a success resets its strikes. But a rest ends only when its
            // end is written.
            all.strikes = all.strikes.max(due.or(written).map_or(0, |r| r.strikes));
            for r in written.into_iter().chain(due) {
                all.parked |= r.parked;
                if r.until > all.until {
                    all.until.clone_from(&r.until);
                    all.reason.clone_from(&r.reason);
                }
                if r.cleared_at > all.cleared_at {
                    all.cleared_at.clone_from(&r.cleared_at);
                }
                if r.stale_before > all.stale_before {
                    all.stale_before.clone_from(&r.stale_before);
                }
            }
        }
        all
    }

    /// The pool that met the limit for which a credential rests, and the reason that is stored there: the pool with the newest
    /// refusal, or else with the latest end.
    pub(super) fn rest_met_by(&self, namespace: &Arc<str>, identity: &str) -> Option<(ObjectKey, Option<String>)> {
        let pools = self.credentials.get(namespace, identity)?.pools();
        let entry = |key: &ObjectKey| {
            let p = self.pools.get(key)?;
            let stored = p.obj().and_then(|o| o.status.as_ref());
            let stored = stored.and_then(|s| s.rate_limits.iter().find(|r| r.key == identity));
            let rest = p.due_rests.get(identity).or(stored)?;
            Some(((rest.parked, rest.until.as_ref().map(|t| t.0)), key.clone(), rest.reason.clone()))
        };
        let all = pools.iter().filter_map(entry);
        all.max_by(|(a, ..), (b, ..)| a.cmp(b)).map(|(_, pool, reason)| (pool, reason))
    }

    /// True if every pool shows the rest that follows for the worker's credential. Otherwise the rest is to be written first.
    pub(super) fn rest_is_written(&mut self, pool: &ObjectKey, worker: &Worker, closed: &Limited<'_>) -> bool {
        let Ok(Some(identity)) = self.identity_of(worker) else { return true };
        let scope = self.scope_of(pool);
        let rest = self.credential_rest(&pool.namespace, &identity);
        let shared = self.credentials.pools_of(&pool.namespace, &identity);
        let others = shared.iter().filter(|p| *p != pool).chain(shared.get(pool));
        let mut written = true;
        for other in others.cloned() {
            if other == *pool && !written {
                break; // see `credential_entry`
            }
            // One that is being deleted goes soon, and its entry with it. But it may hold a parked credential until then.
            let counts = |p: &Arc<ContainerPool>| !p.is_deleting() || other == *pool || rest.parked;
            let Some(obj) = self.pool_obj(&other).filter(counts) else { continue };
            let (own, stored) = (other == *pool, obj.status.as_ref());
            let stored = stored.and_then(|s| s.rate_limits.iter().find(|r| r.key == identity));
            if credential_entry(&rest, stored, own, scope, closed).is_some() {
                written = false;
                if let Some(p) = self.pools.get_mut(&other) {
                    // Computed from the entry that is already due, so two ends are not counted alternately for ever.
                    let base = p.due_rests.get(&identity).or(stored);
                    if let Some(next) = credential_entry(&rest, base, own, scope, closed) {
                        p.due_rests.insert(&identity, next);
                    }
                    p.due_rests.wait(ObjectKey::of(worker));
                }
                self.agenda.mark_pool(&other);
            }
        }
        // It may be old, or cleared, only because of an entry that is to be written for something else. It waits until that is stored.
        if closed.result.outcome == Outcome::Unauthorized || closed.result.until.is_some() {
            for other in &shared {
                let Some(p) = self.pools.get_mut(other).filter(|p| p.due_rests.get(&identity).is_some()) else {
                    continue;
                };
                p.due_rests.wait(ObjectKey::of(worker));
                self.agenda.mark_pool(other);
                written = false;
            }
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::time::Duration;

    use super::*;
    use crate::core::testkit::{at, limited};

    fn now(s: i64) -> Now {
        Now::new(at(s), Duration::ZERO)
    }

    fn spec(cooldown: u64, max: u64) -> ContainerPoolSpec {
        let mut spec = ContainerPoolSpec { cooldown: Period::seconds(cooldown), ..ContainerPoolSpec::default() };
        spec.rate_limit.max_cooldown = Period::seconds(max);
        spec
    }

    /// The time is that of a rest of another pool, which ended before the refusal.
    #[test]
    fn a_success_from_before_the_refusal_unparks_nothing() {
        let parked = |until, refused| CredentialRest {
            key: "k".into(),
            until: Some(Time::from(at(until))),
            parked: true,
            stale_before: Some(Time::from(at(refused))),
            ..CredentialRest::default()
        };
        let succeeded = LastResult { outcome: Outcome::Succeeded, until: None, ..limited(0) };
        let closed = |assigned| Limited { assigned_at: at(assigned), result: &succeeded };
        let entry = |rest: &CredentialRest, assigned| {
            credential_entry(rest, Some(rest), true, Scope::Credential, &closed(assigned))
                .is_some_and(|next| !next.parked)
        };
        assert!(!entry(&parked(10, 20), 15));
        assert!(entry(&parked(10, 20), 20));
        assert!(!entry(&parked(30, 20), 25), "before its probe");
    }

    #[test]
    fn the_servers_word_is_never_cut() {
        let end = deadline(&spec(60, 300), 3, None, at(0), Some(Period::hours(9)), "x", now(0));
        assert_eq!(end, at(9 * 3600));
    }

    #[test]
    fn a_rest_is_counted_from_the_assignment_if_the_clock_was_set_back() {
        let end = deadline(&spec(60, 300), 0, None, at(1000), Some(Period::seconds(10)), "x", now(0));
        assert_eq!(end, at(1010));
    }

    /// Found by the simulation: after a success had reset the strikes, an older attempt's limit set them again.
    #[test]
    fn a_limit_from_before_the_rest_is_no_strike_of_a_credential() {
        let rest =
            CredentialRest { key: "k".to_owned(), until: Some(Time::from(at(100))), ..CredentialRest::default() };
        let result = limited(150);
        let closed = Limited { assigned_at: at(50), result: &result };
        let next = credential_entry(&rest, Some(&rest), true, Scope::Credential, &closed).unwrap();
        assert_eq!((next.strikes, next.until), (0, Some(Time::from(at(150)))));
    }

    fn succeeded(until: Option<i64>) -> LastResult {
        LastResult { outcome: Outcome::Succeeded, until: until.map(|t| Time::from(at(t))), ..limited(0) }
    }

    #[test]
    fn a_success_that_names_a_time_is_no_strike_and_ends_a_row_if_it_is_fresh() {
        let old = Cooldown { until: Some(Time::from(at(100))), strikes: 3, ..Cooldown::default() };
        let result = succeeded(Some(500));
        let rest = |assigned: i64, old: &Cooldown| {
            worker_rest(old.clone(), &Limited { assigned_at: at(assigned), result: &result }).unwrap_or_default()
        };
        let shown = |c: &Cooldown| (c.until.as_ref().map(|t| t.0), c.strikes);
        let next = rest(100, &old);
        assert_eq!(shown(&next), (Some(at(500)), 0));
        assert_eq!(rest(100, &next), next, "applied again");
        assert_eq!(shown(&rest(99, &old)), (Some(at(500)), 3), "it began before the rest");
        let longer = Cooldown { until: Some(Time::from(at(900))), ..old.clone() };
        assert_eq!(shown(&rest(99, &longer)), (Some(at(900)), 3), "no rest becomes shorter");
        let cleared = Cooldown { cleared_at: Some(Time::from(at(150))), ..Cooldown::default() };
        assert_eq!(rest(100, &cleared), cleared, "a person has cleared it since");
    }

    /// The entry of its own pool comes last: seen from the others, its end is later than the attempt.
    #[test]
    fn a_success_that_names_a_time_resets_the_strikes_of_other_pools_before_its_own() {
        let entry = |until: i64, strikes: i32| CredentialRest {
            key: "k".to_owned(),
            until: Some(Time::from(at(until))),
            strikes,
            ..CredentialRest::default()
        };
        let result = succeeded(Some(500));
        let closed = Limited { assigned_at: at(100), result: &result };
        let (rest, other) = (entry(100, 2), entry(90, 2));
        let next = |rest: &CredentialRest, entry: &CredentialRest, own: bool, scope: Scope| {
            credential_entry(rest, Some(entry), own, scope, &closed).map(|e| (e.until.unwrap().0, e.strikes))
        };
        assert_eq!(next(&rest, &other, false, Scope::Credential), Some((at(90), 0)));
        assert_eq!(next(&rest, &rest, true, Scope::Credential), Some((at(500), 0)));
        assert_eq!(next(&rest, &rest, true, Scope::Worker), Some((at(100), 0)), "the worker rests");
        let written = entry(500, 0);
        assert_eq!(next(&written, &written, true, Scope::Credential), None, "applied again");
        assert_eq!(next(&written, &other, false, Scope::Credential), None, "which is why it comes last");
    }

    proptest! {
        /// Never earlier than the cooldown asks, never much later, never before the old deadline.
        #[test]
        fn a_deadline_stays_within_its_bounds(
            cooldown in 1u64..1000, factor in 1u64..20, strikes in 0i32..40, old in prop::option::of(0i64..5000),
            assigned in 0i64..5000, t in 0i64..5000, seed in "[a-z]{0,8}",
        ) {
            let max = cooldown * factor;
            let end = deadline(&spec(cooldown, max), strikes, old.map(at), at(assigned), None, &seed, now(t));
            let from = t.max(assigned);
            prop_assert!(end >= at(from + i64::try_from(cooldown).unwrap()));
            prop_assert!(old.is_none_or(|o| end >= at(o)));
            let latest = from as f64 + max as f64 * 1.1;
            prop_assert!(old.is_some_and(|o| end == at(o)) || end <= at(latest as i64 + 1));
        }

        /// Workers that are limited during one rest are one strike, in whatever order their attempts are closed.
        #[test]
        fn limits_met_at_once_are_one_strike(ends in prop::collection::vec(100i64..200, 1..9), assigned in 0i64..50) {
            let mut rest: Option<Cooldown> = None;
            for end in &ends {
                let result = limited(*end);
                rest = worker_rest(rest.unwrap_or_default(), &Limited { assigned_at: at(assigned), result: &result });
            }
            let rest = rest.unwrap();
            prop_assert_eq!(rest.strikes, 1);
            prop_assert_eq!(rest.until.unwrap().0, at(*ends.iter().max().unwrap()));
        }

        /// A write that is repeated changes nothing.
        #[test]
        fn replays_change_nothing(strikes in 0i32..5, old in prop::option::of(0i64..100), assigned in 0i64..200, end in 0i64..400) {
            let result = limited(end);
            let closed = Limited { assigned_at: at(assigned), result: &result };
            let before = Cooldown { until: old.map(|t| Time::from(at(t))), strikes, ..Cooldown::default() };
            // What closes an attempt never names a time before the attempt began, nor before the rest that was known.
            prop_assume!(end > assigned && old.is_none_or(|o| end >= o));
            let once = worker_rest(before, &closed).unwrap();
            prop_assert_eq!(worker_rest(once.clone(), &closed).unwrap(), once);
            let rest = CredentialRest { key: "k".into(), until: old.map(|t| Time::from(at(t))), strikes, ..CredentialRest::default() };
            if let Some(next) = credential_entry(&rest, Some(&rest), true, Scope::Credential, &closed) {
                prop_assert_eq!(credential_entry(&next, Some(&next), true, Scope::Credential, &closed), None);
            }
        }

        /// What was assigned before a clear by hand no longer counts.
        #[test]
        fn a_clear_by_hand_stays(assigned in 0i64..100, cleared in 0i64..100, end in 200i64..300) {
            let result = limited(end);
            let closed = Limited { assigned_at: at(assigned), result: &result };
            let old = Cooldown { cleared_at: Some(Time::from(at(cleared))), ..Cooldown::default() };
            let rests = worker_rest(old, &closed).and_then(|c| c.until).is_some();
            prop_assert_eq!(rests, assigned >= cleared);
        }
    }
}
