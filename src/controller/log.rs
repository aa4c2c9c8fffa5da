//! What the log says of the loop.
//!
//! At info there is one line for each worker that starts, waits, ends or fails, with the reason; for each attempt that ended other than
//! Succeeded; for each dispatch that ended without an attempt; for each request, write or order that was refused; and for each
//! change of a pool's conditions that is an Event. At debug there is one line for each action. A dispatch that succeeds is in
//! no line at info.
//!
//! Names are printed as they are: the API server has validated them. Words from outside are quoted, so none of them begins a
//! line or acts on a terminal.

mod facts;
mod line;
mod words;

use std::collections::HashMap;

use tracing::Level;

use self::line::{Line, TARGET};
use crate::api::Worker;
use crate::api::vocabulary::EventReason;
use crate::core::{Action, Event, Input, Object, ObjectKey, RuntimeFact, Seen, Settled, Subject};
use crate::runtime::{InstanceKey, Observation};

/// What is written and not answered yet, and what was refused already.
#[derive(Default)]
pub(super) struct Log {
    /// The write under way about each subject: what it is called, and the line if it succeeds.
    under_way: HashMap<Subject, (Line, Option<Line>)>,
    /// The words of the last refusal: a refusal that repeats is one line.
    refused: HashMap<Refused, String>,
}

/// Refusals that are remembered. If there are more, those that repeat are lines again.
const MOST: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Refused {
    Write(Subject),
    Stop(InstanceKey),
}

impl Log {
    /// An action begins.
    pub fn begins(&mut self, action: &Action) {
        if !tracing::enabled!(target: TARGET, Level::INFO) {
            return;
        }
        match action {
            Action::Write(subject, verb) => {
                let line = words::of_verb(subject, verb);
                line.write(Level::DEBUG);
                self.under_way.insert(subject.clone(), (line, facts::of_verb(verb)));
            }
            Action::Runtime(order) => words::of_order(order).write(Level::DEBUG),
            Action::GetLease(key) => {
                tracing::debug!(target: TARGET, namespace = %key.namespace, lease = %key.name, "read a Lease");
            }
            Action::Record(event) => record(event),
        }
    }

    /// Something is about to be applied. `known` finds a Worker as it was before.
    pub fn sees<'a>(&mut self, input: &Input, known: impl FnOnce(&ObjectKey) -> Option<&'a Worker>) {
        match input {
            Input::Settled(subject, settled) => self.settled(subject, settled),
            Input::Runtime(RuntimeFact::Stopped(key, Ok(()))) => {
                self.refused.remove(&Refused::Stop(key.clone()));
            }
            Input::Runtime(RuntimeFact::Stopped(key, Err(error))) => {
                let mut line = Line::new("instance cannot be stopped", &key.namespace);
                (line.worker, line.reason) = (Some(key.worker.clone()), Some(error.to_string()));
                self.refuse(Refused::Stop(key.clone()), &line);
            }
            Input::Worker(Seen::Present(worker)) if worker.is_deleting() => {
                let key = ObjectKey::of(&**worker);
                let was = known(&key).is_some_and(|w| w.uid_str() == worker.uid_str() && !w.is_deleting());
                if was && !self.under_way.contains_key(&Subject::Worker(key)) {
                    facts::deleted_by_another(worker).write(Level::INFO);
                }
            }
            // No deletion was seen before: its finalizer was removed by hand, and the end of its instance was not waited for.
            Input::Worker(Seen::Gone(worker)) => {
                let key = ObjectKey::of(&**worker);
                let was = known(&key);
                if was.is_some_and(|w| w.uid_str() == worker.uid_str() && !w.is_deleting()) {
                    facts::removed_by_another(worker).write(Level::INFO);
                }
                self.forget(Subject::Worker(key));
            }
            // What is gone is refused nothing any more.
            Input::Pool(Seen::Gone(pool)) => self.forget(Subject::Pool(ObjectKey::of(&**pool))),
            Input::Dispatch(Seen::Gone(dispatch)) => self.forget(Subject::Dispatch(ObjectKey::of(&**dispatch))),
            Input::Runtime(RuntimeFact::Observed(_, Observation::Gone(key))) => {
                self.refused.remove(&Refused::Stop(key.clone()));
                self.forget(Subject::Orphan(Box::new(key.clone())));
            }
            _ => {}
        }
    }

    /// What is written, and what was refused.
    pub fn len(&self) -> usize {
        self.under_way.len() + self.refused.len()
    }

    fn settled(&mut self, subject: &Subject, settled: &Settled) {
        let Some((begun, fact)) = self.under_way.remove(subject) else { return };
        match settled {
            Settled::Done(_) => {
                self.refused.remove(&Refused::Write(subject.clone()));
                if let Some(fact) = fact {
                    fact.write(Level::INFO);
                }
            }
            Settled::Refreshed(_) => {
                self.refused.remove(&Refused::Write(subject.clone()));
                Line { reason: Some("the object has changed".to_owned()), ..begun.named("not written") }
                    .write(Level::DEBUG);
            }
            Settled::Refused(why) => {
                let line = Line { reason: Some(format!("{}: {why}", begun.what)), ..begun.named("write refused") };
                self.refuse(Refused::Write(subject.clone()), &line);
            }
            Settled::Failed(_, why) => {
                Line {
                    reason: Some(format!("{}: {why}", begun.what)),
                    ..begun.named("write failed; it is decided anew")
                }
                .write(Level::DEBUG);
            }
        }
    }

    fn forget(&mut self, subject: Subject) {
        self.refused.remove(&Refused::Write(subject));
    }

    fn refuse(&mut self, what: Refused, line: &Line) {
        if self.refused.len() >= MOST {
            self.refused.clear();
        }
        let words = line.reason.clone().unwrap_or_default();
        let before = self.refused.insert(what, words.clone());
        line.write(if before.as_ref() == Some(&words) { Level::DEBUG } else { Level::WARN });
    }
}

