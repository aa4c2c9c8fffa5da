//! Starts whose answer is lost: whether an instance was made has to be asked.

use poolkeeper::api::worker::WorkerStatus;
use poolkeeper::core::Object;
use poolkeeper::runtime::{RuntimeError, StartError};

use super::*;

/// A worker whose starts are not answered, while time passes.
struct Unanswered {
    core: Core,
    obj: Arc<Worker>,
    at: Now,
    message: Option<String>,
    warned: Option<String>,
    /// Reasons of the pool's Warnings, and the words.
    pool_warned: Vec<(&'static str, String)>,
}

impl Unanswered {
    fn new() -> Self {
        let (core, obj) = starting();
        Self { core, obj, at: now(), message: None, warned: None, pool_warned: Vec::new() }
    }

    fn tell(&mut self, fact: RuntimeFact) {
        self.core.apply(Input::Runtime(fact), self.at);
    }

    fn lost(&mut self, words: &str) {
        let lost = StartError::Unknown(words.to_owned());
        self.tell(RuntimeFact::Started(instance(0, InstanceState::Starting).key, Err(lost)));
    }

    fn pass(&mut self, time: Duration) {
        self.at = Now::new(self.at.wall + time, self.at.mono + time);
    }

    /// Its next version.
    fn change(&mut self, change: impl FnOnce(&mut Worker)) -> Arc<Worker> {
        let next = Arc::make_mut(&mut self.obj);
        next.metadata.resource_version = Some((next.version() + 1).to_string());
        change(next);
        self.obj.clone()
    }

    /// What was asked to be written of it is.
    fn written(&mut self, status: WorkerStatus) {
        let next = self.change(|w| w.status = Some(status));
        let done = Settled::Done(Some(Fetched::Worker(Some(next))));
        self.core.apply(Input::Settled(Subject::Worker(ObjectKey::new("ns", "p-0")), done), self.at);
    }

    /// What is decided about it next, and the time until then. Writes of its message are done at once.
    fn next(&mut self) -> (Action, Duration) {
        let began = self.at.mono;
        for _ in 0..100 {
            let decided = self.core.decide(self.at);
            if decided.is_empty() {
                self.pass(self.core.next_wake().1.unwrap().saturating_sub(self.at.mono));
            }
            for action in decided {
                match action {
                    Action::Record(note) if note.kind == "Worker" => self.warned = Some(note.text),
                    Action::Record(note) => self.pool_warned.push((note.reason.as_str(), note.text)),
                    Action::Write(_, Verb::WorkerStatus(_, status)) if status.phase == WorkerPhase::Starting => {
                        self.message = status.message.clone();
                        self.written(*status);
                    }
                    Action::Runtime(_) | Action::Write(Subject::Worker(_), _) => {
                        return (action, self.at.mono.saturating_sub(began));
                    }
                    _ => {}
                }
            }
        }
        panic!("nothing is decided any more");
    }

    /// A start is not answered, and a check finds that it made nothing. The pause before the check.
    fn again(&mut self, words: &str) -> Duration {
        self.lost(words);
        let (check, pause) = self.next();
        assert!(matches!(check, Action::Runtime(RuntimeOrder::Check(..))), "{check:?}");
        assert_eq!((self.message.as_deref(), self.warned.as_deref()), (Some(words), Some(words)));
        self.tell(RuntimeFact::Checked(instance(0, InstanceState::Starting).key, Ok(None)));
        let (start, _) = self.next();
        assert!(matches!(start, Action::Runtime(RuntimeOrder::Start(..))), "{start:?}");
        pause
    }
}

/// The words may be others each time, and so be written each time.
#[test]
fn a_start_without_an_answer_is_told_and_made_again_after_ever_longer_pauses() {
    let mut worker = Unanswered::new();
    let pauses: Vec<u128> = (0..10).map(|n| worker.again(&format!("webhook: try {n}")).as_millis()).collect();
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000]);

    worker.lost("webhook is down");
    worker.pass(Duration::from_secs(300));
    let end = worker.core.decide(worker.at);
    let told = "not ready after 5m (spec.health.startTimeout): webhook is down";
    assert!(end.iter().any(|a| matches!(a, Action::Record(note) if note.text.ends_with(told))), "{end:?}");
}

#[test]
fn a_pool_is_told_once_that_starts_fail() {
    let mut worker = Unanswered::new();
    for _ in 0..5 {
        worker.again("webhook is down");
    }
    assert_eq!(worker.pool_warned, [("StartFailed", "webhook is down".to_owned())]);
}

