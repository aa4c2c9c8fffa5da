//! A command in a container, by the engine's exec.
//!
//! The engine cannot end an exec. So its processes have a mark in their environment, by which a second exec finds and kills
//! them. Where the image has no shell for that, it stays unknown whether the command still runs, and the message says so.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::io::AsyncWriteExt;

use super::command::{Command, Stop, passed_on};
use super::failure::{Problem, Why};
use crate::api::dispatch::Target;
use crate::cli::exit::{Exit, Failure};
use crate::cli::local::server::home;
use crate::cli::output;
use crate::clock::Ids;
use crate::runtime::docker::{DockerExecutor, ReachError};
use crate::runtime::exec::{ExecError, Executor, Output, Running, Task, TaskEnd};
use crate::standalone::resident::hosts;

/// The variable that marks the processes of one command.
const MARK: &str = "POOLKEEPER_EXEC";
/// How engines say that there is no such container.
const NO_CONTAINER: &str = "No such container";
/// How long the command may take to end after SIGTERM, and then after SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// Sends signal $2 to every process whose environment has the mark $1.
const KILL: &str = r#"for dir in /proc/[0-9]*; do
  grep -q "POOLKEEPER_EXEC=$1" "$dir/environ" 2>/dev/null && kill -s "$2" "${dir#/proc/}" 2>/dev/null
done; exit 0"#;

/// What runs a command in this container.
pub(in crate::cli) fn executor(target: &Target) -> Result<DockerExecutor, Problem> {
    let known = hosts::known(home().ok().as_ref()).map_err(Failure::from)?;
    DockerExecutor::reaching(target, &known).map_err(|error| match error {
        ReachError::Unknown { .. } => Failure::new(Exit::NotFound, error.to_string()).into(),
        ReachError::Endpoint(_) => Problem::new(Why::Unreachable, error.to_string()),
    })
}

pub(super) async fn exec(target: &Target, command: Command) -> Result<Exit, Problem> {
    if command.tty {
        return on_a_terminal(target, command);
    }
    let (stop, executor) = (Stop::listen()?, executor(target)?);
    let mark = Ids::random().uid();
    let mut env = command.environment();
    env.push((MARK.to_owned(), mark.clone()));
    let task = Task { argv: command.argv, env, working_dir: command.workdir, ..Task::default() };
    let running = if command.input {
        executor.exec_with(target, task, Box::pin(tokio::io::stdin())).await
    } else {
        executor.exec(target, task).await
    };
    let Running { mut output, mut end } = running.map_err(|error| match error {
        // The container was there: the task may have run in it, and have ended with it.
        ExecError::Worker(why) if why.contains(NO_CONTAINER) => Problem::new(Why::Lost, why),
        other => other.into(),
    })?;
    let (mut out, mut err) = output::live();
    let stopped = loop {
        let piece = tokio::select! {
            biased;
            () = stop.wait() => break Exit::Interrupted,
            piece = output.next() => piece,
        };
        let written = match piece {
            Some(Output::Stdout(data)) => pass_on(&mut out, &data).await,
            Some(Output::Stderr(data)) => pass_on(&mut err, &data).await,
            None => return how(end.await),
        };
        if written.is_err() {
            break Exit::OutputClosed;
        }
    };
    // Its end is only known once its output was read.
    let drained = tokio::spawn(async move { while output.next().await.is_some() {} });
    let ended = kill(&executor, target, &mark, &mut end).await;
    drained.abort();
    match ended {
        Some(TaskEnd::Exited(_)) => Ok(stopped),
        Some(TaskEnd::Lost(why)) => Err(Problem::new(Why::Lost, why)),
        None => {
            let message =
                "the command could not be ended, and may still run in the worker: report Lost, or cancel the task";
            Err(Problem::new(Why::Lost, message))
        }
    }
}

fn how(end: TaskEnd) -> Result<Exit, Problem> {
    match end {
        TaskEnd::Exited(code) => Ok(passed_on(code)),
        TaskEnd::Lost(why) => Err(Problem::new(Why::Lost, why)),
    }
}

/// Ends the command, and waits until it has ended. None: it did not.
async fn kill(
    executor: &DockerExecutor,
    target: &Target,
    mark: &str,
    end: &mut BoxFuture<'static, TaskEnd>,
) -> Option<TaskEnd> {
    for signal in ["TERM", "KILL"] {
        let argv = ["sh", "-c", KILL, "sh", mark, signal].map(str::to_owned).to_vec();
        let killing = async {
            if let Ok(Running { mut output, end }) = executor.exec(target, Task { argv, ..Task::default() }).await {
                while output.next().await.is_some() {}
                end.await;
            }
        };
        let ended = tokio::time::timeout(GRACE, async {
            killing.await;
            end.as_mut().await
        });
        if let Ok(ended) = ended.await {
            return Some(ended);
        }
    }
    None
}

async fn pass_on(to: &mut (impl AsyncWriteExt + Unpin), data: &[u8]) -> std::io::Result<()> {
    to.write_all(data).await?;
    to.flush().await
}

/// Becomes `docker exec -t`: terminals, their sizes and their keys are what that program is for.
fn on_a_terminal(target: &Target, command: Command) -> Result<Exit, Problem> {
    if !output::is_stdout_a_terminal() {
        return Err(Problem::new(Why::Usage, "-t: standard output is no terminal; leave it out"));
    }
    let options = executor(target)?.docker_options(target)?;
    let mut docker = std::process::Command::new("docker");
    docker.args(options).args(["exec", "-t"]);
    docker.args(command.input.then_some("-i"));
    for (name, value) in command.environment() {
        docker.arg("-e").arg(format!("{name}={value}"));
    }
    docker.args(command.workdir.iter().flat_map(|dir| ["-w", dir.as_str()])).arg(&target.id).args(command.argv);
    let error = docker.exec();
    Err(Problem::new(Why::Unreachable, format!("docker: {error}")))
}
