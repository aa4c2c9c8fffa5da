//! `run POOL`: in a pool of a server that others use too, with the rights of the caller.

use std::sync::Arc;

use super::args::RunArgs;
use super::state;
use super::work::{Plan, Shown, Work, judge, listen};
use crate::api::{ContainerPool, Period, RuntimeKind};
use crate::cli::change::check_name;
use crate::cli::context::Context;
use crate::cli::dispatches::renew::holder;
use crate::cli::exit::{Exit, Failure};
use crate::cli::local::server::home;
use crate::cli::server::{Server, is_not_found};
use crate::cli::signals;
use crate::runtime::reach::Reach;
use crate::standalone::resident::hosts;
use crate::standalone::room;
use crate::supervisor::batch::former::{self, Adopted};
use crate::supervisor::batch::ids;
use crate::supervisor::batch::outdir::Identity;
use crate::supervisor::patience::Patience;
use crate::supervisor::{self, Place, lease};

/// What becomes of tasks whose end is not waited for.
const LEFT: &str = "left at once; what still runs ends with the Lease of this run, within a minute";
/// The same with --lease-duration.
const LEFT_IN_PODS: &str = "left at once; what still runs in Pods waits for --resume until the Lease of this run ends";

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
    let interrupted = listen(if args.lease_duration.is_some() { LEFT_IN_PODS } else { LEFT })?;
    let shown = shown.begin(&args, &work, &pool, runtime, cx);
    let executor = Arc::new(Reach::new(server.client.clone(), hosts::known(home().ok().as_ref())?));
    let place = Place::new(server.client.clone(), &server.namespace, executor, std::future::pending());
    let (run, holder) = (work.dir.run(), holder("run"));

    let patience = Patience::new(args.patience.get(), cx.clock.clone(), shown.tracker.clone());
    let keep_for = args.lease_duration.map(Period::get);
    let lasts = keep_for.unwrap_or(lease::LASTS);
    let leases = place.api();
    let renew = async |run: &str| {
        lease::renew(&leases, &lease::name(run), &holder, lasts, &lease::labels(run), cx.clock.now()).await
    };
    let beginning = async {
        let mut adopted = Adopted::default();
        // Only in Pods does a task outlive its client in a way that another client can attach to.
        if keep_for.is_some() && runtime == RuntimeKind::Pod && work.tasks.as_ref().is_some_and(|tasks| !tasks.comes())
        {
            adopted = Adopted::find(&place, work.dir.outliving(), name, &patience, renew).await?;
            if adopted.count() > 0 {
                adopted.retain(work.source(&args)?)?;
            }
        }
        former::end(&place, work.dir.former(), &adopted, &patience, &shown.tracker).await?;
        let left = work.dir.former().iter().filter(|id| adopted.runs.contains(&ids::run(id))).cloned().collect();
        work.dir.begin(left, keep_for.is_some())?;
        patience.repeat("making the Lease of this run", || renew(&run)).await?;
        Ok::<_, supervisor::Error>(adopted)
    };
    let Some(begun) = signals::unless(&interrupted, beginning).await else {
        return Err(Failure::new(Exit::Interrupted, "interrupted"));
    };
    let adopted = begun?;
    if adopted.count() > 0 {
        let tasks = if adopted.count() == 1 { "task" } else { "tasks" };
        shown.tracker.note(format!("going on with {} {tasks} that the earlier run has under way", adopted.count()));
    }
    let runs: Vec<String> = std::iter::once(run.clone()).chain(adopted.runs.iter().cloned()).collect();
    if let Err(error) = lease::sweep(&place, cx.clock.now()).await {
        shown.tracker.note(error.to_string());
    }

    // The tasks were read before, for those that are adopted, and all readers share one place in the file.
    let source = work.source(&args)?;
    let plan = Plan {
        place: place.clone(),
        pool,
        judge,
        state,
        patience: args.patience.get(),
        start_hint: "",
        lease: Some(lease::name(&run)),
        keep_for,
        adopted,
    };
    let ended = tokio::select! {
        biased;
        ended = work.run(&args, cx, &shown, plan, source, &interrupted) => ended,
        never = lease::keep(&place, &runs, &holder, lasts, &*cx.clock) => match never {},
    };
    // They end by themselves, and later runs remove them.
    for run in &runs {
        let _ = lease::remove(&place, run).await;
    }
    work.clean(&shown.tracker);
    shown.finish(&args, cx, ended, Ok(())).await
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
