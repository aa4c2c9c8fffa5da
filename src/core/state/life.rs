//! The life of a worker's instance, as far as this controller has brought it.
//!
//! What runtimes reported of the instance stands in [`super::instances`], and the phase of the Worker in its status. This is
//! the rest: the order under way, how the start goes, and the checks. Each transition is one method.

use std::time::Duration;

/// An order to the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Order {
    Start,
    Stop,
    Check,
    /// To pause the instance, or to let it go on.
    SetPaused,
}

/// How the start of an instance goes.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// Nothing is in its way: it can be ordered, is under way, or succeeded.
    Open,
    /// It did not happen, and is retried after a wait. Why: the runtime's words.
    Postponed(String),
    /// The answer was lost. A check must show whether the instance was made. The error in the place of the answer, until
    /// the instance is seen.
    Unanswered(Option<String>),
    /// It failed, and the Worker is deleted for that. Why, and what it waited for at the time.
    Failed { why: String, waited_for: Option<String> },
}

/// See the module's page.
#[derive(Debug)]
pub(in crate::core) struct Life {
    /// The order under way.
    order: Option<Order>,
    /// The instance was observed since the newest order began.
    observed: bool,
    start: Start,
    /// Monotonic time at which the Worker was first seen in its present phase. While it starts: from which its time counts.
    since: Duration,
    /// The time that its start may take does not run: nothing can be done about the start now.
    stands_still: bool,
    /// Monotonic time of the last check, or of the order to start. `None`: a listing did not show the instance.
    checked: Option<Duration>,
    /// Failed checks in a row.
    missed: u32,
    /// Rare, so it costs little where it is absent.
    pause: Option<Box<Pause>>,
}

/// Whether this controller paused the instance.
#[derive(Debug, Default)]
struct Pause {
    /// An order to pause it began, and none to let it go on has succeeded since.
    ordered: bool,
    /// Monotonic time before which it is not paused again: a person that unpaused it by hand has until then.
    next: Duration,
    /// Monotonic time before which it is not unpaused again.
    next_end: Duration,
    /// How often in a row it could not be unpaused.
    failed_ends: u32,
}

impl Life {
    /// A Worker is seen for the first time.
    pub fn new(now: Duration) -> Self {
        Self {
            order: None,
            observed: false,
            start: Start::Open,
            since: now,
            stands_still: false,
            checked: Some(now),
            missed: 0,
            pause: None,
        }
    }

    /// The Worker began or ceased to be Starting.
    pub fn changed_phase(&mut self, now: Duration) {
        self.since = now;
    }

    /// An order begins.
    pub fn order(&mut self, order: Order, now: Duration) {
        self.order = Some(order);
        self.observed = false;
        if order == Order::Start {
            self.checked = Some(now);
        }
    }

    /// The answer to an order came.
    pub fn answered(&mut self, order: Order) {
        if self.order == Some(order) {
            self.order = None;
        }
    }

    /// The instance was observed.
    pub fn observed(&mut self) {
        self.observed = true;
    }

    /// An observation or an answer shows the instance. `held`: the time that the start may take does not run. Returns true if
    /// the start is no longer postponed.
    pub fn seen(&mut self, held: bool, now: Duration) -> bool {
        if held {
            self.since = now;
        }
        let waited = self.cease_to_wait();
        // The answer to a check that asks whether it was made may be older than this.
        if matches!(self.start, Start::Unanswered(_)) && self.order != Some(Order::Check) {
            self.start = Start::Open;
        }
        waited
    }

    /// The start is no longer postponed. Returns true if it was.
    pub fn cease_to_wait(&mut self) -> bool {
        match &mut self.start {
            Start::Open => false,
            Start::Postponed(_) => {
                self.start = Start::Open;
                true
            }
            Start::Unanswered(why) | Start::Failed { waited_for: why, .. } => why.take().is_some(),
        }
    }

    /// The runtime answered that a start is not possible now. That is no fault of the Worker, so its time begins anew.
    pub fn postponed(&mut self, why: String, now: Duration) {
        self.since = now;
        self.wait_for(Start::Postponed(why.clone()), why);
    }

    /// The answer to a start was lost. Returns false if the instance was observed since the order, and so was made.
    pub fn unanswered(&mut self, why: String) -> bool {
        if !self.observed {
            self.wait_for(Start::Unanswered(Some(why.clone())), why);
        }
        !self.observed
    }

    fn wait_for(&mut self, next: Start, why: String) {
        match &mut self.start {
            Start::Failed { waited_for, .. } => *waited_for = Some(why),
            start => *start = next,
        }
    }

    /// A check showed whether the instance of an unanswered start was made.
    pub fn confirmed(&mut self) {
        if let Start::Unanswered(why) = &mut self.start {
            self.start = why.take().map_or(Start::Open, Start::Postponed);
        }
    }

    /// The start failed.
    pub fn failed(&mut self, why: String) {
        let waited_for = match std::mem::replace(&mut self.start, Start::Open) {
            Start::Open => None,
            Start::Postponed(why) => Some(why),
            Start::Unanswered(why) | Start::Failed { waited_for: why, .. } => why,
        };
        self.start = Start::Failed { why, waited_for };
    }

    /// Whether the start can go on now. Its time begins anew when it can again.
    pub fn set_standing_still(&mut self, stands_still: bool, now: Duration) {
        if std::mem::replace(&mut self.stands_still, stands_still) && !stands_still {
            self.since = now;
        }
    }

