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
    // Of coreutils. It becomes the program, which so has the number that was started.
    let mut command = Command::new("env");
    command.arg("--default-signal").arg(program);
    command
}

/// kubectl: on the PATH, or where `scripts/cluster` puts it. None: the test that needs it is skipped, and says so.
pub fn kubectl() -> Option<PathBuf> {
    let on_path =
        std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join("kubectl")).find(|file| file.exists());
    let built = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/poolkeeper-cluster/bin/kubectl"));
    let found = on_path.or(built.filter(|file| file.exists()));
    if found.is_none() {
        eprintln!("SKIPPED: there is no kubectl");
    }
    found
}
