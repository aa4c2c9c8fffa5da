//! `poolkeeper controller`: keeps the pools of a cluster.
//!
//! - `args`: the flags.
//! - `runtimes`: what makes workers real here.

mod args;
mod runtimes;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use kube::client::ClientBuilder;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use self::args::ControllerArgs;
use super::run::failure::{Failure, exit};
use crate::api::RuntimeKind;
use crate::clock::{Clock, Ids, SystemClock};
use crate::controller::election::{Election, Term, lead};
use crate::controller::health::Health;
use crate::controller::http::{self, Pages};
use crate::controller::metrics::Metrics;
use crate::controller::tap::WatchTap;
use crate::controller::{self, Options};

/// What is logged when nothing is asked for: what happens here, and what goes wrong elsewhere. The client names each request
/// that fails, without what it was for; who asked says that.
pub const LOG: &str = "warn,poolkeeper=info,kube_client::client::builder=off";

impl ControllerArgs {
    /// Runs it until a signal. To be called outside of any async runtime.
    pub fn run(self) -> ExitCode {
        let ended = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(exit::FAILED, format!("starting: {error}")))
            .and_then(|runtime| runtime.block_on(serve(self)));
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                let _ = writeln!(std::io::stderr(), "poolkeeper: {failure}");
                ExitCode::from(failure.exit)
            }
        }
    }
}

async fn serve(args: ControllerArgs) -> Result<(), Failure> {
    let kinds = args.runtimes()?;
    let timing = args.timing()?;
    let mut config = args.cluster.config().await?;
    // The library's pauses grow to minutes, unseen, or to whatever the server names; here each request has its own.
    config.default_retry = false;
    let namespace = args.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let server = config.cluster_url.clone();
    let (clock, ids, health): (Arc<dyn Clock>, _, _) = (Arc::new(SystemClock::new()), Ids::random(), Health::default());
    let failed = |e: &dyn std::fmt::Display| Failure::new(exit::FAILED, e.to_string());
    let client = ClientBuilder::try_from(config).map_err(|e| failed(&e))?.with_layer(&WatchTap(health.clone())).build();
    let metrics = Metrics::default();
    let listener = TcpListener::bind(args.http_bind)
        .await
        .map_err(|e| failed(&format_args!("--http-bind {}: {e}", args.http_bind)))?;
    let http = listener.local_addr().map_err(|e| failed(&e))?;
    let pages = Pages { health: health.clone(), metrics: metrics.clone(), clock: clock.clone() };
    tokio::spawn(http::serve(listener, pages));
    let stop = signals().map_err(|e| failed(&e))?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %server, %http, runtimes = ?kinds, "poolkeeper controller");

    let election = Election {
        namespace,
        name: args.lease_name.clone(),
        identity: identity(&ids),
        timing,
        contested: args.leader_elect,
        clock: clock.clone(),
        ids: ids.clone(),
        health: health.clone(),
    };
    let begin = |term: Term| {
        let (args, kinds, client, clock, ids) =
            (args.clone(), kinds.clone(), client.clone(), clock.clone(), ids.clone());
        let (health, metrics) = (health.clone(), metrics.clone());
        async move {
            let runtimes = runtimes::make(&kinds, &args, &client, &term.installation).await?;
            let mut options = Options::new(runtimes, clock, ids);
            options.namespace = args.namespace;
            // A pool's author must not get at what the controller's own machine has.
            options.local_credentials = !kinds.contains(&RuntimeKind::Pod);
            (options.health, options.metrics) = (health, metrics);
            controller::run(client, options, term.stop).await;
            Ok(())
        }
    };
    lead(client.clone(), election, stop, begin).await
}

/// Nobody else's: a Pod may come back with the name of its predecessor, whose Lease has not run out.
fn identity(ids: &Ids) -> String {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = std::env::var("POD_NAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(host);
    format!("{name}_{}", ids.uid())
}

/// Cancelled by the first SIGTERM or SIGINT. The second ends the process.
fn signals() -> std::io::Result<CancellationToken> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let first = token.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! {
                biased;
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if last {
                std::process::exit(exit::INTERRUPTED.into());
            }
            first.cancel();
        }
    });
    Ok(token)
}
