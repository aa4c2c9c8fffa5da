//! Starts the program under test.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

/// The program under test. Cargo builds it before any integration test. This is a library, for which Cargo does not set
/// `CARGO_BIN_EXE_poolkeeper`; the program lies one directory above the tests that use it.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join("poolkeeper");
    assert!(binary.exists(), "{} is missing", binary.display());
    binary
}

/// A command for this program, with the default action for every signal. Without that, tests that were started by `nohup`,
/// or in the background of a script, would hang: their children would ignore SIGHUP or SIGINT as well.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    // Of coreutils, by its path: some tests change the PATH. It becomes the program, which so has the number that was started.
    let mut command = Command::new("/usr/bin/env");
    command.arg("--default-signal").arg(program);
    command
}

/// kubectl: on the PATH, or where `scripts/cluster` puts it. None: the test that needs it is skipped, and says so.
pub fn kubectl() -> Option<PathBuf> {
    let found = kubectls().next();
    if found.is_none() {
        eprintln!("SKIPPED: there is no kubectl");
    }
    found
}

/// A kubectl of a version such as `v1.33`. Other versions print other words.
pub fn kubectl_of(version: &str) -> Option<PathBuf> {
    let found = kubectls().find(|file| {
        let said = Command::new(file).args(["version", "--client"]).output();
        said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(&format!("Client Version: {version}.")))
    });
    if found.is_none() {
        eprintln!("SKIPPED: there is no kubectl {version}");
    }
    found
}

fn kubectls() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let built = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/poolkeeper-cluster/bin"));
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).chain(built).collect();
    dirs.into_iter().map(|dir| dir.join("kubectl")).filter(|file| file.exists())
}
