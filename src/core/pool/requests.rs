//! Requests in the annotations of a pool.
//!
//! An annotation is removed once what it asks for is stored, together with all others that are done by then. A bad request stays, gets one Warning, and shows in the condition
//! RequestsAccepted. A request that the server refuses counts as bad and is retried: what refused it may change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::api::dispatch::{Outcome, Retry};
use crate::api::pool::CredentialRest;
use crate::api::requests::{self, CooldownChange, Request, ResultRequest};
use crate::api::vocabulary::{EventReason, RequestReason};
use crate::api::worker::Cooldown;
use crate::api::{ContainerPool, Dispatch, DispatchSpec, Time, names};
use crate::core::agenda::{RetryWait, Wake};
use crate::core::state::pending::Requester;
use crate::core::state::requests::Bad;
use crate::core::{Core, EventType, Fetched, Now, Object, ObjectKey, Settled, Subject, Verb, time};

/// Bad requests are looked at again after this time. An obstacle may disappear without any input about the pool, for example a
/// Dispatch of another pool that has the wanted name.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How many names are listed at most where one is not known.
const NAMED: usize = 5;
/// Reason of a rest that a person set.
const BY_HAND: &str = "set by hand";

/// What is done about one request.
enum Step {
    /// It is done: remove the annotation.
    Remove,
    /// Write this.
    Write(Subject, Verb),
    /// Something that is under way comes first.
    Wait,
    /// The annotation stays. What is wrong, and what would be right.
    Bad(String),
}

impl Core {
    /// Looks at each request of a pool, and writes what it asks for.
    pub(in crate::core) fn handle_requests(
        &mut self,
        key: &ObjectKey,
        obj: &Arc<ContainerPool>,
        now: Now,
        wake: &mut Wake,
    ) {
        let annotations = obj.metadata.annotations.clone().unwrap_or_default();
        let requests = requests::parse_all(&key.name, &annotations);
        let (mut bad, mut done) = (BTreeMap::new(), Vec::new());
        for request in &requests {
            let step = match &request.request {
                Err(e) => {
                    // The message begins with the annotation's name, which is added to every message below.
                    let text = e.to_string();
                    Step::Bad(text.strip_prefix(&format!("annotation {}: ", request.key)).unwrap_or(&text).to_owned())
                }
                Ok(Request::Dispatch(r)) => self.dispatch_request(key, obj, &r.name, &r.spec, &request.value),
                Ok(Request::Result(r)) => self.result_request(key, r),
                Ok(Request::Cooldown(r)) => {
                    self.cooldown_request(key, obj, &request.key, &request.value, &r.target, r.change, now)
                }
            };
            match step {
                Step::Remove => done.push((request.key.clone(), request.value.clone())),
                Step::Write(subject, verb) => {
                    let retry =
                        self.pools.get(key).and_then(|p| p.learned.requests.retry_of(&request.key, &request.value));
                    if let Some(r) = retry.filter(|r| r.is_reported()) {
                        let (value, text) = (request.value.clone(), r.why().to_owned());
                        bad.insert(request.key.clone(), Bad { value, text, refused: r.is_refused() });
                    }
                    let waits = retry.into_iter().chain(self.agenda.retry(&subject)).map(RetryWait::until).max();
                    if self.agenda.is_locked(&subject) {
                        self.pending.await_end(subject, key);
                    } else if let Some(until) = waits.filter(|until| *until > now.mono) {
                        wake.after(until);
                    } else {
                        let annotation = request.key.clone();
                        let by = Requester { pool: key.clone(), annotation, value: request.value.clone() };
                        self.write_for(by, subject, verb, now);
                    }
                }
                Step::Bad(text) => {
                    bad.insert(request.key.clone(), Bad { value: request.value.clone(), text, refused: true });
                }
                Step::Wait => {}
            }
        }
        let subject = Subject::Pool(key.clone());
        if !done.is_empty() && !self.agenda.is_locked(&subject) {
            self.write(subject, Verb::RemovePoolAnnotations(obj.clone(), done));
        }
        let known = self.pools.get(key).map(|p| p.learned.requests.bad().clone()).unwrap_or_default();
        for (k, Bad { value, text, refused }) in &bad {
            // The words may be other ones at each retry. The condition has the newest.
            if known.get(k).is_none_or(|known| known.value != *value || (*refused && !known.refused)) {
                self.record(
                    "ContainerPool",
                    &**obj,
                    EventType::Warning,
                    EventReason::RequestRefused,
                    format!("annotation {k}: {text}"),
                    now,
                );
            }
        }
        if !bad.is_empty() {
            wake.after(now.mono + LOOK_AGAIN);
        }
        if let Some(p) = self.pools.get_mut(key) {
            p.learned.requests.judged(bad, &annotations);
        }
    }

