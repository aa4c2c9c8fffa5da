//! Commands that a person types on a terminal.
use std::process::Command;

use poolkeeper_testkit::local_server::{Rig, Said};

/// Runs a command line of bash on a terminal, where a person types `keys`. Both outputs are one there. None, loudly: there is no
/// `script`, which makes the terminal.
pub fn typed(rig: &Rig, line: &str, keys: &str) -> Option<Said> {
    if !Command::new("script").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: there is no program `script` (util-linux)");
        return None;
    }
    let mut shell = rig.shell("bash", "printf \"$KEYS\" | script -qec \"$LINE\" /dev/null");
    Some(Said::of(shell.env("KEYS", keys).env("LINE", line).output().unwrap()))
}