/// An Event about a pool is a line too, since Events are gone after an hour. What an Event about a Worker or a Dispatch says,
/// the line about its end says.
fn record(event: &Event) {
    let mut line = Line::new("pool event", &event.key.namespace);
    (line.event, line.reason) = (Some(event.reason), Some(event.text.clone()));
    let name = Some(event.key.name.to_string());
    match event.kind {
        "ContainerPool" => line.pool = name,
        "Worker" => line.worker = name,
        _ => line.dispatch = name,
    }
    let level = match (event.kind, event.reason) {
        ("ContainerPool", EventReason::RequestRefused) => {
            (line.what, line.event) = ("request refused", None);
            Level::INFO
        }
        // Its worker's end has the same words.
        ("ContainerPool", EventReason::StartFailed) => Level::DEBUG,
        ("ContainerPool", _) => Level::INFO,
        _ => Level::DEBUG,
    };
    if level == Level::DEBUG {
        line.what = "record an Event";
    }
    line.write(level);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::{Dispatch, DispatchSpec};

    fn dispatch(name: &str) -> Arc<Dispatch> {
        let mut d = Dispatch::new(name, DispatchSpec::default());
        d.metadata.namespace = Some("ns".to_owned());
        Arc::new(d)
    }

    fn refuse(log: &mut Log, name: &str) {
        let subject = Subject::Dispatch(ObjectKey::new("ns", name));
        log.under_way.insert(subject.clone(), (Line::new("close", "ns"), None));
        log.sees(&Input::Settled(subject, Settled::Refused("no".to_owned())), |_| None);
    }

    /// A supervisor deletes its dispatches, whatever was refused about them.
    #[test]
    fn a_refusal_is_forgotten_with_its_object_and_there_are_only_so_many() {
        let mut log = Log::default();
        refuse(&mut log, "a");
        assert_eq!(log.len(), 1);
        log.sees(&Input::Dispatch(Seen::Gone(dispatch("a"))), |_| None);
        assert_eq!(log.len(), 0);
        for n in 0..MOST + 5 {
            refuse(&mut log, &n.to_string());
        }
        assert_eq!(log.len(), 5);
    }
}
