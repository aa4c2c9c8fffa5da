//! `poolkeeper run`: xargs -P that knows about rate limits.
//!
//! - `args`: the flags. `render`: how progress is shown.
//! - Here: everything that can be wrong is found first, then the parts are started, the supervisor runs the tasks, and the
//!   parts are stopped.

pub mod args;
mod render;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use self::args::RunArgs;
use self::render::{Renderer, open_progress_file};
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::pool_flags::flags::Surroundings;
use super::pool_flags::spec;
use super::{output, signals};
use crate::api::dispatch::Outcome;
use crate::api::{ContainerPool, RuntimeKind};
use crate::clock::{Clock, Ids};
use crate::standalone::{self, Server, Stack, leftovers, room, state_dir};
use crate::supervisor;
use crate::supervisor::attempt::{Runner, TaskRef};
use crate::supervisor::batch::engine::{BatchOptions, Engine, TaskSource};
use crate::supervisor::batch::outdir::RunDir;
use crate::supervisor::batch::tasks::{Item, TaskFile};
use crate::supervisor::progress::Progress;
use crate::supervisor::short_rests::ShortRests;
use crate::supervisor::tracker::Tracker;

/// Id of the task of a single command.
const SINGLE: &str = "command";
/// Why a worker may not start whose command was not given.
const STAY_HINT: &str = " (with --image alone a worker runs `sleep infinity`; if the image has no sleep, name spec.command in a \
                         file: see examples/local-pool.yaml, and --file)";
/// What becomes of workers that are not waited for.
const LEFT: &str = "left at once; process workers end by themselves, containers are removed by the next run on Docker";
/// After this long a message says that standard input is read.
const STDIN_PATIENCE: Duration = Duration::from_secs(1);

impl Run for RunArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let ended = Box::pin(run(self, cx)).await;
        state_dir::tidy();
        ended
    }
}

/// Everything that is known before a part is started.
struct Prepared {
    server: Server,
    pool: ContainerPool,
    runtime: RuntimeKind,
    stays: bool,
    /// Why there are fewer workers than the pool may have.
    lowered: Option<String>,
    tasks: Option<TaskFile>,
    dir: Arc<RunDir>,
    count: Option<u64>,
    skipped: u64,
    skipped_failed: u64,
    /// Results without content, whose tasks run again.
    emptied: Vec<PathBuf>,
    stdin: Bytes,
}

async fn run(args: RunArgs, cx: &Context) -> Result<Exit, Failure> {
    if !args.local {
        return Err(Failure::usage("run works on this machine only, so far: add --local"));
    }
    for dir in state_dir::all() {
        leftovers::sweep_temporary(&dir).await;
    }
    let clock = cx.clock.clone();
    let progress_file = args.progress_file.as_deref().map(open_progress_file).transpose()?;
    let prepared = prepare(&args, clock.clone(), cx.ids.clone()).await?;
    let Prepared { server, pool, runtime, stays, lowered, tasks, dir, count, skipped, skipped_failed, emptied, stdin } =
        prepared;
    let source = source(tasks.as_ref(), &dir, &args)?;
    let interrupted = listen().map_err(|e| Failure::poolkeeper("listening for signals", e))?;
    let runtime_dir = dir.runtime_dir();
    let start = Stack::start(server, runtime, dir.run_id(), &runtime_dir, &pool.spec.credentials);
    // An engine may accept the connection and never answer.
    let Some(stack) = signals::unless(&interrupted, start).await else {
        return Err(Failure::new(Exit::Interrupted, "interrupted"));
    };
    let stack = stack?;

    let renderer = Arc::new(Renderer::new(args.progress, tasks.is_some(), pool.spec.max, progress_file));
    let tracker = Arc::new(Tracker::new(renderer.clone(), clock.clone()));
    tracker.report(&Progress::Run {
        run_id: dir.run_id().to_owned(),
        pool: pool.metadata.name.clone().unwrap_or_default(),
        runtime,
        workers: pool.spec.max,
        tasks: count,
        skipped,
        skipped_failed,
    });
    if let Some(why) = lowered {
        tracker.note(why);
    }
    for file in emptied {
        tracker.note(format!("{} is empty, as after a power loss: its task runs again", file.display()));
    }
    let runner = Runner {
        place: stack.place().clone(),
        tracker: tracker.clone(),
        clock: clock.clone(),
        exit_codes: pool.spec.rate_limit.exit_codes.clone(),
        command: args.command,
        stdin,
        live: tasks.is_none(),
        keep: dir.is_kept(),
        short_rests: ShortRests::default(),
        command_seen: false.into(),
    };
    let options = BatchOptions {
        pool: pool.clone(),
        retry_failed: args.retry_failed,
        timeout: args.timeout,
        keep: dir.is_kept(),
        start_hint: if stays { STAY_HINT } else { "" },
    };
    let ended = Engine::new(runner, options, source).run(&interrupted).await.map_err(Failure::from);
    if let Err(failure) = &ended {
        // Shown before the parts are stopped, because that may take a while.
        renderer.fail(failure, clock.now());
    }
    let stopped = if ended.is_err() && stack.is_broken() {
        Ok(())
    } else {
        match signals::unless(&interrupted, Box::pin(stack.end(&pool, ended.is_err(), &tracker))).await {
            Some(stopped) => stopped.map_err(Failure::from),
            None => Err(Failure::new(Exit::Interrupted, LEFT)),
        }
    };
    for path in leftovers::clean(&dir) {
        tracker.note(format!(
            "cannot remove {}: there are files of another user in it, as it seems: remove it by hand",
            path.display()
        ));
    }
    let summary = tracker.summary();
    renderer.finish(&summary, clock.now(), tracker.elapsed());
    match (ended, stopped) {
        // Its message is shown already.
        (Err(failure), _) => Ok(failure.exit),
        (Ok(_), Err(failure)) => Err(failure),
        (Ok(last), Ok(())) if tasks.is_none() => Ok(Exit::of_command(last)),
        (Ok(_), Ok(())) => Ok(Exit::of_batch(&summary)),
    }
}

