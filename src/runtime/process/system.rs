//! What runtime Process asks of Linux and of no other system. Elsewhere it compiles, and says that it is for Linux.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::OFlags;
use rustix::process::Signal;

/// Fails where runtime Process cannot be.
///
/// # Errors
/// This is no Linux.
pub fn check() -> io::Result<()> {
    if cfg!(target_os = "linux") { Ok(()) } else { Err(unsupported()) }
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "runtime Process is for Linux; use runtime Docker, as with --image")
}

/// How a directory is opened whose entries alone are wanted.
#[cfg(target_os = "linux")]
pub const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
/// How a directory is opened whose entries alone are wanted.
#[cfg(not(target_os = "linux"))]
pub const DIRECTORY: OFlags = OFlags::DIRECTORY;

/// Makes this process the parent of whatever its descendants leave behind.
///
/// # Errors
/// The system does not have it.
#[cfg(target_os = "linux")]
pub fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Makes this process the parent of whatever its descendants leave behind.
///
/// # Errors
/// The system does not have it.
#[cfg(not(target_os = "linux"))]
pub fn adopt_orphans() -> io::Result<()> {
    Err(unsupported())
}

/// Pins the process that has a number now. `poll`: the descriptor is for waiting. None: there is no such process.
#[cfg(target_os = "linux")]
pub fn pin(pid: i32, poll: bool) -> Option<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    pidfd_open(Pid::from_raw(pid)?, if poll { PidfdFlags::NONBLOCK } else { PidfdFlags::empty() }).ok()
}

/// Pins the process that has a number now. `poll`: the descriptor is for waiting. None: there is no such process.
#[cfg(not(target_os = "linux"))]
pub fn pin(_pid: i32, _poll: bool) -> Option<OwnedFd> {
    None
}

/// Sends a signal to a process that is pinned. True: sent.
#[cfg(target_os = "linux")]
pub fn signal(process: OwnedFd, signal: Signal) -> bool {
    rustix::process::pidfd_send_signal(process, signal).is_ok()
}

/// Sends a signal to a process that is pinned. True: sent.
#[cfg(not(target_os = "linux"))]
pub fn signal(_process: OwnedFd, _signal: Signal) -> bool {
    false
}
