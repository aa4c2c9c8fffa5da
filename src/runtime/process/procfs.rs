//! Processes as Linux shows them: their lasting identity, their parents, and signals that cannot hit another process
//! with the same number.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

use super::system;

/// In the environment of a shim and of all that it starts: the Worker's uid. Finds what a killed shim left behind.
pub const MARKER: &str = "POOLKEEPER_WORKER_UID";

/// One process, within one boot. A pid alone may belong to another process later; with the start time it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

impl ProcessId {
    /// This very process.
    pub fn own() -> io::Result<Self> {
        let pid = rustix::process::getpid().as_raw_pid();
        Self::of(pid)
            .ok_or_else(|| io::Error::other("/proc/PID/stat of this process cannot be read; is /proc mounted?"))
    }

    /// The process that has this number now. None: there is none, or it has ended.
    pub fn of(pid: i32) -> Option<Self> {
        Stat::read(pid).filter(|stat| !stat.ended).map(|stat| stat.id)
    }

    /// True while it runs. A zombie has ended.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal to this process and no other. True: sent. False: it has ended, or is not ours to signal.
    pub fn signal(self, signal: Signal) -> bool {
        // The descriptor pins the process that has the number now; only then is its identity worth reading.
        let Some(process) = system::pin(self.pid, false) else { return false };
        self.is_alive() && system::signal(process, signal)
    }

    /// Sees it end. None: it has ended. To be called within an async runtime.
    pub fn ending(self) -> Option<Ending> {
        let fd = system::pin(self.pid, true)?;
        #[allow(deprecated, reason = "what replaces it is unsafe for want of a bound that an OwnedFd meets")]
        let ending = Ending(AsyncFd::new(fd).ok()?);
        self.is_alive().then_some(ending)
    }
}

/// The end of a process, not necessarily a child.
#[derive(Debug)]
pub struct Ending(AsyncFd<OwnedFd>);

impl Ending {
    /// Returns when it has ended.
    pub async fn seen(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }
}

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Which process.
    pub id: ProcessId,
    /// Its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// True for a zombie.
    pub ended: bool,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name of the program stands in parentheses and may itself contain some: what counts is after the last.
    fn parse(pid: i32, line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.get(line.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
        let number = |i: usize| fields.get(i)?.parse::<i32>().ok();
        Some(Self {
            id: ProcessId { pid, start: fields.get(19)?.parse().ok()? },
            parent: number(1)?,
            group: number(2)?,
            session: number(3)?,
            ended: matches!(*fields.first()?, "Z" | "X" | "x"),
        })
    }
}

/// All processes that run now.
pub fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(Stat::read).filter(|stat| !stat.ended).collect()
}

/// Of `all`, the processes below `root`, at any depth.
pub fn below(all: &[Stat], root: i32) -> Vec<Stat> {
    let mut children: BTreeMap<i32, Vec<Stat>> = BTreeMap::new();
    for stat in all {
        children.entry(stat.parent).or_default().push(*stat);
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        for stat in children.remove(&parent).unwrap_or_default() {
            next.push(stat.id.pid);
            found.push(stat);
        }
    }
    found
}

/// What is left of the worker with this uid: the processes that carry its mark, those in a session with one of
/// them, and all below these. `shim`: its session counts even if no process in it carries the mark; give it only
/// if the shim was just seen to end, for later the number may be another's.
pub fn left_of(uid: &str, shim: Option<ProcessId>) -> Vec<ProcessId> {
    let own = rustix::process::getpid().as_raw_pid();
    let all = all();
    // 0 where the leader is outside of this PID namespace, as under `docker exec`; getsid() of rustix panics there.
    let own_session = all.iter().find(|stat| stat.id.pid == own).map_or(0, |stat| stat.session);
    let marked: Vec<&Stat> = all.iter().filter(|stat| carries(stat.id.pid, uid)).collect();
    let mut sessions: BTreeSet<i32> = marked.iter().map(|stat| stat.session).collect();
    sessions.extend(shim.map(|shim| shim.pid));
    sessions.remove(&own_session);
    sessions.remove(&0);
    let roots = marked.into_iter().chain(all.iter().filter(|stat| sessions.contains(&stat.session)));
    let mut left = BTreeSet::new();
    for root in roots {
        left.insert(root.id);
        left.extend(below(&all, root.id.pid).iter().map(|stat| stat.id));
    }
    left.retain(|id| id.pid != own);
    left.into_iter().collect()
}

fn carries(pid: i32, uid: &str) -> bool {
    has(pid, &format!("{MARKER}={uid}"))
}

/// True if a process was started with this variable: NAME=VALUE.
pub fn has(pid: i32, variable: &str) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
}

/// Names this boot of the machine: a record from another one speaks of processes that cannot exist any more.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_cannot_shift_the_fields() {
        let line = "7 (a) R 1 2 (b) c) S 3 4 5 0 -1 1 2 3 4 5 6 7 8 9 20 0 1 0 4242 1 1";
        let stat = Stat::parse(7, line).unwrap();
        assert_eq!((stat.parent, stat.group, stat.session, stat.id.start), (3, 4, 5, 4242));
    }

    #[test]
    fn a_namesake_is_neither_alive_nor_signalled() {
        let own = ProcessId::own().unwrap();
        assert!(own.is_alive());
        let namesake = ProcessId { start: own.start + 1, ..own };
        assert!(!namesake.is_alive());
        assert!(!namesake.signal(Signal::KILL));
    }
}