/// Signals that stop the run. One that is ignored stays so.
fn listen() -> std::io::Result<CancellationToken> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    signals::listen(&signals::unless_ignored(&kinds), Some(LEFT))
}

/// Finds every mistake that can be found before a part is started.
async fn prepare(args: &RunArgs, clock: Arc<dyn Clock>, ids: Ids) -> Result<Prepared, Failure> {
    let current_dir = std::env::current_dir().map_err(|e| Failure::usage(format!("the current directory: {e}")))?;
    let around = Surroundings { var: &|name| std::env::var(name), current_dir: &current_dir };
    let file = args.flags.file.as_deref().map(spec::read_file).transpose()?;
    let purpose =
        spec::Purpose { name: args.pool.as_deref(), namespace: standalone::NAMESPACE, single: args.tasks.is_none() };
    let mut plan = spec::plan(&args.flags, purpose, file, &around)?;
    let lowered = make_room(&mut plan)?;
    let run_id = ids.uid();
    let server = Server::new(clock, ids)?;
    let name = args.flags.file.as_ref().map(|f| f.display().to_string());
    let pool = server.create_pool(&plan.pool).await.map_err(|e| Failure::of_pool(e, &plan.pool, name.as_deref()))?;

    let tasks = args.tasks.as_deref().map(|path| TaskFile::open(path, args.jsonl)).transpose()?;
    let mut count = tasks.as_ref().map(|tasks| tasks.check(|_| Ok(()))).transpose()?;
    let dir = match &args.out {
        Some(out) => RunDir::open(out, args.resume, run_id, &args.command)?,
        None => RunDir::temporary(&state_dir::for_runs(), run_id)?,
    };
    let (mut skipped, mut skipped_failed, mut emptied) = (0, 0, Vec::new());
    if let Some(tasks) = tasks.as_ref().filter(|_| args.resume) {
        tasks.check(|item| {
            let done = dir.done(item, &args.command)?;
            skipped += u64::from(done.is_some());
            skipped_failed += u64::from(done.is_some_and(|outcome| outcome != Outcome::Succeeded));
            emptied.extend(dir.emptied_result(item).filter(|_| done.is_none()));
            Ok(())
        })?;
        count = count.map(|n| n - skipped);
    }
    let stdin = if tasks.is_none() { read_stdin().await? } else { Bytes::new() };
    Ok(Prepared {
        server,
        pool,
        runtime: plan.runtime,
        stays: plan.stays,
        lowered,
        tasks,
        dir: Arc::new(dir),
        count,
        skipped,
        skipped_failed,
        emptied,
        stdin,
    })
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

/// All of standard input, for a single command, because each attempt needs all of it. A terminal is not read.
async fn read_stdin() -> Result<Bytes, Failure> {
    if std::io::stdin().is_terminal() {
        return Ok(Bytes::new());
    }
    let mut read = tokio::task::spawn_blocking(|| {
        let mut all = Vec::new();
        // A closed standard input, or a directory, counts as empty.
        let _ = std::io::stdin().lock().read_to_end(&mut all);
        all
    });
    let all = match tokio::time::timeout(STDIN_PATIENCE, &mut read).await {
        Ok(all) => all,
        Err(_) => {
            output::say("reading standard input to its end (</dev/null for none)");
            read.await
        }
    };
    all.map(Bytes::from).map_err(|e| Failure::poolkeeper("reading standard input", e))
}

/// The tasks to run: those of the file that are not done yet, or the one command.
fn source(tasks: Option<&TaskFile>, dir: &Arc<RunDir>, args: &RunArgs) -> Result<TaskSource, supervisor::Error> {
    let Some(tasks) = tasks else {
        let kept = dir.is_kept().then(|| dir.task_dir(SINGLE));
        return Ok(Box::new(std::iter::once(Ok(TaskRef { id: SINGLE.to_owned(), line: 0, text: None, dir: kept }))));
    };
    let (dir, command) = (dir.clone(), args.command.clone());
    let items = tasks.items()?;
    Ok(Box::new(items.filter_map(move |item| todo(item, &dir, &command).transpose())))
}

fn todo(
    item: Result<Item, supervisor::Error>,
    dir: &RunDir,
    command: &[String],
) -> Result<Option<TaskRef>, supervisor::Error> {
    let item = item?;
    if dir.done(&item, command)?.is_some() {
        return Ok(None);
    }
    let task_dir = dir.task_dir(&item.id);
    Ok(Some(TaskRef { id: item.id, line: item.line, text: Some(item.text), dir: Some(task_dir) }))
}
