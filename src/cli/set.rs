//! `poolkeeper set`, `pause` and `resume`: single fields of a pool.

use clap::{Args, Subcommand};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use super::change;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::output::say;
use super::server::{Server, ServerArgs};
use crate::api::dispatch::DispatchPhase;
use crate::api::{ContainerPool, Dispatch};

/// Change a field of a pool
#[derive(Args, Debug)]
pub struct SetArgs {
    #[command(subcommand)]
    field: Field,
}

#[derive(Subcommand, Debug)]
enum Field {
    /// Set the image of a pool's workers (spec.image)
    ///
    /// Workers are replaced a few at a time (spec.update). Busy ones are replaced when their dispatch has ended.
    #[command(after_help = "Example:\n  poolkeeper set image agents ghcr.io/acme/agent-worker:1.5")]
    Image {
        /// The pool
        #[arg(value_name = "POOL")]
        pool: String,
        /// The image
        #[arg(value_name = "IMAGE")]
        image: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

impl Run for SetArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let Field::Image { pool: name, image, server } = self.field;
        let server = server.connect().await?;
        server.say_which();
        let mut before = None;
        let pool = change::patch::<ContainerPool>(&server, &name, |pool| {
            before.clone_from(&pool.spec.image);
            Ok((pool.spec.image.as_deref() != Some(&*image)).then(|| json!({"spec": {"image": image}})))
        })
        .await?;
        if before.as_deref() == Some(&*image) {
            say(&format!("the image of pool {name} is {image} already"));
            return Ok(Exit::Success);
        }
        let was = before.map(|before| format!("; it was {before}")).unwrap_or_default();
        say(&format!("the image of pool {name} is {image} now{was}"));
        if pool.spec.paused {
            say(&format!("no worker is replaced while the pool is paused; `poolkeeper resume {name}` ends that"));
        } else {
            say(&format!(
                "workers are replaced a few at a time, busy ones when they are done: `poolkeeper status {name}` shows it"
            ));
        }
        Ok(Exit::Success)
    }
}

/// Stop a pool from assigning dispatches and from creating and removing workers
///
/// Running attempts go on, and dispatches wait. `poolkeeper resume` ends it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  poolkeeper pause agents\n  poolkeeper pause --all")]
pub struct PauseArgs {
    #[command(flatten)]
    which: Which,
}

/// Let a pool work again that was paused
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  poolkeeper resume agents\n  poolkeeper resume --all")]
pub struct ResumeArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Args, Debug)]
struct Which {
    /// The pools
    #[arg(value_name = "POOL", required_unless_present = "all")]
    pools: Vec<String>,
    /// All pools of the namespace
    #[arg(long, conflicts_with = "pools")]
    all: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for PauseArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        self.which.set_paused(true).await
    }
}

impl Run for ResumeArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        self.which.set_paused(false).await
    }
}

impl Which {
    async fn set_paused(self, paused: bool) -> Result<Exit, Failure> {
        let server = self.server.connect().await?;
        server.say_which();
        let names = if self.all { all(&server).await? } else { self.pools };
        if names.is_empty() {
            say(&format!("there are no pools in namespace {}", server.namespace));
        }
        for name in names {
            let mut changed = false;
            change::patch::<ContainerPool>(&server, &name, |pool| {
                changed = pool.spec.paused != paused;
                Ok(changed.then(|| json!({"spec": {"paused": paused}})))
            })
            .await?;
            let open = if paused { open_attempts(&server, &name).await } else { 0 };
            let word = if paused { "paused" } else { "not paused" };
            let already = if changed { "now" } else { "already" };
            let running = match open {
                0 => String::new(),
                1 => "; 1 attempt that runs goes on".to_owned(),
                n => format!("; {n} attempts that run go on"),
            };
            say(&format!("pool {name} is {word} {already}{running}"));
        }
        Ok(Exit::Success)
    }
}

/// How many attempts of a pool are open. The count in its status is up to 5 s old. 0 if the user has no right to list dispatches.
async fn open_attempts(server: &Server, pool: &str) -> usize {
    let of_pool = ListParams::default().fields(&format!("spec.pool={pool}"));
    let dispatches = server.api::<Dispatch>().list(&of_pool).await;
    let is_open = |d: &&Dispatch| d.status.as_ref().is_some_and(|status| status.phase == DispatchPhase::Assigned);
    dispatches.map_or(0, |dispatches| dispatches.iter().filter(is_open).count())
}

async fn all(server: &Server) -> Result<Vec<String>, Failure> {
    let pools = server.api::<ContainerPool>().list(&ListParams::default()).await.map_err(|e| server.failed(&e))?;
    Ok(pools.iter().map(ResourceExt::name_any).collect())
}