    /// A check was answered, or timed out.
    pub fn checked(&mut self, now: Duration) {
        self.checked = Some(now);
    }

    /// A check showed that all is well.
    pub fn passed_check(&mut self) {
        self.missed = 0;
    }

    /// A check failed.
    pub fn missed_check(&mut self) {
        self.missed += 1;
    }

    /// An order to pause the instance begins. The next one is due `interval` later, unless the instance is unpaused.
    pub fn pauses(&mut self, interval: Duration, now: Duration) {
        self.order(Order::SetPaused, now);
        let pause = self.pause.get_or_insert_default();
        (pause.ordered, pause.next, pause.next_end) = (true, now + interval, Duration::ZERO);
    }

    /// An order to let the instance go on begins. The next one is due `wait` later.
    pub fn ends_pause(&mut self, wait: Duration, now: Duration) {
        self.order(Order::SetPaused, now);
        self.pause.get_or_insert_default().next_end = now + wait;
    }

    /// The instance was unpaused, as an order asked.
    pub fn goes_on(&mut self) {
        if let Some(pause) = &mut self.pause {
            // An older observation may still say that it is paused.
            **pause = Pause { next_end: pause.next_end, ..Pause::default() };
        }
    }

    /// The instance could not be unpaused.
    pub fn cannot_go_on(&mut self) {
        self.pause.get_or_insert_default().failed_ends += 1;
    }

    /// True if this controller may have paused the instance, and has not seen it go on since.
    pub fn may_be_paused(&self) -> bool {
        self.pause.as_ref().is_some_and(|pause| pause.ordered)
    }

    /// Monotonic time from which the instance may be paused.
    pub fn next_pause(&self) -> Duration {
        self.pause.as_ref().map(|pause| pause.next).unwrap_or_default()
    }

    /// Monotonic time from which it may be unpaused.
    pub fn next_end_of_pause(&self) -> Duration {
        self.pause.as_ref().map(|pause| pause.next_end).unwrap_or_default()
    }

    /// A listing did not show the instance: a check must.
    pub fn not_listed(&mut self) {
        self.checked = None;
        self.missed = self.missed.max(1);
    }

    /// The order under way.
    pub const fn order_under_way(&self) -> Option<Order> {
        self.order
    }

    /// True if the instance was observed since the newest order began.
    pub const fn was_observed(&self) -> bool {
        self.observed
    }

    /// True if the answer to the start was lost, and no check showed yet whether the instance was made.
    pub const fn is_unanswered(&self) -> bool {
        matches!(self.start, Start::Unanswered(_))
    }

    /// Why the start failed.
    pub fn failure(&self) -> Option<&str> {
        match &self.start {
            Start::Failed { why, .. } => Some(why),
            _ => None,
        }
    }

    /// Why the start is postponed: the runtime's words, or the error in the place of an answer.
    pub fn waits_for(&self) -> Option<&str> {
        match &self.start {
            Start::Open => None,
            Start::Postponed(why) => Some(why),
            Start::Unanswered(why) | Start::Failed { waited_for: why, .. } => why.as_deref(),
        }
    }

    /// Monotonic time at which the Worker was first seen in its present phase. While it starts: from which its time counts.
    pub const fn since(&self) -> Duration {
        self.since
    }

    /// Monotonic time of the last check, or of the order to start. `None`: a listing did not show the instance.
    pub const fn last_check(&self) -> Option<Duration> {
        self.checked
    }

    /// Failed checks in a row, or how often it could not be unpaused.
    pub fn missed(&self) -> u32 {
        self.missed.max(self.pause.as_ref().map_or(0, |pause| pause.failed_ends))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(10);

    fn started() -> Life {
        let mut life = Life::new(Duration::ZERO);
        life.order(Order::Start, Duration::ZERO);
        life
    }

    #[test]
    fn a_lost_answer_is_confirmed_by_a_check() {
        let mut life = started();
        life.answered(Order::Start);
        assert!(life.unanswered("timeout".to_owned()));
        assert_eq!((life.is_unanswered(), life.waits_for()), (true, Some("timeout")));
        life.order(Order::Check, NOW);
        life.answered(Order::Check);
        life.confirmed();
        assert_eq!((life.is_unanswered(), life.waits_for()), (false, Some("timeout")), "it is retried");
    }

    #[test]
    fn an_answer_that_is_lost_after_the_instance_was_observed_is_not_missed() {
        let mut life = started();
        life.observed();
        life.answered(Order::Start);
        assert!(!life.unanswered("timeout".to_owned()));
        assert!(!life.is_unanswered());
    }

    /// The answer to the check may be older than the observation.
    #[test]
    fn an_observation_during_a_check_does_not_confirm_a_start() {
        let mut life = started();
        life.answered(Order::Start);
        life.unanswered("timeout".to_owned());
        life.order(Order::Check, NOW);
        assert!(life.seen(false, NOW), "it no longer waits");
        assert!(life.is_unanswered());
        life.answered(Order::Check);
        life.seen(false, NOW);
        assert!(!life.is_unanswered());
    }

    #[test]
    fn a_postponed_start_has_all_its_time_again() {
        let mut life = started();
        life.answered(Order::Start);
        life.postponed("no room".to_owned(), NOW);
        assert_eq!((life.since(), life.waits_for()), (NOW, Some("no room")));
        life.failed("refused".to_owned());
        assert_eq!((life.failure(), life.waits_for()), (Some("refused"), Some("no room")));
    }
}
