//! `poolkeeper exec`: runs a command in the worker of a task, or in a worker.
//!
//! - `command`: what runs, and the signals that end it. `find`: the worker, and whether the caller may run something in it. `docker`, `pod`: how a command runs there;
//!   of runtime Process that is `runtime/process/exec_client.rs`. `failure`: every way in which it did not run, or was lost.
//! - Here: the flags, and the exit code.
//!
//! `exec --socket` is the argv of Process targets. It asks no server, and starts no thread.

mod command;
pub mod docker;
pub mod failure;
pub mod find;
mod pod;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::command::{Command, Stop, passed_on};
use self::failure::{Problem, Why};
use self::find::{Found, Wanted};
use super::dispatches::identity::AttemptArgs;
use super::exit::Exit;
use super::server::ServerArgs;
use crate::api::{Period, RuntimeKind};
use crate::runtime;
use crate::runtime::pod::PodExecutor;
use crate::runtime::process::exec_client::{self, Ended};
use crate::runtime::process::protocol::ExecRequest;

/// Run a command in the worker of a task
///
/// The task's attempt must be open. Which attempt that is comes from --uid and --attempt, or from what `acquire -o env`
/// exported. The exit code is that of the command; 126 and 127 if it cannot be run there. Of every failure of Poolkeeper itself
/// it is 125: then it may not be known whether the command still runs, and `poolkeeper report --exit-code 125` reports that. A
/// signal ends the command in the worker.
#[derive(Args, Debug)]
#[command(
    override_usage = "poolkeeper exec [OPTIONS] NAME|task/NAME|worker/NAME -- CMD...\n       \
                      poolkeeper exec --socket PATH [OPTIONS] -- CMD...\n       \
                      poolkeeper exec --host NAME --container ID [OPTIONS] -- CMD...",
    after_help = "Examples:\n  poolkeeper exec \"$POOLKEEPER_TASK_ID\" -- make test\n  \
                  echo text | poolkeeper exec job-1 -i -e LANG=C -- wc -w\n  poolkeeper exec worker/agents-0 -- ps"
)]
pub struct ExecArgs {
    /// The task, or the worker to look into. A name alone is a task
    #[arg(value_name = "NAME")]
    target: Option<String>,
    /// Socket of a Process worker: `target.id` of the Dispatch
    #[arg(long, value_name = "PATH", conflicts_with_all = ["target", "tty", "anyway", "uid", "attempt"])]
    socket: Option<PathBuf>,
    /// Docker host of a container, as hosts.yaml here names it: part of `target.argv` of a Dispatch
    #[arg(long, value_name = "NAME", requires = "container", conflicts_with_all = ["target", "socket", "anyway", "uid", "attempt"])]
    host: Option<String>,
    /// Container on that host
    #[arg(long, value_name = "ID", requires = "host")]
    container: Option<String>,
    /// Pass standard input on; with --socket and --container always
    #[arg(short = 'i', long = "stdin")]
    input: bool,
    /// Give the command a terminal; with runtime Docker only
    #[arg(short, long)]
    tty: bool,
    /// Set a variable for the command; in Pods with the helper only
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// Working directory of the command; in Pods with the helper only
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// With worker/NAME: also while the worker has a task
    #[arg(long)]
    anyway: bool,
    #[command(flatten)]
    attempt: AttemptArgs,
    /// How long to look for the worker while the server is away. What runs already does not need the server
    #[arg(long, value_name = "TIME", default_value = "5m")]
    patience: Period,
    #[command(flatten)]
    server: ServerArgs,
    /// The command and its arguments, found and run in the worker. No shell is involved
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

impl ExecArgs {
    /// Runs it. To be called outside of any async runtime.
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return Problem::new(Why::Failed, error.to_string()).say().into(),
        };
        let ended = runtime.block_on(Box::pin(self.exec()));
        // A thread may sit in a read of standard input that never returns.
        runtime.shutdown_background();
        ExitCode::from(ended.unwrap_or_else(|problem| problem.say()))
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            name: self.target.as_deref(),
            attempt: &self.attempt,
            anyway: self.anyway,
            patience: self.patience,
            server: &self.server,
        }
    }

    async fn exec(self) -> Result<Exit, Problem> {
        if let Some(socket) = &self.socket {
            let request =
                ExecRequest { argv: self.command, env: self.env, working_dir: self.workdir, ..ExecRequest::default() };
            return in_process(socket, &request, true).await;
        }
        if let (Some(host), Some(container)) = (&self.host, &self.container) {
            let target = runtime::docker::named(host, container);
            let (of_attempt, input) = (Vec::new(), true);
            let Self { command: argv, env, workdir, tty, .. } = self;
            return docker::exec(&target, Command { argv, of_attempt, env, workdir, input, tty }).await;
        }
        let Found { target, of_attempt, kubectl, client } = find::find(&self.wanted()).await?;
        let Self { command: argv, env, workdir, input, tty, .. } = self;
        let command = Command { argv, of_attempt, env, workdir, input, tty };
        match target.runtime {
            RuntimeKind::Process if command.tty => {
                Err(Problem::new(Why::Usage, "-t: workers of runtime Process have no terminal; leave it out"))
            }
            RuntimeKind::Process => {
                let input = command.input;
                in_process(target.id.as_ref(), &command.request(), input).await
            }
            RuntimeKind::Docker => docker::exec(&target, command).await,
            RuntimeKind::Pod => {
                let executor = PodExecutor::new(client);
                match executor.has_helper(&target).await? {
                    true => {
                        let (stop, input) = (Stop::listen()?, command.input);
                        let (session, _exec) = executor.start(&target, &command.request()).await?;
                        exit_of(exec_client::drive(session, input, stop.wait()).await)
                    }
                    false => pod::exec(&target, &kubectl, command).await,
                }
            }
        }
    }
}

async fn in_process(socket: &std::path::Path, request: &ExecRequest, input: bool) -> Result<Exit, Problem> {
    let stop = Stop::listen()?;
    exit_of(exec_client::run(socket, request, input, stop.wait()).await?)
}

/// The exit code of a command that a shim, or the helper in a Pod, ran.
fn exit_of(ended: Ended) -> Result<Exit, Problem> {
    match ended {
        Ended::Exited(code) => Ok(passed_on(code)),
        Ended::Stopped => Ok(Exit::Interrupted),
        Ended::NoOutput { reader_gone: true, .. } => Ok(Exit::OutputClosed),
        Ended::NoOutput { message, .. } => {
            Err(Problem::new(Why::Failed, format!("cannot pass on the output, so the command was ended: {message}")))
        }
        Ended::Lost(message) => Err(Problem::new(Why::Lost, message)),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