    /// Writes what a request asks for.
    fn write_for(&mut self, by: Requester, subject: Subject, verb: Verb, now: Now) {
        self.pending.requested(subject.clone(), by);
        self.write(subject.clone(), verb);
        if let Subject::Worker(w) = &subject {
            self.reindex_worker(w, now);
        }
    }

    /// The write that a request asked for ended.
    pub(in crate::core) fn request_answered(&mut self, by: &Requester, settled: &Settled, now: Now) {
        let Some(p) = self.pools.get_mut(&by.pool) else { return };
        let (why, refused) = match settled {
            Settled::Refused(why) => (why.as_str(), true),
            Settled::Failed(_, why) => (why.as_str(), false),
            // For example in a namespace that no longer exists.
            Settled::Refreshed(Fetched::Dispatch(None)) => ("the server made no such Dispatch, and knows none", false),
            Settled::Done(_) | Settled::Refreshed(_) => {
                p.learned.requests.succeeded(&by.annotation);
                return;
            }
        };
        p.learned.requests.failed(&by.annotation, &by.value, why, refused, now);
    }

    fn dispatch_request(
        &mut self,
        key: &ObjectKey,
        obj: &ContainerPool,
        task: &str,
        spec: &DispatchSpec,
        value: &str,
    ) -> Step {
        let dispatch = key.sibling(task);
        let hash = requests::value_hash(value);
        if let Some(e) = self.dispatches.get(&dispatch) {
            let mark = |name: &str| e.obj().metadata.annotations.as_ref().and_then(|a| a.get(name)).cloned();
            let ours = mark(names::REQUEST_POOL_UID).as_deref() == Some(obj.uid_str())
                && mark(names::REQUEST_HASH).as_deref() == Some(hash.as_str());
            return if ours {
                Step::Remove
            } else {
                Step::Bad(format!(
                    "{}: a Dispatch {task:?} of another request exists; choose another task name",
                    RequestReason::NameTaken
                ))
            };
        }
        if obj.is_deleting() {
            return Step::Bad("the pool is being deleted".to_owned());
        }
        let mut d = Dispatch::new(task, DispatchSpec { pool: key.name.to_string(), ..spec.clone() });
        d.metadata.namespace = Some(key.namespace.to_string());
        let marks = [(names::REQUEST_POOL_UID, obj.uid_str()), (names::REQUEST_HASH, hash.as_str())];
        d.metadata.annotations = Some(marks.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
        let subject = Subject::Dispatch(dispatch);
        Step::Write(subject, Verb::CreateDispatch(Box::new(d)))
    }

    fn result_request(&mut self, key: &ObjectKey, r: &ResultRequest) -> Step {
        let dispatch = key.sibling(r.dispatch.as_str());
        let Some(e) = self.dispatches.get(&dispatch) else {
            return Step::Bad(format!("there is no Dispatch {:?}", r.dispatch));
        };
        let (d, status) = (e.obj().clone(), e.obj().status.clone().unwrap_or_default());
        if r.uid.as_ref().is_some_and(|u| u != d.uid_str()) {
            return Step::Bad(format!(
                "Dispatch {:?} has uid {}: the result is for a namesake",
                r.dispatch,
                d.uid_str()
            ));
        }
        if *d.spec.pool != *key.name {
            return Step::Bad(format!("Dispatch {:?} is of pool {:?}", r.dispatch, d.spec.pool));
        }
        let attempt = match r.attempt {
            Some(n) => n,
            None if d.spec.retry == Retry::default() => status.attempt.max(1),
            None => {
                return Step::Bad(format!(
                    "the task may be retried: say which attempt, such as '{} {:?}'",
                    status.attempt.max(1),
                    r.outcome
                ));
            }
        };
        let result = r.result(attempt);
        if d.spec.result.as_ref() == Some(&result) {
            return Step::Remove;
        }
        if let Some(last) = status.last_result.as_ref().filter(|l| l.attempt == attempt) {
            return if last.outcome == Outcome::from(r.outcome) {
                Step::Remove
            } else {
                Step::Bad(format!("attempt {attempt} ended as {} already", last.outcome))
            };
        }
        if attempt < status.attempt {
            return Step::Bad(format!("attempt {attempt} is over; the current one is {}", status.attempt));
        }
        if attempt > status.attempt || !status.is_open() {
            return Step::Bad(format!("attempt {attempt} has not begun; the newest is {}", status.attempt));
        }
        match &d.spec.result {
            Some(old) if old.attempt == attempt => Step::Wait,
            _ => Step::Write(Subject::Dispatch(dispatch), Verb::DispatchResult(d, Box::new(result))),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one request, taken apart")]
    fn cooldown_request(
        &mut self,
        key: &ObjectKey,
        obj: &Arc<ContainerPool>,
        annotation: &str,
        value: &str,
        subject: &str,
        change: CooldownChange,
        now: Now,
    ) -> Step {
        let requests = &mut self.pools.entry(key).learned.requests;
        let at = requests.time_of(annotation, value, || {
            Time::from(match change {
                CooldownChange::Rest(p) => {
                    let end = time::after(now.wall, p.get());
                    self.rest_ends.begin(end, p.get(), now);
                    end
                }
                CooldownChange::Clear => now.wall,
            })
        });
        let clear = change == CooldownChange::Clear;
        let worker = key.sibling(subject);
        if names::ordinal(&key.name, subject).is_some() && self.workers.get(&worker).is_some() {
            return self.rest_worker(&worker, &at, clear, now);
        }
        if let Some(c) = obj.spec.credentials.iter().find(|c| c.name == subject) {
            return self.rest_credential(key, &c.identity(), &at, clear);
        }
        Step::Bad(self.no_such_target(key, obj, annotation, value, subject))
    }

    /// Says that a pool has neither a worker nor a credential of that name, and which it has.
    fn no_such_target(
        &self,
        key: &ObjectKey,
        obj: &ContainerPool,
        annotation: &str,
        value: &str,
        subject: &str,
    ) -> String {
        let what = format!("{} has no Worker and no credential {subject:?}", key.name);
        let Some(p) = self.pools.get(key) else { return what };
        // Workers come and go. The message on this request does not change with them: each change would be a write.
        let said = p.learned.requests.bad().get(annotation).filter(|b| b.value == value && b.text.starts_with(&what));
        if let Some(said) = said {
            return said.text.clone();
        }
        let workers = p.members.existing().iter().map(|o| names::worker(&key.name, *o));
        let known = obj.spec.credentials.iter().map(|c| c.name.clone()).chain(workers);
        let mut known: Vec<String> = known.take(NAMED + 1).collect();
        if known.len() > NAMED {
            "…".clone_into(&mut known[NAMED]);
        }
        if known.is_empty() { format!("{what}; it has none") } else { format!("{what}; it has {}", known.join(", ")) }
    }

    fn rest_worker(&mut self, worker: &ObjectKey, at: &Time, clear: bool, now: Now) -> Step {
        let Some(e) = self.workers.get(worker) else { return Step::Wait };
        let base = e.obj().clone();
        let mut status = base.status.clone().unwrap_or_default();
        let old = status.cooldown.clone().unwrap_or_default();
        let done = if clear { old.cleared_at.as_ref() >= Some(at) } else { old.until.as_ref() >= Some(at) };
        if done {
            return Step::Remove;
        }
        status.cooldown = Some(if clear {
            Cooldown { cleared_at: Some(at.clone()), ..Cooldown::default() }
        } else {
            Cooldown { until: Some(at.clone()), reason: Some(BY_HAND.to_owned()), ..old }
        });
        if status.dispatch.is_none() {
            let pool = worker.sibling(base.spec.pool.as_str());
            self.show_rest(&pool, &base, &mut status, false, now);
        }
        Step::Write(Subject::Worker(worker.clone()), Verb::WorkerStatus(base, Box::new(status)))
    }

    fn rest_credential(&mut self, key: &ObjectKey, identity: &str, at: &Time, clear: bool) -> Step {
        // A rest holds for every pool that names the credential, wherever it is stored. So a clear is written to every pool that
        // stores one.
        let shared = self.credentials.pools_of(&key.namespace, identity);
        let mut done = true;
        for pool in shared {
            let Some(obj) = self.pool_obj(&pool) else { continue };
            let entry = obj.status.as_ref().and_then(|s| s.rate_limits.iter().find(|r| r.key == identity)).cloned();
            if entry.is_none() && pool != *key {
                continue;
            }
            let old = entry.unwrap_or_else(|| CredentialRest { key: identity.to_owned(), ..CredentialRest::default() });
            let shown = if clear { old.cleared_at.as_ref() >= Some(at) } else { old.until.as_ref() >= Some(at) };
            if shown || (!clear && pool != *key) {
                continue;
            }
            done = false;
            let due = self.pools.get(&pool).and_then(|p| p.due_rests.get(identity)).cloned();
            if !clear && due.as_ref().is_some_and(|r| r.until.as_ref() >= Some(at)) {
                continue;
            }
            let old = due.unwrap_or(old);
            let next = if clear {
                // A person put its value right, so workers from before have an old one.
                let stale_before = if old.parked { Some(at.clone()) } else { old.stale_before };
                CredentialRest { key: old.key, cleared_at: Some(at.clone()), stale_before, ..CredentialRest::default() }
            } else {
                CredentialRest { until: Some(at.clone()), reason: Some(BY_HAND.to_owned()), ..old }
            };
            if let Some(p) = self.pools.get_mut(&pool) {
                p.due_rests.insert(identity, next);
            }
            self.agenda.mark_pool(&pool);
        }
        if done { Step::Remove } else { Step::Wait }
    }
}
