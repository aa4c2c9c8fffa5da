//! `poolkeeper local up`: starts the server.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::SignalKind;

use super::{background, server};
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, signals};
use crate::standalone::resident::environment::{self, Change};
use crate::standalone::resident::home::Home;
use crate::standalone::resident::hosts::{self, HostChange};
use crate::standalone::resident::requests::ServerStatus;
use crate::standalone::resident::{self, DockerHost, Start};

/// How long a server that is there may take to answer, and the pause between two tries.
const SETTLE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// How long a server may take to leave.
const LEAVE: Duration = Duration::from_secs(30);

/// Start the server, or say that it runs
///
/// Returns when the server is ready. A server of an older version is replaced by one of this version; its workers stay, and so
/// do the tasks in them.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  poolkeeper local up && eval \"$(poolkeeper local env)\"")]
pub struct UpArgs {
    /// Be the server, instead of starting it in the background; for systemd and containers
    #[arg(long)]
    foreground: bool,
    /// Serve on this port of 127.0.0.1 from now on [default: a free one, chosen at the first start]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Use the Docker Engine at this address from now on, such as unix:///run/user/1000/docker.sock, tcp://host:2375, ssh://me@host or
    /// context:NAME; `auto`: the one that docker would use [default: the one that was found at the first start]
    #[arg(long, value_name = "ENDPOINT")]
    docker_host: Option<DockerHost>,
    /// Set a variable of the server from now on, such as SSH_AUTH_SOCK; without =VALUE, copy it from this shell
    ///
    /// Commands that fetch credentials (fromCommand) see it, and fromEnv reads it. Workers do not get it. The value is stored in the
    /// state directory, which only you may read, and is not shown.
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<Change>,
    /// Keep a variable that --env has set no longer
    #[arg(long, value_name = "NAME", value_parser = Change::removal)]
    unset_env: Vec<Change>,
    /// Use this Docker host too from now on: unix, tcp, ssh or a context of docker. Pools name it in `spec.hosts`. More hosts are in
    /// hosts.yaml
    #[arg(long, value_name = "NAME=ENDPOINT")]
    host: Vec<HostChange>,
    /// Use a Docker host that --host has named no longer
    #[arg(long, value_name = "NAME", value_parser = HostChange::removal)]
    unset_host: Vec<HostChange>,
    /// Replace a server that runs, whatever its version
    #[arg(long, conflicts_with = "foreground")]
    restart: bool,
    /// Leave the terminal and the session, and bound the log. For `up` itself.
    #[arg(long, hide = true, requires = "foreground")]
    detach: bool,
}

impl UpArgs {
    /// True if this process is the server.
    pub(super) const fn is_server(&self) -> bool {
        self.foreground
    }
}

impl Run for UpArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let home = server::home()?;
        let variables: Vec<Change> = [self.env.clone(), self.unset_env.clone()].concat();
        let named: Vec<HostChange> = [self.host.clone(), self.unset_host.clone()].concat();
        if self.foreground {
            home.make()
                .map_err(|e| Failure::new(Exit::Failed, format!("the directory {}: {e}", home.path().display())))?;
            environment::keep(&home, &variables)?;
            hosts::keep(&home, &named)?;
            with_variables(&home)?;
            return serve(self, home, cx).await;
        }
        if let Some(status) = settled(&home).await? {
            let moves =
                self.port.is_some() || self.docker_host.is_some() || !(variables.is_empty() && named.is_empty());
            if !(self.restart || moves || is_older(&status.version, env!("CARGO_PKG_VERSION"))) {
                say(&home, &status);
                return Ok(Exit::Success);
            }
            if let Err(server::Refused::Conflict(why)) = server::ask(&home, "leave").await {
                return Err(Failure::new(Exit::Conflict, why));
            }
            if !server::gone(&home, LEAVE).await {
                let message = format!("the server, process {}, does not end", status.pid);
                return Err(Failure::new(Exit::WaitedTooLong, message));
            }
        }
        if !(variables.is_empty() && named.is_empty()) {
            home.make()
                .map_err(|e| Failure::new(Exit::Failed, format!("the directory {}: {e}", home.path().display())))?;
            environment::keep(&home, &variables)?;
            hosts::keep(&home, &named)?;
        }
        let status = background::start(&home, self.port, self.docker_host.as_ref()).await?;
        say(&home, &status);
        if let Some(text) = &status.restored {
            output::say(text);
        }
        Ok(Exit::Success)
    }
}

/// How the server is that has the directory. One that has just been started may not be ready yet. None: there is none, or it
/// has just ended.
async fn settled(home: &Home) -> Result<Option<ServerStatus>, Failure> {
    let ready = async {
        while home.holder().is_some() {
            if let Ok(status) = server::status(home).await {
                return Some(status);
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    };
    tokio::time::timeout(SETTLE, ready).await.map_err(|_| server::unreachable(home, "no answer within 10 s"))
}

/// Begins this process anew if it lacks variables that are stored: it has threads already, and cannot set them itself.
fn with_variables(home: &Home) -> Result<(), Failure> {
    let variables = environment::read(home)?;
    if variables.iter().all(|(name, value)| std::env::var(name).as_ref() == Ok(value)) {
        return Ok(());
    }
    let failed = |e: std::io::Error| Failure::poolkeeper("starting the server with its variables", e);
    let mut again = std::process::Command::new(std::env::current_exe().map_err(failed)?);
    Err(failed(again.args(std::env::args_os().skip(1)).envs(variables).exec()))
}

async fn serve(args: UpArgs, home: Home, cx: &Context) -> Result<Exit, Failure> {
    let failed = |e: std::io::Error| Failure::poolkeeper("starting the server", e);
    if args.detach {
        // It fails for the leader of a process group, as which `up` never starts it.
        rustix::process::setsid().map_err(|e| failed(e.into()))?;
        tokio::spawn(background::bound_log(home.clone()));
    }
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let leave = signals::listen(&signals::unless_ignored(&kinds), None).map_err(failed)?;
    // Each worker and each watch needs open files.
    let _ = crate::standalone::room::limit();
    let start =
        Start { home, port: args.port, docker_host: args.docker_host, clock: cx.clock.clone(), ids: cx.ids.clone() };
    resident::serve(start, leave).await?;
    Ok(Exit::Success)
}

fn say(home: &Home, status: &ServerStatus) {
    output::say(&format!(
        "the local server runs as process {}; its state is in {}\nto use it with kubectl in this shell: eval \"$(poolkeeper local env)\"",
        status.pid,
        home.path().display()
    ));
}

/// Whether a version is older than another. A version that cannot be read is not.
fn is_older(version: &str, than: &str) -> bool {
    let numbers = |version: &str| -> Option<Vec<u64>> {
        version.split(['-', '+']).next()?.split('.').map(|number| number.parse().ok()).collect()
    };
    matches!((numbers(version), numbers(than)), (Some(version), Some(than)) if version < than)
}

#[cfg(test)]
mod tests {
    use super::is_older;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(is_older("0.9.0", "0.10.0") && is_older("0.1.0", "1.0.0") && is_older("0.1.0", "0.1.1"));
        assert!(!is_older("0.1.0", "0.1.0") && !is_older("0.2.0", "0.1.9") && !is_older("new", "0.1.0"));
        assert!(!is_older("0.1.0-dev", "0.1.0"));
    }
}
