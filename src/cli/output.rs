//! Everything that a command prints. Nothing else in the library writes to standard output or standard error, except the
//! two small programs inside it (`shim` and `exec`): `clippy.toml` forbids it.
//!
//! Standard output is for data, standard error for messages. A message is written with one write, so lines of several
//! processes do not run into each other.

//! Text from outside, such as a task's id or the words of a runtime, is shown without control characters: it can neither
//! look like a line of `poolkeeper` nor reach the terminal as a command.

#![allow(clippy::disallowed_methods)] // This is the one place that may.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use tokio::io::Interest;
use tokio::net::unix::pipe;

/// Prints a message of `poolkeeper`.
pub fn say(text: &str) {
    line(&message(text));
}

/// A message of `poolkeeper` as it is printed. Its first line alone begins with the name.
pub fn message(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(escape).collect();
    format!("poolkeeper: {}", lines.join("\n  "))
}

/// Text from outside on one line, without characters that a terminal acts on.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(acts_on_a_terminal) {
        return Cow::Borrowed(text);
    }
    let one = |c: char| if acts_on_a_terminal(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(one).collect())
}

/// JSON on one line, without characters that a terminal acts on: serde_json leaves some of them as they are.
pub fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if acts_on_a_terminal(c) {
            // They are in strings only, and in the first plane. Writing to a String cannot fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Control characters, ends of lines, and what changes the direction of text.
fn acts_on_a_terminal(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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

/// Resolves when nothing reads standard output any more. Of a file that is never the case.
pub async fn stdout_closed() {
    let never = std::future::pending::<()>;
    let Ok(out) = io::stdout().as_fd().try_clone_to_owned() else { return never().await };
    // A file cannot be watched. The mode of the descriptor, which other processes share, is not changed.
    let Ok(out) = pipe::Sender::from_file_unchecked(File::from(out)) else { return never().await };
    if out.ready(Interest::ERROR).await.is_err() {
        never().await;
    }
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

/// Standard output, for a screen that is drawn.
pub fn terminal() -> io::Stdout {
    io::stdout()
}

/// Standard output and standard error, for output that is passed on as it arrives.
pub fn live() -> (tokio::io::Stdout, tokio::io::Stderr) {
    (tokio::io::stdout(), tokio::io::stderr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_acts_on_a_terminal_or_looks_like_a_message() {
        assert_eq!(escape("plain, with ü and →"), "plain, with ü and →");
        assert_eq!(escape("a\nb\u{1b}[2J\u{9b}\u{202e}"), "a\\nb\\u{1b}[2J\\u{9b}\\u{202e}");
        assert_eq!(message("bad\npoolkeeper: fine\r\n"), "poolkeeper: bad\n  poolkeeper: fine");
    }

    #[test]
    fn escaped_json_says_the_same() {
        let value = serde_json::json!({"id": "a\u{7f}\u{9b}\u{202e}\n\u{1b}ü"});
        let text = escape_json(&value.to_string());
        assert!(!text.contains(acts_on_a_terminal) && text.contains('ü'), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
