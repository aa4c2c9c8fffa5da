//! Everything that a command prints. Nothing else in the library writes to standard output or standard error, except the
//! two small programs inside it (`shim` and `exec`): `clippy.toml` forbids it.
//!
//! Standard output is for data, standard error for messages. A message is written with one write, so lines of several
//! processes do not run into each other.

#![allow(clippy::disallowed_methods)] // This is the one place that may.

use std::io::{self, IsTerminal, Write};

/// Prints a message of `poolkeeper`.
pub fn say(text: &str) {
    line(&format!("poolkeeper: {text}"));
}

/// Prints one line, or several that belong together, on standard error. A closed standard error is no reason to stop
/// working.
pub fn line(text: &str) {
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Prints data on standard output.
///
/// # Errors
/// Standard output is closed.
pub fn data(data: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(data)?;
    out.flush()
}

/// Copies all that `from` holds to standard output.
///
/// # Errors
/// Standard output is closed, or `from` cannot be read.
pub fn copy_to_stdout(from: &mut impl io::Read) -> io::Result<()> {
    let mut out = io::stdout().lock();
    io::copy(from, &mut out)?;
    out.flush()
}

/// Copies all that `from` holds to standard error. A closed standard error is not an error.
pub fn copy_to_stderr(from: &mut impl io::Read) {
    let _ = io::copy(from, &mut io::stderr().lock());
}

/// True if standard output is a terminal.
pub fn is_stdout_a_terminal() -> bool {
    io::stdout().is_terminal()
}

/// True if standard error is a terminal.
pub fn is_stderr_a_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Standard error, for the log.
pub fn stderr() -> io::Stderr {
    io::stderr()
}

/// Standard output and standard error, for output that is passed on as it arrives.
pub fn live() -> (tokio::io::Stdout, tokio::io::Stderr) {
    (tokio::io::stdout(), tokio::io::stderr())
}
