//! A command in a Pod, by kubectl with the rights of the caller.
//!
//! kubectl has one exit code for a command that failed with 1 and for contact that was lost. It says which one it was in its
//! last line, and an end that it does not confirm is reported as lost.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process;

use super::command::{Command, Stop, passed_on};
use super::failure::{Problem, Why};
use crate::api::dispatch::Target;
use crate::cli::exit::Exit;
use crate::cli::output;

/// How much of the end of kubectl's output is looked at.
const TAIL: usize = 1024;
/// What kubectl says after a command that did not end with 0.
const CONFIRMED: &str = "command terminated with exit code ";

pub(super) async fn exec(target: &Target, flags: &[String], command: Command) -> Result<Exit, Problem> {
    if command.workdir.is_some() {
        let message = "-w: a command in a Pod starts in the directory of its image; use `sh -c 'cd DIR && …'`";
        return Err(Problem::new(Why::Usage, message));
    }
    // The variables of the attempt are not passed on either.
    if !command.env.is_empty() {
        let message = "-e: an exec in a Pod has no environment of its own; use `env NAME=VALUE CMD`, but not for a secret, because \
                       the cluster's audit log shows it";
        return Err(Problem::new(Why::Usage, message));
    }
    let stop = Stop::listen()?;
    let (program, words) =
        target.argv.split_first().ok_or_else(|| Problem::new(Why::Failed, "the target has no command"))?;
    let mut kubectl = process::Command::new(program);
    kubectl.args(flags).args(words.iter().filter(|word| *word != "-i" || command.input));
    // The options of kubectl end with `--`, which is the last of these words.
    kubectl.args(&command.argv).kill_on_drop(true).stderr(Stdio::piped());
    if !command.input {
        kubectl.stdin(Stdio::null());
    }
    if command.tty {
        return Err(Problem::new(Why::Usage, format!("-t: use `{} -t …` in a Pod", target.argv.join(" "))));
    }
    let mut running = kubectl.spawn().map_err(|error| Problem::new(Why::Unreachable, format!("{program}: {error}")))?;
    let tail = running.stderr.take().map(|stderr| tokio::spawn(pass_on(stderr)));
    let status = tokio::select! {
        biased;
        status = running.wait() => status.map_err(|error| Problem::new(Why::Lost, error.to_string()))?,
        () = stop.wait() => {
            let message = "a signal ended kubectl, but not the command in the Pod: report Lost, or cancel the task";
            return Err(Problem::new(Why::Lost, message));
        }
    };
    let tail = match tail {
        Some(tail) => tail.await.unwrap_or_default(),
        None => String::new(),
    };
    match (status.success(), confirmed(&tail)) {
        (true, _) => Ok(Exit::Success),
        (false, Some(code)) => Ok(passed_on(code)),
        (false, None) => {
            Err(Problem::new(Why::Lost, format!("{program} does not confirm how the command ended ({status})")))
        }
    }
}

/// The exit code of the command, if the last line says it.
fn confirmed(tail: &str) -> Option<i32> {
    tail.trim_end().rsplit('\n').next()?.trim().strip_prefix(CONFIRMED)?.parse().ok()
}

/// Passes standard error on, and answers with its end.
async fn pass_on(mut from: process::ChildStderr) -> String {
    let (mut err, mut tail, mut buffer) = (output::live().1, Vec::new(), vec![0; 64 * 1024]);
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let piece = buffer.get(..count).unwrap_or_default();
        // A closed standard error is no reason to stop.
        let _ = err.write_all(piece).await;
        let _ = err.flush().await;
        tail.extend_from_slice(piece);
        tail.drain(..tail.len().saturating_sub(TAIL));
    }
    String::from_utf8_lossy(&tail).into_owned()
}

#[cfg(test)]
mod tests {
    use super::confirmed;

    #[test]
    fn an_exit_code_counts_only_if_kubectl_confirms_it() {
        assert_eq!(confirmed("some words\ncommand terminated with exit code 7\n"), Some(7));
        assert_eq!(confirmed("command terminated with exit code 7\nerror: lost connection to pod\n"), None);
        assert_eq!(confirmed("error: unable to upgrade connection: pod does not exist\n"), None);
        assert_eq!(confirmed(""), None);
    }
}
