//! `poolkeeper renew`: says that a supervisor is alive.

use std::os::unix::process::parent_id;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tokio::signal::unix::SignalKind;

use super::patience;
use crate::api::{Period, names};
use crate::cli::change::check_name;
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::server::{Server, ServerArgs};
use crate::cli::{output, signals};
use crate::supervisor::lease;

/// How often it is looked whether the process that started this one is still there.
const LOOK: Duration = Duration::from_millis(500);

/// Renew a Lease, which shows that a supervisor is alive
///
/// Tasks that were claimed with --lease are ended when their Lease is not renewed. The Lease is made if it is not there. It
/// is renewed until a signal comes, or until the process that started this command ends: a supervisor that was killed no longer
/// holds its workers.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  poolkeeper renew night-run &\n  eval \"$(poolkeeper acquire agents --task job-1 --lease night-run)\""
)]
pub struct RenewArgs {
    /// Name of the Lease
    #[arg(value_name = "LEASE")]
    lease: String,
    /// How long the supervisor counts as alive after each renewal, in whole seconds
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    duration: Period,
    /// Time between two renewals [default: a third of --duration]
    #[arg(long, value_name = "TIME", value_parser = above_zero)]
    every: Option<Period>,
    /// Renew it once, and end
    #[arg(long, conflicts_with = "every")]
    once: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for RenewArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        check_name(&self.lease)?;
        let every = self.every.unwrap_or_else(|| Period::from(self.duration.get() / 3));
        if every >= self.duration {
            let message = format!("--every {every} is no shorter than --duration {}", self.duration);
            return Err(Failure::usage(message));
        }
        let parent = parent_id();
        let kinds = signals::unless_ignored(&[SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]);
        let stop = signals::listen(&kinds, None).map_err(|e| Failure::poolkeeper("listening for signals", e))?;
        self.server.check()?;
        let renewing = async {
            let mut first = true;
            loop {
                let renewed = patience::repeat(&*cx.clock, self.patience(), async || {
                    let server = self.server.connect().await?;
                    self.renew(&server, cx.clock.now()).await?;
                    Ok(server)
                });
                let server = renewed.await?;
                if std::mem::take(&mut first) {
                    server.say_which();
                }
                if self.once {
                    return Ok(());
                }
                tokio::time::sleep(every.get()).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(Exit::Success),
            () = orphaned(parent), if !self.once => {
                output::say(&format!("Lease {} is no longer renewed: the process that started this one has ended", self.lease));
                Ok(Exit::Success)
            }
            ended = renewing => ended.map(|()| Exit::Success),
        }
    }
}

impl RenewArgs {
    /// How long a server that is away is waited for. It judges no Lease before it is back.
    fn patience(&self) -> Duration {
        if self.once { Duration::ZERO } else { Duration::from_hours(24 * 365) }
    }

    /// Renews the Lease, or makes it.
    async fn renew(&self, server: &Server, now: Timestamp) -> Result<(), Failure> {
        // `poolkeeper cleanup` finds it by this label, once it has ended.
        let labels = [(names::MANAGED_BY.to_owned(), names::MANAGER.to_owned())].into();
        let renewed =
            lease::renew(&server.api(), &self.lease, &holder("renew"), self.duration.get(), &labels, now).await;
        renewed.map_err(|error| patience::failed(server, &error))
    }
}

/// What holds a Lease: this command, on this machine.
pub fn holder(command: &str) -> String {
    let host = rustix::system::uname();
    format!("poolkeeper {command} on {} ({})", host.nodename().to_string_lossy(), std::process::id())
}

/// Resolves when the process that started this one has ended.
async fn orphaned(parent: u32) {
    while parent_id() == parent {
        tokio::time::sleep(LOOK).await;
    }
}

fn above_zero(text: &str) -> Result<Period, String> {
    let period: Period = text.parse().map_err(|error| format!("{error}"))?;
    if period.is_zero() { Err("must be above 0s".to_owned()) } else { Ok(period) }
}

fn duration(text: &str) -> Result<Period, String> {
    let period = above_zero(text)?;
    let whole = period.get().subsec_millis() == 0 && i32::try_from(period.get().as_secs()).is_ok();
    if whole { Ok(period) } else { Err("write whole seconds, such as 60s".to_owned()) }
}
