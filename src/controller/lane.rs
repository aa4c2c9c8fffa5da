//! Requests under way: a bounded number, the urgent ones first, and few others beside them.

use std::collections::VecDeque;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use crate::core::Event;

/// What a request comes to: an event for the loop, or nothing.
pub(super) type Work = BoxFuture<'static, Option<Event>>;

/// Futures of which a bounded number run; the others wait, each kind in order.
pub(super) struct Lane {
    limit: usize,
    beside_urgent: usize,
    urgent: Queue,
    other: Queue,
}

/// Work of one kind.
#[derive(Default)]
struct Queue {
    running: FuturesUnordered<Work>,
    waiting: VecDeque<Work>,
}

impl Queue {
    fn begin(&mut self) -> bool {
        self.waiting.pop_front().map(|work| self.running.push(work)).is_some()
    }
}

impl Lane {
    /// `limit`: how many run at a time. `beside_urgent`: how many that are not urgent begin while one that is urgent runs.
    pub fn new(limit: usize, beside_urgent: usize) -> Self {
        Self { limit, beside_urgent, urgent: Queue::default(), other: Queue::default() }
    }

    /// Begins it when it is its turn.
    pub fn push(&mut self, work: Work) {
        self.other.waiting.push_back(work);
        self.fill();
    }

    /// Begins it before all that only wait. Whoever pushes sees to it that these do not wait for ever.
    pub fn push_urgent(&mut self, work: Work) {
        self.urgent.waiting.push_back(work);
        self.fill();
    }

    fn fill(&mut self) {
        while self.running() < self.limit && self.urgent.begin() {}
        let most = if self.urgent.running.is_empty() { self.limit } else { self.beside_urgent };
        while self.running() < self.limit && self.other.running.len() < most && self.other.begin() {}
    }

    fn running(&self) -> usize {
        self.urgent.running.len() + self.other.running.len()
    }

    /// The end of one of them; never, if there is none.
    pub async fn next(&mut self) -> Option<Event> {
        let ended = tokio::select! {
            biased;
            Some(event) = self.urgent.running.next() => event,
            Some(event) = self.other.running.next() => event,
            else => futures::future::pending().await,
        };
        self.fill();
        ended
    }

    /// How many run, and how many wait.
    pub fn len(&self) -> (usize, usize) {
        (self.running(), self.urgent.waiting.len() + self.other.waiting.len())
    }

    /// Waits until all that run have ended. What waits is not begun.
    pub async fn finish(self) {
        let ended = |running: FuturesUnordered<Work>| running.for_each(|_| futures::future::ready(()));
        futures::join!(ended(self.urgent.running), ended(self.other.running));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Work that tells its name when it begins, and ends when it is told to.
    fn work(name: &'static str, begun: &mpsc::UnboundedSender<&'static str>) -> (Work, oneshot::Sender<()>) {
        let (end, ended) = oneshot::channel();
        let begun = begun.clone();
        let work = async move {
            begun.send(name).unwrap();
            ended.await.unwrap();
            None
        };
        (work.boxed(), end)
    }

    #[tokio::test]
    async fn the_urgent_go_first_and_the_others_in_order() {
        let (begun, mut names) = mpsc::unbounded_channel();
        let mut lane = Lane::new(1, 1);
        let mut ends = Vec::new();
        for (name, urgent) in [("first", false), ("a", false), ("b", false), ("u", true), ("v", true)] {
            let (work, end) = work(name, &begun);
            if urgent {
                lane.push_urgent(work);
            } else {
                lane.push(work);
            }
            ends.push((name, end));
        }
        assert_eq!(lane.len(), (1, 4));
        let mut order = Vec::new();
        for _ in 0..5 {
            assert!(lane.next().now_or_never().is_none(), "it runs");
            let name = names.try_recv().unwrap();
            assert!(names.try_recv().is_err(), "one at a time");
            let at = ends.iter().position(|(n, _)| *n == name).unwrap();
            ends.swap_remove(at).1.send(()).unwrap();
            lane.next().await;
            order.push(name);
        }
        assert_eq!(order, ["first", "u", "v", "a", "b"]);
    }

    #[tokio::test]
    async fn few_others_begin_beside_an_urgent_one_and_all_may_when_there_is_none() {
        let (begun, _names) = mpsc::unbounded_channel();
        let mut lane = Lane::new(4, 1);
        let push = |lane: &mut Lane, urgent: bool| {
            let (work, end) = work("", &begun);
            if urgent {
                lane.push_urgent(work);
            } else {
                lane.push(work);
            }
            end
        };
        let urgent = push(&mut lane, true);
        let others: Vec<_> = (0..6).map(|_| push(&mut lane, false)).collect();
        assert_eq!(lane.len(), (2, 5), "one beside it");
        assert!(lane.next().now_or_never().is_none());
        urgent.send(()).unwrap();
        lane.next().await;
        assert_eq!(lane.len(), (4, 2), "as many as may");
        assert!(lane.next().now_or_never().is_none());
        // Those that run are not taken back.
        let _urgent = push(&mut lane, true);
        assert_eq!(lane.len(), (4, 3));
        for end in others {
            let _ = end.send(());
        }
        lane.next().await;
        assert_eq!(lane.len(), (4, 2), "the urgent one took the place");
    }
}
