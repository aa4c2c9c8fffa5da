//! `poolkeeper run`: xargs -P that knows about rate limits.
//!
//! - `args`, `spec`: what is asked for; flags and a file become a ContainerPool.
//! - `tasks`, `ids`: the task file, and names for what is in it.
//! - `outdir`, `result`: the run directory, and how each task ended.
//! - `stack`: the API, the controller and the runtime, in this process.
//! - `engine`, `attempt`: Dispatches in flight, and one execution.
//! - `event`, `progress`, `bars`, `summary`: telling what happens.

pub mod args;
mod attempt;
mod bars;
mod engine;
mod event;
mod flags;
mod ids;
mod outdir;
mod progress;
mod refusal;
mod result;
mod spec;
mod stack;
mod summary;
mod tasks;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kube::Api;
use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use self::args::RunArgs;
use self::attempt::{Job, TaskRef};
use self::engine::{Engine, Last, Source};
use self::event::Event;
use self::outdir::RunDir;
use self::progress::Progress;
use self::stack::{Server, Stack};
use self::tasks::{Item, TaskFile};
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::{output, signals};
use crate::api::dispatch::Outcome;
use crate::api::{ContainerPool, RuntimeKind};
use crate::clock::{Clock, Ids};
use crate::runtime::process;

/// Id of the task of a single command.
const SINGLE: &str = "command";
/// Why a worker may not start that nobody gave a command.
const STAY_HINT: &str = " (with --image alone a worker runs `sleep infinity`; if the image has no sleep, name spec.command in a \
                         file: see examples/local-pool.yaml, and --file)";
/// What becomes of workers that were not waited for.
const LEFT: &str = "left at once; process workers end by themselves, containers are removed by the next run on Docker";
/// After this long it is said that standard input is waited for.
const STDIN_PATIENCE: Duration = Duration::from_secs(1);

impl Run for RunArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        run(self, cx).await
    }
}

/// All that is known before anything is started.
struct Prepared {
    server: Server,
    pool: ContainerPool,
    runtime: RuntimeKind,
    stays: bool,
    tasks: Option<TaskFile>,
    dir: Arc<RunDir>,
    count: Option<u64>,
    skipped: u64,
    /// Results without content, whose tasks run again.
    emptied: Vec<PathBuf>,
    stdin: Bytes,
}

async fn run(args: RunArgs, cx: &Context) -> Result<Exit, Failure> {
    if !args.local {
        return Err(Failure::usage("run works on this machine only, so far: add --local"));
    }
    // Each worker takes some. Without them, fewer go.
    let _ = process::raise_open_files();
    outdir::sweep_temporary(&std::env::temp_dir()).await;
    let clock = cx.clock.clone();
    let prepared = prepare(&args, clock.clone(), cx.ids.clone()).await?;
    let Prepared { server, pool, runtime, stays, tasks, dir, count, skipped, emptied, stdin } = prepared;
    let source = source(tasks.as_ref(), &dir, &args)?;
    let interrupted = listen().map_err(|e| Failure::poolkeeper("listening for signals", e))?;
    let mut stack = Stack::start(server, runtime, &dir).await?;

    let progress = Arc::new(Progress::new(args.progress, tasks.is_some(), pool.spec.max, clock.clone()));
    progress.tell(&Event::Run {
        run_id: dir.run_id().to_owned(),
        pool: pool.metadata.name.clone().unwrap_or_default(),
        runtime,
        workers: pool.spec.max,
        tasks: count,
        skipped,
    });
    for file in emptied {
        progress.note(format!("{} is empty, as after a power loss: its task runs again", file.display()));
    }
    let job = Job {
        dispatches: Api::namespaced(stack.client.clone(), stack::NAMESPACE),
        workers: Api::namespaced(stack.client.clone(), stack::NAMESPACE),
        executor: stack.executor.clone(),
        progress: progress.clone(),
        clock,
        exit_codes: pool.spec.rate_limit.exit_codes.clone(),
        command: args.command,
        stdin,
        live: tasks.is_none(),
        keep: dir.is_kept(),
    };
    let plan = engine::Plan {
        pool: pool.clone(),
        retry_failed: args.retry_failed,
        timeout: args.timeout,
        keep: dir.is_kept(),
        start_hint: if stays { STAY_HINT } else { "" },
    };
    let client = stack.client.clone();
    let ended = Engine::new(job, plan, source).run(&client, &interrupted, stack.broken()).await;
    if let Err(failure) = &ended {
        // Said before what is started is stopped: that may take a while.
        progress.fail(failure);
    }
    let stopped = match &ended {
        Err(failure) if stack.is_broken() => Err(failure.clone()),
        _ => match signals::unless(&interrupted, Box::pin(stack.end(&pool, ended.is_err(), &progress))).await {
            Some(stopped) => stopped.map_err(|e| Failure::poolkeeper("stopping", format!("{e:#}"))),
            None => Err(Failure::new(Exit::Interrupted, LEFT)),
        },
    };
    for path in dir.clean() {
        progress.note(format!(
            "cannot remove {}: there are files of another user in it, as it seems: remove it by hand",
            path.display()
        ));
    }
    progress.finish();
    match (ended, stopped) {
        (Err(failure), _) => Ok(failure.exit),
        (Ok(_), Err(failure)) => Err(failure),
        (Ok(last), Ok(())) if tasks.is_none() => Ok(single_exit(last)),
        (Ok(_), Ok(())) => Ok(progress.summary(|s| s.exit())),
    }
}

