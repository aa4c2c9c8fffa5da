//! What this machine has: the program, the local server, a Docker Engine, kubectl and helm.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use tokio::process::Command;

use super::check::Check;
use crate::cli::local::server;
use crate::runtime::docker::{DockerOptions, DockerRuntime};
use crate::runtime::{LOCAL_HOST, RuntimeError};
use crate::standalone::resident::home::Home;
use crate::standalone::resident::requests::ServerStatus;

/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(5);
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// This program.
pub(super) fn program() -> Check {
    let path = std::env::current_exe().map_or_else(|e| e.to_string(), |path| path.display().to_string());
    Check::ok("poolkeeper", format!("version {VERSION}, {path}"))
}

/// The local server of this user.
pub(super) async fn local_server() -> Vec<Check> {
    const WHAT: &str = "local server";
    let home = match server::home() {
        Ok(home) => home,
        Err(failure) => return vec![Check::warn(WHAT, failure.message, "set $POOLKEEPER_HOME or $HOME")],
    };
    if !home.kubeconfig().exists() {
        let words = format!("there is none in {}; `poolkeeper local up` starts one", home.path().display());
        return vec![Check::ok(WHAT, words)];
    }
    let mut checks: Vec<Check> = access(&home).into_iter().collect();
    checks.push(match (server::status(&home).await, home.holder()) {
        (Ok(status), _) => running(&home, &status),
        (Err(failure), Some(pid)) => {
            Check::fail(WHAT, failure.message, format!("end process {pid} and run `poolkeeper local up`"))
        }
        (Err(failure), None) => Check::warn(WHAT, failure.message, "run `poolkeeper local up`"),
    });
    checks
}

fn running(home: &Home, status: &ServerStatus) -> Check {
    const WHAT: &str = "local server";
    let address = server::address(&home.kubeconfig());
    let ServerStatus { pid, version, started, .. } = status;
    let words =
        format!("process {pid} at {address}, version {version}, since {started}, state in {}", home.path().display());
    if let Some(restored) = &status.restored {
        return Check::warn(WHAT, words, restored.clone());
    }
    if version != VERSION {
        return Check::warn(WHAT, words, format!("this program is version {VERSION}: run `poolkeeper local up`"));
    }
    // A build of the same version that was made later.
    let built = std::env::current_exe().ok().and_then(|path| path.metadata().ok()?.modified().ok());
    let built = built.and_then(|time| Timestamp::try_from(time).ok());
    if built.is_some_and(|built| built > *started) {
        let remedy = "this program was installed after the server started: run `poolkeeper local up --restart`";
        return Check::warn(WHAT, words, remedy);
    }
    Check::ok(WHAT, words)
}

/// The directory of the server holds its token.
fn access(home: &Home) -> Option<Check> {
    let path = home.path();
    let mode = path.metadata().ok()?.permissions().mode() & 0o777;
    let words = format!("other users can look into {} (mode {mode:o})", path.display());
    (mode & 0o077 != 0).then(|| Check::fail("local state", words, format!("run `chmod 700 {}`", path.display())))
}

/// The Docker Engine that `docker` would use.
pub(super) async fn docker() -> Check {
    const WHAT: &str = "docker";
    let options = DockerOptions { hosts: Vec::new(), installation: String::new(), owner_process: None };
    let docker = match DockerRuntime::new(options) {
        Ok(docker) => docker,
        Err(error) => return Check::warn(WHAT, error.to_string(), "correct it, to run pools of containers here"),
    };
    match tokio::time::timeout(PATIENCE, docker.probe(LOCAL_HOST)).await {
        Ok(Ok(version)) => Check::ok(WHAT, version),
        Ok(Err(RuntimeError::Unreachable(why) | RuntimeError::Refused(why))) => {
            Check::warn(WHAT, why, "pools of containers on this machine need it; `runtime: Process` does not")
        }
        Err(_) => Check::warn(WHAT, "no answer within 5 s", "restart the Docker Engine"),
    }
}

/// A program of others. No command of Poolkeeper needs it.
pub(super) async fn other(name: &'static str, version: &[&str]) -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found: Option<PathBuf> = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    let Some(file) = found else {
        return Check::ok(name, "not on the PATH; no command of poolkeeper needs it");
    };
    match run(&file, version).await {
        Ok(version) => Check::ok(name, format!("{version}, {}", file.display())),
        Err(why) => Check::warn(name, format!("{}: {why}", file.display()), "install it again"),
    }
}

/// The first line that a program prints.
async fn run(program: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.map_err(|_| "no answer within 5 s".to_owned())?.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
    line.map(str::to_owned).ok_or_else(|| format!("it printed no version ({})", output.status))
}
