//! `run --local`: the pool, its server and its workers are in this process, and end with it.

use super::args::RunArgs;
use super::state;
use super::work::{Plan, Shown, Work, judge, listen};
use crate::api::{ContainerPool, RuntimeKind};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::pool_flags::flags::Surroundings;
use crate::cli::pool_flags::spec;
use crate::cli::signals;
use crate::runtime::LOCAL_HOST;
use crate::runtime::docker::{HostEntry, HostsError, hosts_file};
use crate::standalone::{self, DockerHosts, Server, Stack, leftovers, room, state_dir};
use crate::supervisor::batch::former::Adopted;
use crate::supervisor::batch::outdir::Identity;
use crate::supervisor::batch::state_dirs::StateDirs;

/// Why a worker may not start whose command was not given.
const STAY_HINT: &str = " (with --image alone a worker runs `sleep infinity`; if the image has no sleep, name spec.command in a \
                         file: see examples/local-pool.yaml, and --file)";
/// What becomes of workers that are not waited for.
const LEFT: &str = "left at once; process workers end by themselves, containers are removed by the next run on Docker";

/// The pool of this run.
struct Made {
    server: Server,
    pool: ContainerPool,
    plan: spec::PlannedPool,
    state: Option<StateDirs>,
    /// Why there are fewer workers than were asked for.
    lowered: Option<String>,
}

pub(super) async fn run(args: RunArgs, cx: &Context) -> Result<Exit, Failure> {
    let typed = args.server.typed();
    if !typed.is_empty() {
        return Err(Failure::usage(format!("--local uses no server: leave out{typed}")));
    }
    for dir in state_dir::all() {
        leftovers::sweep_temporary(&dir).await;
    }
    let shown = Shown::open(&args)?;
    let Made { server, pool, plan, state, lowered } = make_pool(&args, cx).await?;
    let judge = judge(&args, &pool, plan.runtime)?;
    let work = Work::prepare(&args, cx.ids.uid(), Identity::Same).await?;
    let source = work.source(&args)?;
    let hosts = docker_hosts(&args, &pool, plan.runtime)?;
    let interrupted = listen(LEFT)?;
    let runtime_dir = work.dir.runtime_dir();
    let start = Stack::start(server, plan.runtime, work.dir.run_id(), &runtime_dir, &pool.spec.credentials, hosts);
    // An engine may accept the connection and never answer.
    let Some(stack) = signals::unless(&interrupted, start).await else {
        return Err(Failure::new(Exit::Interrupted, "interrupted"));
    };
    let stack = stack?;

    let shown = shown.begin(&args, &work, &pool, plan.runtime, cx);
    if let Some(why) = lowered {
        shown.tracker.note(why);
    }
    let plan = Plan {
        place: stack.place().clone(),
        pool: pool.clone(),
        judge,
        state,
        patience: std::time::Duration::ZERO,
        start_hint: if plan.stays { STAY_HINT } else { "" },
        lease: None,
        keep_for: None,
        adopted: Adopted::default(),
    };
    let ended = work.run(&args, cx, &shown, plan, source, &interrupted).await;
    let stopped = if ended.is_err() && stack.is_broken() {
        Ok(())
    } else {
        match signals::unless(&interrupted, Box::pin(stack.end(&pool, ended.is_err(), &shown.tracker))).await {
            Some(stopped) => stopped.map_err(Failure::from),
            None => Err(Failure::new(Exit::Interrupted, LEFT)),
        }
    };
    work.clean(&shown.tracker);
    shown.finish(&args, cx, ended, stopped).await
}

/// Finds every mistake in the description of the pool, and makes it.
async fn make_pool(args: &RunArgs, cx: &Context) -> Result<Made, Failure> {
    let current_dir = std::env::current_dir().map_err(|e| Failure::usage(format!("the current directory: {e}")))?;
    let around = Surroundings { var: &|name| std::env::var(name), current_dir: &current_dir, are_here: true };
    let file = args.flags.file.as_deref().map(spec::read_file).transpose()?;
    let purpose = spec::Purpose {
        name: args.pool.as_deref(),
        namespace: standalone::NAMESPACE,
        single: args.batch.tasks.is_none(),
    };
    let mut plan = spec::plan(&args.flags, purpose, file, &around)?;
    let lowered = make_room(&mut plan)?;
    let state = args.batch.state.as_deref().map(|dir| state::of_own_pool(dir, &mut plan)).transpose()?;
    let server = Server::new(cx.clock.clone(), cx.ids.clone())?;
    let name = args.flags.file.as_ref().map(|f| f.display().to_string());
    let pool = server.create_pool(&plan.pool).await.map_err(|e| Failure::of_pool(e, &plan.pool, name.as_deref()))?;
    Ok(Made { server, pool, plan, state, lowered })
}

/// The Docker hosts that the pool uses: those of `--host`, and of the user's hosts.yaml.
fn docker_hosts(args: &RunArgs, pool: &ContainerPool, runtime: RuntimeKind) -> Result<DockerHosts, Failure> {
    if runtime != RuntimeKind::Docker {
        return Ok(DockerHosts::default());
    }
    let wrong = |error: HostsError| Failure::usage(error.to_string());
    let given = args.flags.host.iter().filter(|host| host.contains('=')).map(|host| host.parse::<HostEntry>());
    let given: Vec<HostEntry> = given.collect::<Result<_, _>>().map_err(|e| Failure::usage(format!("--host: {e}")))?;
    let entries = hosts_file::merged(hosts_file::of_user().map_err(wrong)?.into_iter().chain(given));
    let mut used: Vec<String> = pool.spec.hosts.iter().map(|host| host.name.clone()).collect();
    if used.is_empty() {
        used.push(LOCAL_HOST.to_owned());
    }
    for name in used.iter().filter(|name| *name != LOCAL_HOST) {
        if !entries.iter().any(|entry| entry.name == **name) {
            let message =
                format!("Docker host {name:?} is not known: write --host {name}=ENDPOINT, or add it to hosts.yaml");
            return Err(Failure::usage(message));
        }
    }
    // The address of a host that is not used does not matter.
    let entries = entries.into_iter().filter(|entry| used.contains(&entry.name));
    let known = entries.map(|entry| entry.resolve()).collect::<Result<_, _>>().map_err(|e| wrong(e.into()))?;
    Ok(DockerHosts { known, used })
}

/// Lowers the number of workers to what this process may have open files for, and answers why.
///
/// # Errors
/// There is room for no worker at all.
fn make_room(plan: &mut spec::PlannedPool) -> Result<Option<String>, Failure> {
    let Some(limit) = room::limit() else { return Ok(None) };
    let fitting = i64::try_from(room::fitting(limit)).unwrap_or(i64::MAX);
    let Some(max) = plan.lower_max(fitting) else { return Ok(None) };
    let needed = room::needed(max.unsigned_abs());
    let why = format!("this process may have {limit} open files, and {max} workers need {needed}");
    if fitting == 0 {
        let least = room::needed(1);
        return Err(Failure::usage(format!(
            "{why} (one needs {least}): raise the limit first, as by ulimit -n {needed}"
        )));
    }
    Ok(Some(format!("{why}: {fitting} run at a time; ulimit -n {needed} makes room for all")))
}