/// Signals that stop the run. One that is ignored stays so.
fn listen() -> std::io::Result<CancellationToken> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    signals::listen(&signals::unless_ignored(&kinds), Some(LEFT))
}

/// Finds every mistake that can be found before anything is started.
async fn prepare(args: &RunArgs, clock: Arc<dyn Clock>, ids: Ids) -> Result<Prepared, Failure> {
    let current_dir = std::env::current_dir().map_err(|e| Failure::usage(format!("the current directory: {e}")))?;
    let around = flags::Surroundings { var: &|name| std::env::var(name).ok(), current_dir: &current_dir };
    let file = args.file.as_deref().map(spec::read_file).transpose()?;
    let plan = spec::plan(args, file, &around)?;
    let run_id = ids.uid();
    let server = Server::new(clock, ids)?;
    let name = args.file.as_ref().map(|f| f.display().to_string());
    let pool = server.create_pool(&plan, name.as_deref()).await?;

    let tasks = args.tasks.as_deref().map(|path| TaskFile::open(path, args.jsonl)).transpose()?;
    let mut count = tasks.as_ref().map(|tasks| tasks.check(|_| Ok(()))).transpose()?;
    let dir = match &args.out {
        Some(out) => RunDir::open(out, args.resume, run_id, &args.command)?,
        None => RunDir::temporary(run_id)?,
    };
    let (mut skipped, mut emptied) = (0, Vec::new());
    if let Some(tasks) = tasks.as_ref().filter(|_| args.resume) {
        tasks.check(|item| {
            let done = dir.is_done(item, &args.command)?;
            skipped += u64::from(done);
            emptied.extend(dir.emptied_result(item).filter(|_| !done));
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
        tasks,
        dir: Arc::new(dir),
        count,
        skipped,
        emptied,
        stdin,
    })
}

/// Standard input for a single command, unless it is a terminal: whole, since each attempt needs all of it.
async fn read_stdin() -> Result<Bytes, Failure> {
    if std::io::stdin().is_terminal() {
        return Ok(Bytes::new());
    }
    let mut read = tokio::task::spawn_blocking(|| {
        let mut all = Vec::new();
        // One that is closed, or a directory, is an empty one.
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

/// The tasks to be run: those of the file that are not done yet, or the one command.
fn source(tasks: Option<&TaskFile>, dir: &Arc<RunDir>, args: &RunArgs) -> Result<Source, Failure> {
    let Some(tasks) = tasks else {
        let kept = dir.is_kept().then(|| dir.task_dir(SINGLE));
        return Ok(Box::new(std::iter::once(Ok(TaskRef { id: SINGLE.to_owned(), line: 0, text: None, dir: kept }))));
    };
    let (dir, command) = (dir.clone(), args.command.clone());
    let items = tasks.items()?;
    Ok(Box::new(items.filter_map(move |item| todo(item, &dir, &command).transpose())))
}

fn todo(item: Result<Item, Failure>, dir: &RunDir, command: &[String]) -> Result<Option<TaskRef>, Failure> {
    let item = item?;
    if dir.is_done(&item, command)? {
        return Ok(None);
    }
    let task_dir = dir.task_dir(&item.id);
    Ok(Some(TaskRef { id: item.id, line: item.line, text: Some(item.text), dir: Some(task_dir) }))
}

/// Exit code of a single command. What its result file says goes before its own code.
fn single_exit(last: Option<Last>) -> Exit {
    let Some(last) = last else { return Exit::Poolkeeper };
    let own = last.exit_code.map_or(1, |code| u8::try_from(code.clamp(1, 255)).unwrap_or(1));
    match last.outcome {
        Outcome::Succeeded => Exit::Success,
        Outcome::TimedOut => Exit::TimedOut,
        _ if last.timed_out => Exit::TimedOut,
        Outcome::Failed | Outcome::RateLimited | Outcome::Unauthorized => Exit::Command(own),
        _ => Exit::Poolkeeper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_command_ends_as_its_command_did() {
        let exit = |outcome, exit_code, timed_out| single_exit(Some(Last { outcome, exit_code, timed_out })).code();
        assert_eq!(exit(Outcome::Succeeded, Some(0), false), 0);
        assert_eq!(exit(Outcome::Succeeded, Some(3), false), 0);
        assert_eq!(exit(Outcome::Failed, Some(137), false), 137);
        assert_eq!(exit(Outcome::Failed, Some(0), false), 1);
        assert_eq!(exit(Outcome::RateLimited, Some(75), true), 124);
        assert_eq!(exit(Outcome::TimedOut, None, false), 124);
        assert_eq!(exit(Outcome::WorkerLost, None, false), 125);
        assert_eq!(single_exit(None), Exit::Poolkeeper);
    }
}
