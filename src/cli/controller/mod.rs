//! `poolkeeper controller`: keeps the pools of a cluster.
//!
//! - `args`: the flags.

mod args;

use kube::client::ClientBuilder;
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;

pub use self::args::ControllerArgs;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::signals;
use crate::api::RuntimeKind;
use crate::clock::Ids;
use crate::controller::election::{Election, Term, lead};
use crate::controller::health::Health;
use crate::controller::metrics::Metrics;
use crate::controller::probes::{self, Pages, WatchLayer};
use crate::controller::{self, Options};
use crate::runtime::assemble::assemble;
use crate::runtime::config::RuntimeConfig;
use crate::standalone::engines;
use crate::supervisor::outcome;

/// The log when nothing else is asked for.
pub const LOG: &str = "info";

impl Run for ControllerArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        serve(self, cx).await?;
        Ok(Exit::Success)
    }
}

async fn serve(args: ControllerArgs, cx: &Context) -> Result<(), Failure> {
    let kinds = args.runtimes()?;
    let timing = args.timing()?;
    let docker_hosts = args.docker_hosts()?;
    let mut config = args.cluster.config().await?;
    // The library's pauses grow to minutes, unseen, or to whatever the server names; here each request has its own.
    config.default_retry = false;
    let namespace = args.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let server = config.cluster_url.clone();
    let (clock, ids, health) = (cx.clock.clone(), cx.ids.clone(), Health::default());
    let failed = |e: &dyn std::fmt::Display| Failure::new(Exit::Failed, e.to_string());
    let client =
        ClientBuilder::try_from(config).map_err(|e| failed(&e))?.with_layer(&WatchLayer(health.clone())).build();
    let metrics = Metrics::default();
    let listener = TcpListener::bind(args.http_bind)
        .await
        .map_err(|e| failed(&format_args!("--http-bind {}: {e}", args.http_bind)))?;
    let http = listener.local_addr().map_err(|e| failed(&e))?;
    let pages = Pages { health: health.clone(), metrics: metrics.clone(), clock: clock.clone() };
    tokio::spawn(probes::serve(listener, pages));
    let stop = signals::listen(&[SignalKind::terminate(), SignalKind::interrupt()], None).map_err(|e| failed(&e))?;
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
        let docker_hosts = docker_hosts.clone();
        let (health, metrics) = (health.clone(), metrics.clone());
        async move {
            let mut config = RuntimeConfig::new(kinds.clone(), term.installation);
            config.drain_protection = args.drain_protection();
            config.helper_image.clone_from(&args.helper_image);
            config.docker_hosts = docker_hosts;
            config.engine_gate = Some(engines::gate(&client));
            (config.run_dir, config.namespace) = (args.run_dir, args.namespace.clone());
            let made = assemble(&config, Some(&client)).await;
            let made = made.map_err(|e| Failure::new(Exit::Unreachable, e.to_string()))?;
            let mut options = Options::new(made.runtimes, clock, ids);
            options.namespace = args.namespace;
            // A pool's author must not get at what the controller's own machine has.
            options.local_credentials = !kinds.contains(&RuntimeKind::Pod);
            options.check_pattern = outcome::check_pattern;
            (options.health, options.metrics) = (health, metrics);
            controller::run(client, options, term.stop).await;
            Ok(())
        }
    };
    lead(client.clone(), election, stop, begin).await
}

/// This process's name in the election. It is unique: a Pod may come back with the name of its predecessor, whose Lease has
/// not run out.
fn identity(ids: &Ids) -> String {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = std::env::var("POD_NAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(host);
    format!("{name}_{}", ids.uid())
}
