//! What a run has to do, how it is shown, and the doing: the same whichever server the workers are on.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use super::args::RunArgs;
use super::render::{Extra, Hook, Renderer, open_progress_file};
use super::report::Report;
use crate::api::dispatch::Outcome;
use crate::api::{ContainerPool, RuntimeKind};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, signals};
use crate::standalone::{leftovers, state_dir};
use crate::supervisor::attempt::{Runner, TaskRef};
use crate::supervisor::batch::attempts;
use crate::supervisor::batch::engine::{BatchOptions, Engine, Last};
use crate::supervisor::batch::former::Adopted;
use crate::supervisor::batch::outdir::{self, Identity, RunDir};
use crate::supervisor::batch::source::TaskSource;
use crate::supervisor::batch::state_dirs::StateDirs;
use crate::supervisor::batch::tasks::{Item, TaskFile};
use crate::supervisor::outcome::{Judge, Recogniser, presets};
use crate::supervisor::patience::Patience;
use crate::supervisor::progress::Progress;
use crate::supervisor::short_rests::ShortRests;
use crate::supervisor::spent::Spent;
use crate::supervisor::tracker::Tracker;
use crate::supervisor::{self, Place};

/// Id of the task of a single command.
const SINGLE: &str = "command";
/// After this long a message says that standard input is read.
const STDIN_PATIENCE: Duration = Duration::from_secs(1);

/// What a run has to do. Every mistake in it that can be found before anything starts was found.
pub(super) struct Work {
    pub tasks: Option<TaskFile>,
    pub dir: Arc<RunDir>,
    count: Option<u64>,
    skipped: u64,
    skipped_failed: u64,
    /// Results without content, whose tasks run again.
    emptied: Vec<PathBuf>,
    /// What attempts of earlier runs cost.
    spent_before: Spent,
    stdin: Bytes,
}

/// Where the work is done, and how.
pub(super) struct Plan {
    pub place: Place,
    pub pool: ContainerPool,
    pub judge: Judge,
    pub state: Option<StateDirs>,
    pub patience: Duration,
    pub start_hint: &'static str,
    pub lease: Option<String>,
    pub keep_for: Option<Duration>,
    pub adopted: Adopted,
}

/// What the end of a command means: by the pool, and by the presets that a flag names.
///
/// # Errors
/// A pattern of the pool cannot be used, or costs are to be limited and no preset reads them.
pub(super) fn judge(args: &RunArgs, pool: &ContainerPool, runtime: RuntimeKind) -> Result<Judge, Failure> {
    let mut spec = pool.spec.clone();
    spec.rate_limit.patterns.extend(args.flags.preset.iter().cloned());
    let judge = Judge::of_pool(&spec, runtime);
    let judge = judge.map_err(|bad| Failure::usage(format!("spec.rateLimit.patterns: {bad}")))?;
    if args.batch.max_cost.is_some() && !judge.recogniser.reads_cost() {
        let reads = |name: &&str| Recogniser::of([*name]).is_ok_and(|recogniser| recogniser.reads_cost());
        let names: Vec<&str> = presets::names().filter(reads).collect();
        return Err(Failure::usage(format!(
            "--max-cost: no preset of this run reads what its program costs: add --preset with one of {}",
            names.join(", ")
        )));
    }
    Ok(judge)
}

impl Work {
    /// Reads the tasks and takes the directory, for this run or one that it goes on with.
    pub(super) async fn prepare(args: &RunArgs, run_id: String, identity: Identity) -> Result<Self, Failure> {
        let tasks = args
            .batch
            .tasks
            .as_deref()
            .map(|path| TaskFile::open(path, args.batch.form(), args.batch.resume))
            .transpose()?;
        let there = tasks.as_ref().filter(|tasks| !tasks.comes());
        let mut count = there.map(|tasks| tasks.check(|_| Ok(()))).transpose()?;
        let dir = match &args.batch.out {
            Some(out) => RunDir::open(out, args.batch.resume, run_id, identity, &args.command)?,
            None => RunDir::temporary(&state_dir::for_runs(), run_id)?,
        };
        let (mut skipped, mut skipped_failed, mut emptied) = (0, 0, Vec::new());
        let mut spent_before = Spent::default();
        if let Some(tasks) = tasks.as_ref().filter(|_| args.batch.resume) {
            tasks.check(|item| {
                let done = done(item, &dir, args)?;
                spent_before = spent_before.plus(attempts::spent(&dir.task_dir(&item.id)));
                skipped += u64::from(done.is_some());
                skipped_failed += u64::from(done.is_some_and(|outcome| outcome != Outcome::Succeeded));
                emptied.extend(dir.emptied_result(item).filter(|_| done.is_none()));
                Ok(())
            })?;
            count = count.map(|n| n - skipped);
        }
        let stdin = if tasks.is_none() { read_stdin().await? } else { Bytes::new() };
        Ok(Self { tasks, dir: Arc::new(dir), count, skipped, skipped_failed, emptied, spent_before, stdin })
    }

