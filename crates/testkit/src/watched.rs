//! A value that many tasks wait for.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

/// A value that many tasks wait for. Clones share it.
///
/// A change wakes the tasks in the order in which they began to wait. That is what makes one seed give one run:
/// `tokio::sync::watch` puts each task on one of eight lists by chance, and wakes one list after the other.
#[derive(Default)]
pub struct Watched<T>(Arc<Inner<T>>);

#[derive(Default)]
struct Inner<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Watched<T> {
    /// Begins with `value`.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Inner { value: Mutex::new(value), changed: Notify::new() }))
    }

    /// Reads the value.
    pub fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.0.value.lock().unwrap())
    }

    /// Changes the value, and wakes all that wait.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let answer = change(&mut self.0.value.lock().unwrap());
        self.0.changed.notify_waiters();
        answer
    }

    /// Returns once `condition` holds, at once if it does. The value may have changed again by then.
    pub async fn wait_for(&self, condition: impl Fn(&T) -> bool) {
        loop {
            // It must listen before it looks: a change in between would be missed.
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            if self.read(&condition) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With eight lists and chance, 16 tasks are woken in order once in many runs.
    #[tokio::test]
    async fn those_that_wait_are_woken_in_the_order_in_which_they_began_to() {
        let (value, woken) = (Watched::new(false), Arc::new(Mutex::new(Vec::new())));
        let tasks = (0..16).map(|i| {
            let (value, woken) = (value.clone(), Arc::clone(&woken));
            tokio::spawn(async move {
                value.wait_for(|v| *v).await;
                woken.lock().unwrap().push(i);
            })
        });
        let tasks: Vec<_> = tasks.collect();
        tokio::task::yield_now().await;
        value.change(|v| *v = true);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*woken.lock().unwrap(), (0..16).collect::<Vec<_>>());
    }
}
