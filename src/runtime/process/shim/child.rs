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

/// First pause before a program is started again for which something was short; doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// All of them. A worker that is so short for longer is one that no longer works.
const PATIENCE: Duration = Duration::from_secs(15);

/// What all programs in a worker share.
pub struct Worker {
    /// Collects them.
    pub reaper: Reaper,
    /// Variables in addition to those of the shim.
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
    pub async fn spawn_command(&self, argv: &[String], tail: &Tail) -> Result<oneshot::Receiver<i32>, Refusal> {
        let (mut child, exit) = self.spawn(argv, &[], &self.working_dir, Stdio::null()).await?;
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
    pub async fn spawn_task(&self, request: &ExecRequest) -> Result<Started, Refusal> {
        let dir =
            request.working_dir.as_ref().map_or_else(|| self.working_dir.clone(), |dir| self.working_dir.join(dir));
        let (mut child, exit) = self.spawn(&request.argv, &request.env, &dir, Stdio::piped()).await?;
        let leader = child.id().cast_signed();
        let gone = || io::Error::other("a stream is missing");
        let streams = (|| {
            let stdin = ChildStdin::from_std(child.stdin.take().ok_or_else(gone)?)?;
            let stdout = ChildStdout::from_std(child.stdout.take().ok_or_else(gone)?)?;
            let stderr = ChildStderr::from_std(child.stderr.take().ok_or_else(gone)?)?;
            Ok::<_, io::Error>(Started { leader, stdin, stdout, stderr, exit })
        })();
        streams.map_err(|error| {
            // Its output could not be read: it must not run on.
            if let Some(id) = ProcessId::of(leader) {
                id.signal(Signal::KILL);
            }
            broken(&error)
        })
    }

    async fn spawn(
        &self,
        argv: &[String],
        env: &[(String, String)],
        dir: &Path,
        stdin: Stdio,
    ) -> Result<(Child, oneshot::Receiver<i32>), Refusal> {
        let refusal = |code, message| Refusal { code, message, passing: false };
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
        patiently(|| self.reaper.spawn(&mut command)).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => refusal(127, format!("{program}: not found")),
            _ => Refusal { code: 126, message: format!("{program}: {error}"), passing: is_passing(&error) },
        })
    }

    /// Ends a task and what it started: SIGTERM, and after the grace SIGKILL.
    pub async fn end_task(&self, leader: i32) {
        reaper::send(&members(leader), Signal::TERM);
        if !self.reaper.wait_until(self.kill_grace, || members(leader).is_empty()).await {
            reaper::send(&members(leader), Signal::KILL);
            // Its client takes the end of the connection for the end of the task.
            self.reaper.wait_until(self.kill_grace, || members(leader).is_empty()).await;
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

/// It may have run for a moment, so it is not retried here.
fn broken(error: &io::Error) -> Refusal {
    Refusal { code: 126, message: format!("the streams cannot be set up: {error}"), passing: true }
}

/// Retries while a resource is short. A program that could not be started did nothing.
async fn patiently<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let (mut pause, mut waited) = (FIRST_PAUSE, Duration::ZERO);
    loop {
        match start() {
            Err(error) if is_passing(&error) && waited < PATIENCE => {}
            done => return done,
        }
        tokio::time::sleep(pause).await;
        waited += pause;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// True unless the program itself is at fault: what is short now, memory or descriptors, need not be later, and a file that
/// is being written will be complete.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno as E;
    let own = [
        E::NOENT,
        E::ACCESS,
        E::PERM,
        E::NOEXEC,
        E::NOTDIR,
        E::LOOP,
        E::TOOBIG,
        E::ISDIR,
        E::NAMETOOLONG,
        E::INVAL,
        #[cfg(target_os = "linux")]
        E::LIBBAD,
    ];
    // Without a number it never came to the system, as with a NUL in an argument.
    E::from_io_error(error).is_some_and(|errno| !own.contains(&errno))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_shortage_that_passes_is_waited_for() {
        let mut answers = [Err(Errno::AGAIN), Err(Errno::MFILE), Err(Errno::TXTBSY), Ok(7)].into_iter();
        assert_eq!(patiently(|| Ok(answers.next().unwrap()?)).await.unwrap(), 7);
        for (errno, again) in [(Errno::NOENT, false), (Errno::NOMEM, true)] {
            let mut tries = 0;
            let end = patiently(|| {
                tries += 1;
                Err::<(), _>(errno.into())
            });
            assert_eq!((end.await.unwrap_err().raw_os_error(), tries > 1), (Some(errno.raw_os_error()), again));
        }
    }

    #[test]
    fn only_what_the_program_is_to_blame_for_is_final() {
        for errno in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TXTBSY] {
            assert!(is_passing(&errno.into()), "{errno}");
        }
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::NOEXEC, Errno::NOTDIR, Errno::TOOBIG] {
            assert!(!is_passing(&errno.into()), "{errno}");
        }
        assert!(!is_passing(&Command::new("a\0b").spawn().unwrap_err()));
    }
}
