//! Collects every child that ends, own or adopted, and makes sure that all of them do.
//!
//! As a subreaper the shim is the parent of whatever its tasks leave behind. No other code in this process may wait
//! for a child: each would take exit codes away from the other.

use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions, WaitStatus};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::runtime::process::procfs::{self, Stat};

/// Between two looks for processes that were made while the others were being killed.
const KILL_AGAIN: Duration = Duration::from_millis(50);

/// Waits for children.
#[derive(Clone)]
pub struct Reaper(Arc<Inner>);

struct Inner {
    waiting: Mutex<BTreeMap<i32, oneshot::Sender<i32>>>,
    /// Counts the children collected; with whether there were none left.
    collected: watch::Sender<(u64, bool)>,
}

impl Reaper {
    /// Starts to collect.
    pub fn start() -> io::Result<Self> {
        let mut ended = signal(SignalKind::child())?;
        let (collected, _) = watch::channel((0, true));
        let reaper = Self(Arc::new(Inner { waiting: Mutex::default(), collected }));
        let collector = reaper.clone();
        tokio::spawn(async move {
            while ended.recv().await.is_some() {
                collector.collect();
            }
        });
        Ok(reaper)
    }

    /// Starts a child. The receiver gets its exit code, 128 + signal number if a signal ended it.
    pub fn spawn(&self, command: &mut Command) -> io::Result<(Child, oneshot::Receiver<i32>)> {
        // The lock keeps the child from being collected before it is known.
        let mut waiting = self.waiting();
        let child = command.spawn()?;
        let (sender, exit) = oneshot::channel();
        if let Ok(pid) = i32::try_from(child.id()) {
            waiting.insert(pid, sender);
        }
        Ok((child, exit))
    }

    /// Returns when `over`, looked at now and after every child that ends, is true. False: it was not within `limit`.
    pub async fn wait_until(&self, limit: Duration, over: impl Fn() -> bool) -> bool {
        let mut collected = self.0.collected.subscribe();
        let wait = async { while !over() && collected.changed().await.is_ok() {} };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    /// Ends everything below this process: SIGTERM, and after `grace` SIGKILL until nothing is left.
    pub async fn end_all(&self, grace: Duration) {
        let own = rustix::process::getpid().as_raw_pid();
        let send = |signal| send(&procfs::below(&procfs::all(), own), signal);
        let childless = || {
            self.collect();
            self.0.collected.borrow().1
        };
        send(Signal::TERM);
        if self.wait_until(grace, childless).await {
            return;
        }
        loop {
            send(Signal::KILL);
            if self.wait_until(KILL_AGAIN, childless).await {
                return;
            }
        }
    }

    fn collect(&self) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    if let Some(waiting) = self.waiting().remove(&pid.as_raw_pid()) {
                        let _ = waiting.send(code(status));
                    }
                    self.0.collected.send_modify(|(count, none)| (*count, *none) = (*count + 1, false));
                }
                Ok(None) => return self.childless(false),
                Err(Errno::INTR) => {}
                Err(_) => return self.childless(true),
            }
        }
    }

    fn childless(&self, now: bool) {
        self.0.collected.send_if_modified(|(_, none)| std::mem::replace(none, now) != now);
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<i32, oneshot::Sender<i32>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a signal to each of them.
pub fn send(to: &[Stat], signal: Signal) {
    for stat in to {
        stat.id.signal(signal);
    }
}

fn code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| Some(128 + status.terminating_signal()?)).unwrap_or(-1)
}
