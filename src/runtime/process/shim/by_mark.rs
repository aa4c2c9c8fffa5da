//! Ends the processes of a task in a container, found by a mark: a variable in their environment that no other task has.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::runtime::process::procfs;

/// Looks for processes: the first ones ask them to end, the others kill them.
const ASKED: u32 = 5;
const LOOKS: u32 = 10;
/// The time between two of them.
const PAUSE: Duration = Duration::from_secs(1);

/// Exit code if a process with the mark is still there.
const LEFT: u8 = 1;
/// Exit code if there was none from the start.
pub const NOT_FOUND: u8 = 3;

/// Ends them, and returns once there is none. `mark`: NAME=VALUE.
pub fn main(mark: &str) -> ExitCode {
    for look in 0..LOOKS {
        let found: Vec<_> = procfs::all().into_iter().filter(|stat| procfs::has(stat.id.pid, mark)).collect();
        if found.is_empty() {
            return if look == 0 { NOT_FOUND.into() } else { ExitCode::SUCCESS };
        }
        super::reaper::send(&found, if look < ASKED { Signal::TERM } else { Signal::KILL });
        thread::sleep(PAUSE);
    }
    LEFT.into()
}
