//! Client libraries of other languages on the local server: lists, watches with bookmarks, patches, errors.
//!
//! `client.py` needs a Python with the package `kubernetes`, named by `POOLKEEPER_PYTHON`; `scripts/ci/supervisors.sh` has one.
//! `go/` needs Go and its modules, and compiles for minutes, so it is run only where `POOLKEEPER_GO` is set. Each is
//! skipped, and says so, where it is not asked for.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use poolkeeper_testkit::local_server::{Rig, Said};

const PROGRAM: &str = env!("CARGO_BIN_EXE_poolkeeper");

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Runs a client of a server of its own.
fn ends_well(mut command: Command) -> Said {
    let rig = Rig::new(PROGRAM);
    rig.up();
    Said::of(command.env("KUBECONFIG", rig.kubeconfig()).output().unwrap()).exits(0)
}

#[test]
fn python() {
    let Some(python) = std::env::var_os("POOLKEEPER_PYTHON") else {
        eprintln!("SKIPPED: POOLKEEPER_PYTHON names no Python");
        return;
    };
    let mut command = Command::new(python);
    command.arg(here().join("client.py"));
    ends_well(command);
}

#[test]
fn go() {
    if std::env::var_os("POOLKEEPER_GO").is_none() {
        eprintln!("SKIPPED: POOLKEEPER_GO is not set");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let client = dir.path().join("client");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&client).arg(".").current_dir(here().join("go"));
    Said::of(build.output().unwrap()).exits(0);
    assert_eq!(ends_well(Command::new(client)).stdout, "done\n");
}