    /// Runs all of it. Answers how the last task ended.
    pub(super) async fn run(
        &self,
        args: &RunArgs,
        cx: &Context,
        shown: &Shown,
        plan: Plan,
        source: TaskSource,
        interrupted: &CancellationToken,
    ) -> Result<Option<Last>, Failure> {
        let keep = self.dir.is_persistent();
        let runner = Runner {
            place: plan.place,
            patience: Patience::new(plan.patience, cx.clock.clone(), shown.tracker.clone()),
            tracker: shown.tracker.clone(),
            clock: cx.clock.clone(),
            judge: plan.judge,
            silence: args.batch.silence,
            state: plan.state,
            command: args.command.clone(),
            stdin: self.stdin.clone(),
            live: self.tasks.is_none(),
            keep,
            keep_for: plan.keep_for,
            short_rests: ShortRests::default(),
            command_seen: false.into(),
        };
        let options = BatchOptions {
            pool: plan.pool,
            retry_failed: args.batch.retry_failed,
            backoff: args.batch.backoff,
            max_cost: args.batch.max_cost,
            spent_before: self.spent_before.cost_usd,
            timeout: args.batch.timeout,
            keep,
            start_hint: plan.start_hint,
            run: self.dir.run(),
            lease: plan.lease,
            adopted: plan.adopted,
        };
        let ended = Engine::new(runner, options, source).run(interrupted).await.map_err(Failure::from);
        if let Err(failure) = &ended {
            // Shown before the parts are stopped, because that may take a while.
            shown.renderer.fail(failure, cx.clock.now());
        }
        ended
    }

    /// Removes what only a living run needs.
    pub(super) fn clean(&self, tracker: &Tracker) {
        for path in leftovers::clean(&self.dir) {
            tracker.note(format!(
                "cannot remove {}: there are files of another user in it, as it seems: remove it by hand",
                path.display()
            ));
        }
    }

    /// The tasks to run: those of the file that are not done yet, or the one command.
    pub(super) fn source(&self, args: &RunArgs) -> Result<TaskSource, supervisor::Error> {
        let Some(tasks) = &self.tasks else {
            let dir = self.dir.is_persistent().then(|| self.dir.task_dir(SINGLE));
            return Ok(TaskSource::There(Box::new(std::iter::once(Ok(TaskRef {
                id: SINGLE.to_owned(),
                line: 0,
                text: None,
                dir,
                earlier: 0,
                priority: 0,
            })))));
        };
        if tasks.comes() {
            // Its reader may outlive the run, whose directory must not.
            let dirs = self.dir.task_dirs();
            let coming = tasks.items()?.map(move |item| item.map(|item| task(item, &dirs, 0)));
            return Ok(TaskSource::coming(coming, tasks.is_empty()));
        }
        let (dir, args) = (self.dir.clone(), args.clone());
        let items = tasks.items()?.filter_map(move |item| todo(item, &dir, &args).transpose());
        Ok(TaskSource::There(Box::new(items)))
    }
}

/// Where progress goes before the run begins.
pub(super) struct Opened(Extra);

/// Shows the run.
pub(super) struct Shown {
    renderer: Arc<Renderer>,
    pub tracker: Arc<Tracker>,
    report: Option<Report>,
}

impl Shown {
    /// Opens the file of `--progress-file`, and reads what `--on` says.
    pub(super) fn open(args: &RunArgs) -> Result<Opened, Failure> {
        let file = args.progress_file.as_deref().map(open_progress_file).transpose()?;
        Ok(Opened(Extra { files: file.into_iter().collect(), hooks: Hook::all(&args.on)? }))
    }

