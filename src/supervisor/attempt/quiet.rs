//! Commands that print nothing: one that waits by itself for a limit to end, and one that hangs.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;

use super::given::Attempt;
use crate::api::dispatch::Target;
use crate::api::{Period, RuntimeKind};
use crate::clock::Clock;
use crate::runtime::exec::{ExecError, Executor, Output, Running, Task, TaskEnd};
use crate::supervisor::outcome::recogniser::Recognised;
use crate::supervisor::outcome::{Judge, Seen};

/// A command that printed nothing for so long may wait by itself.
const SILENT: Duration = Duration::from_secs(5);
/// A silence that is this much longer than it was to be: the process was stopped (Ctrl-Z), or had no processor.
const LATE: Duration = Duration::from_millis(200);
/// Then what was printed meanwhile may take so long to arrive.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the output of a command that was ended may take to end. A process that it left may hold it open.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Ends every process that has a variable of this attempt in its environment: asks them, and kills those that are there 5 s later.
/// Zombies have no variables. Exits with 3 if there was none from the start.
const END: &str = r#"
command -v tr >/dev/null && command -v grep >/dev/null || exit 127
n=0
while [ $n -lt 10 ]; do
  found= signal=TERM
  [ $n -lt 5 ] || signal=KILL
  for p in /proc/[0-9]*; do
    if { tr '\0' '\n' <"$p/environ"; } 2>/dev/null | grep -qxF "$1"; then
      found=1
      kill -$signal "${p#/proc/}" 2>/dev/null
    fi
  done
  [ -n "$found" ] || exit $((n > 0 ? 0 : 3))
  n=$((n + 1))
  sleep 1
done
exit 1"#;
/// Exit codes with which nothing was done: no process was found, or there is no program to look for one.
const NOT_FOUND: i32 = 3;
const NO_PROGRAM: i32 = 127;

/// What comes next from a command.
pub(super) enum Next {
    Piece(Output),
    End,
    /// Nothing: it waits by itself for a limit to end.
    Asleep(Recognised),
    /// Nothing, for as long as a task may be silent.
    Silent,
}

/// How long a command may print nothing.
pub(super) struct Quiet<'a> {
    /// Knows the words of a program that waits by itself.
    pub judge: &'a Judge,
    pub clock: &'a dyn Clock,
    /// After this it is ended. None: never.
    pub silence: Option<Period>,
    /// True if a command that waits by itself is not waited for.
    pub ends_sleepers: bool,
}

impl Quiet<'_> {
    /// The next piece of output. A command that is silent, and whose last words were that it waits for long, is not waited for:
    /// its worker would wait with it.
    pub(super) async fn next(&self, output: &mut BoxStream<'static, Output>, seen: &Seen) -> Next {
        let silence = self.silence.map(Period::get);
        let mut waited = Duration::ZERO;
        let is_live = self.judge.recogniser.is_live() && self.ends_sleepers;
        if is_live && silence.is_none_or(|silence| silence > SILENT) {
            match tokio::time::timeout(SILENT, output.next()).await {
                Ok(piece) => return piece.map_or(Next::End, Next::Piece),
                Err(_) => {
                    if let Some(found) = self.asleep(seen) {
                        return Next::Asleep(found);
                    }
                    waited = SILENT;
                }
            }
        }
        let Some(silence) = silence else { return output.next().await.map_or(Next::End, Next::Piece) };
        let (rest, before) = (silence.saturating_sub(waited), self.clock.mono());
        if let Ok(piece) = tokio::time::timeout(rest, output.next()).await {
            return piece.map_or(Next::End, Next::Piece);
        }
        if self.clock.mono().saturating_sub(before) > rest + LATE
            && let Ok(piece) = tokio::time::timeout(SETTLE, output.next()).await
        {
            return piece.map_or(Next::End, Next::Piece);
        }
        Next::Silent
    }

    fn asleep(&self, seen: &Seen) -> Option<Recognised> {
        self.judge.recogniser.asleep(seen, &self.judge.moment(self.clock))
    }
}

/// A variable that the processes of an attempt have, and others in the worker do not have at the same time. `path` is that of its
/// result file; none has one in a Pod without the helper.
pub(super) fn mark(a: &Attempt, path: &str) -> String {
    if path.is_empty() { format!("POOLKEEPER_TASK_ID={}", a.task.id) } else { format!("POOLKEEPER_RESULT={path}") }
}

/// Whether a command that was to be ended has ended.
pub(super) enum Stopped {
    /// It has, with all that it started and that still had its variables.
    Ended,
    /// Nothing was done: it runs on. And why.
    Refused(Running, String),
    /// It may still run. And why.
    Unknown(String),
}

/// Ends the command of an attempt, and drops what it still prints. `mark` is a variable of that attempt alone: NAME=VALUE.
pub(super) async fn stop(executor: &dyn Executor, target: &Target, mark: &str, running: Running) -> Stopped {
    if target.runtime == RuntimeKind::Process {
        // This hangs up, which ends it.
        drop(running);
        return Stopped::Ended;
    }
    let ending = async {
        let by_shell = || ["sh", "-c", END, "sh"].map(str::to_owned).to_vec();
        let mut argv = executor.ending(target).await.unwrap_or_else(by_shell);
        argv.push(mark.to_owned());
        let Running { output: mut words, end } = executor.exec(target, Task { argv, ..Task::default() }).await?;
        while words.next().await.is_some() {}
        Ok::<_, ExecError>(end.await)
    };
    match ending.await {
        Ok(TaskEnd::Exited(0)) => {}
        Ok(TaskEnd::Exited(NOT_FOUND)) => return Stopped::Refused(running, "its processes were not found".to_owned()),
        Ok(TaskEnd::Exited(NO_PROGRAM)) | Err(ExecError::Command { .. }) => {
            return Stopped::Refused(running, "the image has no `sh`, `tr` or `grep` to find its processes".to_owned());
        }
        Ok(TaskEnd::Exited(code)) => return Stopped::Unknown(format!("its processes did not end (exit code {code})")),
        Ok(TaskEnd::Lost(why)) => return Stopped::Unknown(why),
        Err(error) => return Stopped::Unknown(format!("its processes could not be ended: {error}")),
    }
    let Running { mut output, end } = running;
    let ended = async {
        while output.next().await.is_some() {}
        end.await
    };
    match tokio::time::timeout(LAST_WORDS, ended).await {
        Ok(TaskEnd::Exited(_)) => Stopped::Ended,
        Ok(TaskEnd::Lost(why)) => Stopped::Unknown(why),
        Err(_) => Stopped::Unknown("a process that it left holds its output open".to_owned()),
    }
}
