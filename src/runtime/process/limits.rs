//! How many files this process may have open. A controller needs some for each worker; what runs in the workers is left
//! the limit that it would have had, for there are programs that a high one makes slow or breaks (`select`).

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit before it was raised.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Takes as many as this process may have.
///
/// # Errors
/// The system refuses.
pub fn raise_open_files() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit at all, so there is nothing to raise.
    let Some(before) = current.filter(|_| current != maximum) else { return Ok(()) };
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let _ = BEFORE.set(before);
    Ok(())
}

/// How many files this process may have open. None: there is no limit.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The limit that this process came with. None: it still has that.
pub(super) fn open_files_before() -> Option<u64> {
    BEFORE.get().copied()
}

/// Makes it that again, for this process and what it starts.
pub(super) fn lower_open_files(limit: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..getrlimit(Resource::Nofile) })?)
}