    /// How it ended, after all was stopped.
    pub(super) async fn finish(
        &self,
        args: &RunArgs,
        cx: &Context,
        ended: Result<Option<Last>, Failure>,
        stopped: Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        let summary = self.tracker.summary();
        self.renderer.finish(&summary, cx.clock.now(), self.tracker.elapsed());
        if let Some(report) = &self.report {
            match report.write().await {
                Ok(path) => self.renderer.show_report(&path),
                Err(error) => output::say(&format!("the page of the run cannot be written: {error}")),
            }
        }
        match (ended, stopped) {
            // Its message is shown already.
            (Err(failure), _) => Ok(failure.exit),
            (Ok(_), Err(failure)) => Err(failure),
            (Ok(last), Ok(())) if args.batch.tasks.is_none() => Ok(Exit::of_command(last)),
            (Ok(_), Ok(())) => Ok(Exit::of_batch(&summary)),
        }
    }
}

impl Opened {
    /// The run begins.
    pub(super) fn begin(
        mut self,
        args: &RunArgs,
        work: &Work,
        pool: &ContainerPool,
        runtime: RuntimeKind,
        cx: &Context,
    ) -> Shown {
        // A command of a pool of a server gets its credentials from there.
        let credentials = if args.local { pool.spec.credentials.as_slice() } else { &[] };
        let mut report = Report::of(&work.dir, args.batch.report, credentials);
        let steps = report.as_ref().map(|_| work.dir.record_steps()).transpose();
        let refused = match steps {
            Ok(file) => {
                self.0.files.extend(file);
                None
            }
            Err(error) => {
                report = None;
                Some(format!("the run leaves no page: {}: {error}", outdir::steps(work.dir.path()).display()))
            }
        };
        let renderer = Arc::new(Renderer::new(args.progress, work.tasks.is_some(), pool.spec.max, self.0));
        let tracker = Arc::new(Tracker::new(renderer.clone(), cx.clock.clone()));
        let more_come = work.tasks.as_ref().is_some_and(TaskFile::comes);
        tracker.report(&Progress::Run {
            run_id: work.dir.run_id().to_owned(),
            pool: pool.metadata.name.clone().unwrap_or_default(),
            runtime,
            scope: pool.spec.rate_limit.scope,
            workers: pool.spec.max,
            tasks: if more_come { Some(0) } else { work.count },
            more_come,
            skipped: work.skipped,
            skipped_failed: work.skipped_failed,
            spent_before: work.spent_before,
        });
        for file in &work.emptied {
            tracker.note(format!("{} is empty, as after a power loss: its task runs again", file.display()));
        }
        if let Some(why) = refused {
            tracker.note(why);
        }
        Shown { renderer, tracker, report }
    }
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

/// How an earlier run finished a task that is not to run again.
fn done(item: &Item, dir: &RunDir, args: &RunArgs) -> Result<Option<Outcome>, supervisor::Error> {
    let done = dir.done(item, &args.command)?;
    Ok(done.filter(|outcome| !args.batch.failed || *outcome == Outcome::Succeeded))
}

fn todo(
    item: Result<Item, supervisor::Error>,
    dir: &RunDir,
    args: &RunArgs,
) -> Result<Option<TaskRef>, supervisor::Error> {
    let item = item?;
    if done(&item, dir, args)?.is_some() {
        return Ok(None);
    }
    let earlier = if dir.is_resumed() { attempts::newest(&dir.task_dir(&item.id)) } else { 0 };
    Ok(Some(task(item, dir.task_dirs(), earlier)))
}

fn task(item: Item, dirs: impl Fn(&str) -> PathBuf, earlier: i32) -> TaskRef {
    let dir = Some(dirs(&item.id));
    TaskRef { id: item.id, line: item.line, text: Some(item.text), dir, earlier, priority: item.priority }
}

/// Signals that stop the run. One that is ignored stays so. `left` is said when a second one ends it at once.
pub(super) fn listen(left: &'static str) -> Result<CancellationToken, Failure> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let listening = signals::listen(&signals::unless_ignored(&kinds), Some(left));
    listening.map_err(|e| Failure::poolkeeper("listening for signals", e))
}
