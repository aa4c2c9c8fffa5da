//! `poolkeeper local down`: stops the workers and the server.

use std::time::Duration;

use clap::Args;

use super::server::{self, Refused};
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::standalone::resident::home::Home;
use crate::standalone::resident::{self, Start};

/// How long the server may take to end after it has stopped its workers.
const END: Duration = Duration::from_secs(30);

/// Stop all workers and the server; the objects stay
///
/// Refused while attempts are open. The next `up` brings the pools back, with their queues and with the rests of their
/// workers. To stop the server alone, and leave its workers to the next one, send it SIGTERM.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  poolkeeper local down --wait")]
pub struct DownArgs {
    /// Wait until no attempt is open. None begins meanwhile: what is queued waits for the next `up`. Ctrl-C calls it off
    #[arg(long, conflicts_with = "force")]
    wait: bool,
    /// End open attempts: they count as lost workers, and their dispatches are retried after the next `up` as their pool says
    #[arg(long)]
    force: bool,
    /// Remove everything that the server has stored
    #[arg(long)]
    purge: bool,
}

impl Run for DownArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let home = server::home()?;
        if !home.kubeconfig().exists() {
            output::say(&format!("there is no local server in {}", home.path().display()));
            return Ok(Exit::Success);
        }
        if home.holder().is_some() {
            self.stop_server(&home).await?;
        } else {
            // Process workers are gone by now, but containers stay until they are removed.
            let start = Start {
                home: home.clone(),
                port: None,
                docker_host: None,
                clock: cx.clock.clone(),
                ids: cx.ids.clone(),
            };
            let stopped = resident::stop_workers(start, self.force).await?;
            stopped.map_err(|refusal| {
                let exit = if refusal.code == 409 { Exit::Conflict } else { Exit::Failed };
                Failure::new(exit, format!("the server does not run, and {}", refusal.message))
            })?;
        }
        if self.purge {
            let lock = resident::take(&home)?;
            let failed = |e| Failure::new(Exit::Failed, format!("{}: {e}", home.path().display()));
            home.purge(lock).map_err(failed)?;
        }
        Ok(Exit::Success)
    }
}

impl DownArgs {
    async fn stop_server(&self, home: &Home) -> Result<(), Failure> {
        let what = if self.force { "down?force=true" } else { "down" };
        let mut asked = server::ask(home, what).await;
        if let Err(Refused::Conflict(why)) = &asked
            && self.wait
        {
            output::say(&format!("waiting: {}", why.split(". ").next().unwrap_or(why)));
            // The server assigns nothing for as long as this request waits, and goes on if this process ends.
            asked = server::ask(home, "down?wait=true").await;
        }
        match asked {
            Ok(()) => {}
            Err(Refused::Conflict(why)) => return Err(Failure::new(Exit::Conflict, why)),
            Err(Refused::Failed(failure)) => return Err(failure),
        }
        if server::gone(home, END).await {
            return Ok(());
        }
        Err(Failure::new(Exit::WaitedTooLong, "the workers are stopped, but the server does not end"))
    }
}
