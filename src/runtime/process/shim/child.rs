//! Starting programs in a worker.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::oneshot;

use super::reaper::{self, Reaper};
use super::tail::Tail;
use crate::runtime::process::procfs::{self, ProcessId, Stat};
use crate::runtime::process::protocol::{ExecRequest, Refusal};

/// What all programs in a worker share.
pub struct Worker {
    /// Collects them.
    pub reaper: Reaper,
    /// Variables beside those of the shim.
    pub env: Vec<(String, String)>,
    /// Where they start.
    pub working_dir: PathBuf,
    /// Time between SIGTERM and SIGKILL.
    pub kill_grace: Duration,
}

/// A task that runs.
pub struct Started {
    /// Leader of the task's process group.
    pub leader: i32,
    /// Its standard input.
    pub stdin: ChildStdin,
    /// Its standard output.
    pub stdout: ChildStdout,
    /// Its standard error.
    pub stderr: ChildStderr,
    /// Its exit code, when it ended.
    pub exit: oneshot::Receiver<i32>,
}

impl Worker {
    /// Starts the command of the worker; the last of its output goes to `tail`.
    pub fn spawn_command(&self, argv: &[String], tail: &Tail) -> Result<oneshot::Receiver<i32>, Refusal> {
        let (mut child, exit) = self.spawn(argv, &[], &self.working_dir, Stdio::null())?;
        let streams = (|| {
            let stdout = child.stdout.take().map(ChildStdout::from_std).transpose()?;
            Ok::<_, io::Error>((stdout, child.stderr.take().map(ChildStderr::from_std).transpose()?))
        })();
        let (stdout, stderr) = streams.map_err(|error| broken(&error))?;
        if let Some(stream) = stdout {
            tail.follow(stream);
        }
        if let Some(stream) = stderr {
            tail.follow(stream);
        }
        Ok(exit)
    }

    /// Starts a task.
    pub fn spawn_task(&self, request: &ExecRequest) -> Result<Started, Refusal> {
        let dir =
            request.working_dir.as_ref().map_or_else(|| self.working_dir.clone(), |dir| self.working_dir.join(dir));
        let (mut child, exit) = self.spawn(&request.argv, &request.env, &dir, Stdio::piped())?;
        let leader = child.id().cast_signed();
        let gone = || io::Error::other("a stream is missing");
        let streams = (|| {
            let stdin = ChildStdin::from_std(child.stdin.take().ok_or_else(gone)?)?;
            let stdout = ChildStdout::from_std(child.stdout.take().ok_or_else(gone)?)?;
            let stderr = ChildStderr::from_std(child.stderr.take().ok_or_else(gone)?)?;
            Ok::<_, io::Error>(Started { leader, stdin, stdout, stderr, exit })
        })();
        streams.map_err(|error| {
            // Nobody could read what it says: it must not run on.
            if let Some(id) = ProcessId::of(leader) {
                id.signal(Signal::KILL);
            }
            broken(&error)
        })
    }

    fn spawn(
        &self,
        argv: &[String],
        env: &[(String, String)],
        dir: &Path,
        stdin: Stdio,
    ) -> Result<(Child, oneshot::Receiver<i32>), Refusal> {
        let refusal = |code, message| Refusal { code, message };
        let Some((program, args)) = argv.split_first() else {
            return Err(refusal(127, "there is no command".to_owned()));
        };
        let unfit =
            |(name, value): &&(String, String)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
        if let Some((name, _)) = self.env.iter().chain(env).find(unfit) {
            return Err(refusal(126, format!("{program}: {name:?} cannot be an environment variable")));
        }
        if !dir.is_dir() {
            return Err(refusal(126, format!("{program}: the working directory {} does not exist", dir.display())));
        }
        let mut command = Command::new(program);
        command.args(args).current_dir(dir);
        command.envs(self.env.iter().chain(env).map(|(name, value)| (name, value)));
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        self.reaper.spawn(&mut command).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => refusal(127, format!("{program}: not found")),
            _ => refusal(126, format!("{program}: {error}")),
        })
    }

    /// Ends a task and what it started: SIGTERM, and after the grace SIGKILL.
    pub async fn end_task(&self, leader: i32) {
        reaper::send(&members(leader), Signal::TERM);
        if !self.reaper.wait_until(self.kill_grace, || members(leader).is_empty()).await {
            reaper::send(&members(leader), Signal::KILL);
        }
    }
}

/// The task's process group, and what is below its leader. Looked for below the shim only: once the group is
/// empty its number may be another's.
fn members(leader: i32) -> Vec<Stat> {
    let own = procfs::below(&procfs::all(), rustix::process::getpid().as_raw_pid());
    let below: Vec<i32> = procfs::below(&own, leader).iter().map(|stat| stat.id.pid).collect();
    own.into_iter().filter(|stat| stat.group == leader || below.contains(&stat.id.pid)).collect()
}

fn broken(error: &io::Error) -> Refusal {
    Refusal { code: 126, message: format!("the streams cannot be set up: {error}") }
}
