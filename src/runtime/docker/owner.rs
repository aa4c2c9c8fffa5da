//! The process that owns containers of a local run, as a label names it, and whether it still lives.

use std::fmt;
use std::fs;
use std::str::FromStr;

/// A process, named so that no other ever has the same name: `<boot id>/<pid>/<start time>/<pid namespace>`.
///
/// The namespace tells a process in another container, whose pid means nothing here. It may be missing in a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerProcess {
    boot: String,
    pid: u32,
    /// In clock ticks since the boot.
    start: u64,
    namespace: Option<String>,
}

/// Whether a process lives, as far as can be known from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It lives, or it cannot be known.
    MayLive,
    /// It was a process of this boot, and is gone.
    Gone,
    /// It was a process of another boot, of this machine or of another machine.
    OtherBoot,
}

impl OwnerProcess {
    /// This process. None: /proc cannot be read.
    pub fn current() -> Option<Self> {
        let pid = std::process::id();
        Some(Self { boot: boot_id()?, pid, start: start_of(pid)?, namespace: namespace() })
    }

    pub(super) fn life(&self) -> Life {
        let Some(boot) = boot_id() else { return Life::MayLive };
        if self.boot != boot {
            return Life::OtherBoot;
        }
        if self.namespace.is_some() && self.namespace != namespace() {
            return Life::MayLive;
        }
        if start_of(self.pid) == Some(self.start) { Life::MayLive } else { Life::Gone }
    }
}

impl fmt::Display for OwnerProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.boot, self.pid, self.start)?;
        self.namespace.iter().try_for_each(|namespace| write!(f, "/{namespace}"))
    }
}

/// A label that names no process.
#[derive(thiserror::Error, Debug, Clone, Copy, PartialEq, Eq)]
#[error("not of the form <boot id>/<pid>/<start time>[/<pid namespace>]")]
pub struct NoProcess;

impl FromStr for OwnerProcess {
    type Err = NoProcess;

    fn from_str(label: &str) -> Result<Self, NoProcess> {
        let parts: Vec<&str> = label.split('/').collect();
        let (boot, pid, start, namespace) = match parts[..] {
            [boot, pid, start] => (boot, pid, start, None),
            [boot, pid, start, namespace] => (boot, pid, start, Some(namespace.to_owned())),
            _ => return Err(NoProcess),
        };
        if boot.is_empty() {
            return Err(NoProcess);
        }
        let (pid, start) = (pid.parse().map_err(|_| NoProcess)?, start.parse().map_err(|_| NoProcess)?);
        Ok(Self { boot: boot.to_owned(), pid, start, namespace })
    }
}

fn boot_id() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

/// The inode of this process's pid namespace: `pid:[4026531836]` → `4026531836`.
fn namespace() -> Option<String> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.to_owned())
}

/// When the process started. None: there is none, or it is a zombie.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything; what follows it is fields 3 (state), 4, … 22 (start time).
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_is_read_back() {
        let me = OwnerProcess::current().unwrap();
        assert_eq!(me.to_string().parse(), Ok(me.clone()));
        assert_eq!(me.life(), Life::MayLive);
    }

    #[test]
    fn another_start_time_is_another_process_and_another_boot_another_boot() {
        let me = OwnerProcess::current().unwrap();
        assert_eq!(OwnerProcess { start: me.start + 1, ..me.clone() }.life(), Life::Gone);
        let elsewhere = OwnerProcess { start: me.start + 1, namespace: Some("1".into()), ..me.clone() };
        assert_eq!(elsewhere.life(), Life::MayLive);
        assert_eq!(OwnerProcess { boot: "other".into(), ..me }.life(), Life::OtherBoot);
    }

    #[test]
    fn a_dead_child_is_gone_before_and_after_it_is_reaped() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let mut it = OwnerProcess::current().unwrap();
        (it.pid, it.start) = (child.id(), start_of(child.id()).unwrap());
        assert_eq!(it.life(), Life::MayLive);
        child.kill().unwrap();
        while it.life() != Life::Gone {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(it.life(), Life::Gone);
    }

    #[test]
    fn other_labels_name_no_process() {
        for label in ["", "a/b", "a/1/x", "/1/2", "a/1/2/3/4", "a/-1/2"] {
            assert_eq!(label.parse::<OwnerProcess>(), Err(NoProcess), "{label}");
        }
        assert!("b/1/2".parse::<OwnerProcess>().is_ok());
    }
}
