//! A queue of requests: a limited number run at a time, and urgent ones start first.

use std::collections::VecDeque;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use crate::core::Input;

/// A request, which ends with an input for the loop or with nothing.
pub(super) type Work = BoxFuture<'static, Option<Input>>;

/// Futures of which a limited number run. The others wait: urgent ones first, otherwise in order.
pub(super) struct WorkQueue {
    limit: usize,
    running: FuturesUnordered<Work>,
    urgent: VecDeque<Work>,
    waiting: VecDeque<Work>,
}

impl WorkQueue {
    /// `limit`: how many run at a time.
    pub fn new(limit: usize) -> Self {
        Self { limit, running: FuturesUnordered::new(), urgent: VecDeque::new(), waiting: VecDeque::new() }
    }

    /// Adds work, which starts when it is its turn.
    pub fn push(&mut self, work: Work) {
        self.waiting.push_back(work);
        self.fill();
    }

    /// Adds work that starts before all that is not urgent. The caller makes sure that the rest does not wait for ever.
    pub fn push_urgent(&mut self, work: Work) {
        self.urgent.push_back(work);
        self.fill();
    }

    fn fill(&mut self) {
        while self.running.len() < self.limit {
            let Some(work) = self.urgent.pop_front().or_else(|| self.waiting.pop_front()) else { return };
            self.running.push(work);
        }
    }

    /// Waits until one of them has ended, and returns its input. Never returns if none runs.
    pub async fn next(&mut self) -> Option<Input> {
        match self.running.next().await {
            Some(input) => {
                self.fill();
                input
            }
            None => futures::future::pending().await,
        }
    }

    /// The numbers of those that run and of those that wait.
    pub fn len(&self) -> (usize, usize) {
        (self.running.len(), self.urgent.len() + self.waiting.len())
    }

    /// Waits until all that run have ended. Those that wait do not start.
    pub async fn finish(mut self) {
        while self.running.next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Work that sends its name when it starts, and ends when it receives a message.
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
        let mut queue = WorkQueue::new(1);
        let mut ends = Vec::new();
        for (name, urgent) in [("first", false), ("a", false), ("b", false), ("u", true), ("v", true)] {
            let (work, end) = work(name, &begun);
            if urgent {
                queue.push_urgent(work);
            } else {
                queue.push(work);
            }
            ends.push((name, end));
        }
        assert_eq!(queue.len(), (1, 4));
        let mut order = Vec::new();
        for _ in 0..5 {
            assert!(queue.next().now_or_never().is_none(), "it runs");
            let name = names.try_recv().unwrap();
            assert!(names.try_recv().is_err(), "one at a time");
            let at = ends.iter().position(|(n, _)| *n == name).unwrap();
            ends.swap_remove(at).1.send(()).unwrap();
            queue.next().await;
            order.push(name);
        }
        assert_eq!(order, ["first", "u", "v", "a", "b"]);
    }
}
