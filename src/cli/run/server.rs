//! `run POOL`: in a pool of a server that others use too, with the rights of the caller.

use std::sync::Arc;

use super::args::RunArgs;
use super::state;
use super::work::{Plan, Shown, Work, judge, listen};
use crate::api::{ContainerPool, RuntimeKind};
use crate::cli::change::check_name;
use crate::cli::context::Context;
use crate::cli::dispatches::renew::holder;
use crate::cli::exit::{Exit, Failure};
use crate::cli::server::{Server, is_not_found};
use crate::cli::signals;
use crate::runtime::reach::Reach;
use crate::standalone::room;
use crate::supervisor::batch::former;
use crate::supervisor::batch::outdir::Identity;
use crate::supervisor::patience::Patience;
use crate::supervisor::{Place, lease};

/// What becomes of tasks whose end is not waited for.
const LEFT: &str = "left at once; what still runs ends with the Lease of this run, within a minute";

pub(super) async fn run(args: RunArgs, cx: &Context) -> Result<Exit, Failure> {
    let Some(name) = args.pool.as_deref() else {
        return Err(Failure::usage("name the pool, or add --local to make one for this run alone"));
    };
    check_name(name)?;
    if let Some(flag) = args.flags.first_given() {
        let message =
            format!("{flag} describes a pool for this run alone: add --local, or leave it out to use pool {name}");
        return Err(Failure::usage(message));
    }
    let shown = Shown::open(&args)?;
    let server = args.server.connect().await?;
    server.say_which();
    let pool = find(&server, name).await?;
    let default = if server.is_local { RuntimeKind::Docker } else { RuntimeKind::Pod };
    let runtime = pool.spec.runtime.unwrap_or(default);
    let judge = judge(&args, &pool, runtime)?;
    let state =
        args.batch.state.as_deref().map(|dir| state::of_pool(dir, &pool, runtime, server.is_local)).transpose()?;
    // If the limit cannot be raised, fewer attempts may run at a time.
    let _ = room::limit();
    let work = Work::prepare(&args, cx.ids.uid(), Identity::Another).await?;
    let source = work.source(&args)?;
    let interrupted = listen(LEFT)?;
    let shown = shown.begin(&args, &work, &pool, runtime, cx);
    let executor = Arc::new(Reach::new(server.client.clone()));
    let place = Place::new(server.client.clone(), &server.namespace, executor, std::future::pending());
    let (run, holder) = (work.dir.run(), holder("run"));

    let patience = Patience::new(args.patience.get(), cx.clock.clone(), shown.tracker.clone());
    let beginning = async {
        former::end(&place, work.dir.former(), &patience, &shown.tracker).await?;
        work.dir.forget_former()?;
        let (leases, labels) = (place.api(), lease::labels(&run));
        let lease = lease::name(&run);
        let make = || lease::renew(&leases, &lease, &holder, lease::LASTS, &labels, cx.clock.now());
        patience.repeat("making the Lease of this run", make).await
    };
    let Some(begun) = signals::unless(&interrupted, beginning).await else {
        return Err(Failure::new(Exit::Interrupted, "interrupted"));
    };
    begun?;
    if let Err(error) = lease::sweep(&place, cx.clock.now()).await {
        shown.tracker.note(error.to_string());
    }

    let plan = Plan {
        place: place.clone(),
        pool,
        judge,
        state,
        patience: args.patience.get(),
        start_hint: "",
        lease: Some(lease::name(&run)),
    };
    let ended = tokio::select! {
        biased;
        ended = work.run(&args, cx, &shown, plan, source, &interrupted) => ended,
        never = lease::keep(&place, &run, &holder, &*cx.clock) => match never {},
    };
    // It ends by itself, and later runs remove it.
    let _ = lease::remove(&place, &run).await;
    work.clean(&shown.tracker);
    shown.finish(&args, cx, ended, Ok(()))
}

async fn find(server: &Server, name: &str) -> Result<ContainerPool, Failure> {
    server.api::<ContainerPool>().get(name).await.map_err(|error| {
        if !is_not_found(&error) {
            return server.failed(&error);
        }
        let place = format!("namespace {} of {}", server.namespace, server.title);
        Failure::new(
            Exit::NotFound,
            format!("there is no pool {name:?} in {place}: `poolkeeper create pool` makes one"),
        )
    })
}