#[test]
fn what_a_start_without_an_answer_made_is_not_waited_for() {
    let running = || instance(0, InstanceState::Running);
    for fact in [
        RuntimeFact::Observed(host(), Observation::Changed(running())),
        RuntimeFact::Checked(running().key, Ok(Some(running()))),
        RuntimeFact::Started(running().key, Ok(running())),
    ] {
        let mut worker = Unanswered::new();
        for _ in 0..5 {
            worker.again("webhook is down");
        }
        if !matches!(fact, RuntimeFact::Started(..)) {
            worker.lost("webhook is down");
        }
        if matches!(fact, RuntimeFact::Checked(..)) {
            worker.next();
        }
        worker.tell(fact);
        for expected in [0, 100, 200] {
            let (ready, pause) = worker.next();
            let is_ready =
                matches!(&ready, Action::Write(_, Verb::WorkerStatus(_, s)) if s.phase == WorkerPhase::Ready);
            assert!(is_ready, "{ready:?}");
            assert_eq!(pause.as_millis(), expected);
            let failed = Settled::Failed(None, "no answer".into());
            worker.core.apply(Input::Settled(Subject::Worker(ObjectKey::new("ns", "p-0")), failed), worker.at);
        }
    }
}

#[test]
fn what_was_observed_meanwhile_needs_no_answer() {
    let mut worker = Unanswered::new();
    worker.tell(RuntimeFact::Observed(host(), Observation::Changed(instance(0, InstanceState::Running))));
    worker.lost("webhook is down");
    let (ready, pause) = worker.next();
    let is_ready = matches!(&ready, Action::Write(_, Verb::WorkerStatus(_, s)) if s.phase == WorkerPhase::Ready);
    assert!(is_ready && pause == Duration::ZERO, "{ready:?} after {pause:?}");
}

#[test]
fn a_worker_whose_start_has_no_answer_is_let_go_at_once() {
    let mut worker = Unanswered::new();
    for _ in 0..5 {
        worker.again("webhook is down");
    }
    worker.lost("webhook is down");
    let at = serde_json::from_value(json!(NOW)).unwrap();
    let deleted = worker.change(|w| w.metadata.deletion_timestamp = Some(at));
    worker.core.apply(Input::Worker(Seen::Present(deleted)), worker.at);
    let (stop, pause) = worker.next();
    assert!(matches!(stop, Action::Runtime(RuntimeOrder::Stop(..))), "{stop:?}");
    assert_eq!(pause, Duration::ZERO);
}

#[test]
fn who_came_without_an_answer_fails_checks_like_any_other() {
    for asked_when_it_came in [false, true] {
        let mut worker = Unanswered::new();
        let running = instance(0, InstanceState::Running);
        let failed = |why: &str| RuntimeFact::Checked(running.key.clone(), Err(RuntimeError::Refused(why.to_owned())));
        worker.lost("webhook is down");
        if asked_when_it_came {
            worker.next();
        }
        worker.tell(RuntimeFact::Observed(host(), Observation::Changed(running.clone())));
        if asked_when_it_came {
            worker.tell(failed("no answer"));
        }
        let (Action::Write(_, Verb::WorkerStatus(_, ready)), _) = worker.next() else { panic!("it is not ready") };
        worker.written(*ready);
        worker.next();
        worker.tell(failed("its container exited, others of its Pod run on"));
        let (then, _) = worker.next();
        let Action::Write(_, Verb::WorkerStatus(_, status)) = &then else { panic!("{then:?}") };
        assert!(status.conditions.iter().any(|c| c.type_ == "Healthy" && c.status == "False"), "{status:?}");
    }
}

/// The request took effect after the check had looked.
#[test]
fn a_check_that_found_nothing_does_not_take_back_what_was_observed_since() {
    let mut worker = Unanswered::new();
    worker.lost("no answer");
    worker.next();
    worker.tell(RuntimeFact::Observed(host(), Observation::Changed(instance(0, InstanceState::Running))));
    worker.tell(RuntimeFact::Checked(instance(0, InstanceState::Running).key, Ok(None)));
    let (ready, _) = worker.next();
    let is_ready = matches!(&ready, Action::Write(_, Verb::WorkerStatus(_, s)) if s.phase == WorkerPhase::Ready);
    assert!(is_ready, "{ready:?}");
}
