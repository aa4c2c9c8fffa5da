//! A task in a Pod without the helper: an exec of the image's own `env`, with the rights of the caller.
//!
//! All words of the command and all variables are part of the address of the request. So the audit log of the cluster shows them,
//! and they must not be long. There is no result file.

use bytes::Bytes;
use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachedProcess;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio_util::io::ReaderStream;

use super::ending;
use crate::runtime::exec::{ExecError, Output, Running, Task, TaskEnd};

/// Most bytes of the command and its variables, as they stand in an address. Servers and proxies on the way refuse longer ones.
const LONGEST: usize = 64 * 1024;
/// The variable with the path of the result file.
pub(super) const RESULT: &str = "POOLKEEPER_RESULT";
/// What the kubelet says of a command that ended with another code than 0.
const EXIT_CODE: &str = "ExitCode";

/// What is executed.
///
/// # Errors
/// The task is too long, or needs a directory.
pub(super) fn words(task: &Task) -> Result<Vec<String>, ExecError> {
    let refused = |message: String| Err(ExecError::Command { message, code: 126 });
    if task.working_dir.is_some() {
        return refused("a Pod without the helper starts commands in the directory of its image".to_owned());
    }
    let variables = task.env.iter().filter(|(name, _)| name != RESULT).map(|(name, value)| format!("{name}={value}"));
    let words: Vec<String> =
        std::iter::once("env".to_owned()).chain(variables).chain(task.argv.iter().cloned()).collect();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let length: usize = words.iter().flat_map(|word| word.bytes()).map(|byte| if plain(byte) { 1 } else { 3 }).sum();
    if length > LONGEST {
        return refused(format!(
            "the task is too long for a Pod without the helper: command and variables take {length} bytes of an address, and \
             {LONGEST} are allowed; set inPod: true in the chart, or put the task into a file"
        ));
    }
    Ok(words)
}

/// Feeds a task that was started its input, and reads what it says.
pub(super) fn run(mut exec: AttachedProcess, input: Bytes) -> Running {
    let (stdin, stdout, stderr, over) = (exec.stdin(), exec.stdout(), exec.stderr(), ending::ended(&mut exec));
    let (ended, end) = oneshot::channel();
    let output = async_stream::stream! {
        let _exec = exec;
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A task that ends without reading all of it is no error; the status reports how it ends.
                let _ = stdin.write_all(&input).await;
                let _ = stdin.shutdown().await;
            }
        };
        let mut pieces = futures::stream::select(
            pieces(stdout.map(|stream| ending::Output::new(stream, over.clone())), Output::Stdout),
            pieces(stderr.map(|stream| ending::Output::new(stream, over.clone())), Output::Stderr),
        );
        tokio::pin!(feed);
        let mut fed = false;
        loop {
            let piece = tokio::select! {
                biased;
                () = &mut feed, if !fed => {
                    fed = true;
                    continue;
                }
                piece = pieces.next() => piece,
            };
            match piece {
                Some(piece) => yield piece,
                None => break,
            }
        }
        let (end, said) = end_of(over.await);
        if let Some(said) = said {
            yield Output::Stderr(Bytes::from(said + "\n"));
        }
        let _ = ended.send(end);
    };
    Running::new(output.boxed(), end)
}

fn pieces<R>(stream: Option<R>, of: fn(Bytes) -> Output) -> impl futures::Stream<Item = Output> + Send + Unpin
where
    R: AsyncRead + Send + Unpin + 'static,
{
    let all = futures::stream::iter(stream).flat_map(ReaderStream::new);
    // An error is the end of the connection, and the status reports that.
    Box::pin(
        all.take_while(|piece| std::future::ready(piece.is_ok()))
            .filter_map(move |piece| std::future::ready(piece.ok().map(of))),
    )
}

/// How a task ended by what the kubelet says, and the kubelet's words if the task did not start.
fn end_of(status: Option<Status>) -> (TaskEnd, Option<String>) {
    let Some(status) = status else { return (TaskEnd::Lost("the connection was cut".to_owned()), None) };
    if status.status.as_deref() == Some("Success") {
        return (TaskEnd::Exited(0), None);
    }
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    let code = causes.iter().find(|cause| cause.reason.as_deref() == Some(EXIT_CODE));
    if let Some(code) = code.and_then(|cause| cause.message.as_deref()?.parse().ok()) {
        return (TaskEnd::Exited(code), None);
    }
    let message = status.message.unwrap_or_default();
    // The runtime found no `env` in the image.
    match message.contains("executable file not found") || message.contains("no such file or directory") {
        true => (TaskEnd::Exited(127), Some(message)),
        false => (TaskEnd::Lost(message), None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(text: &str) -> Task {
        let env = [("TASK", text), (RESULT, "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        Task { argv: vec!["agent".to_owned(), "-".to_owned()], env: env.into(), ..Task::default() }
    }

    #[test]
    fn variables_go_through_env_and_there_is_no_result_file() {
        assert_eq!(words(&task("a b")).unwrap(), ["env", "TASK=a b", "agent", "-"]);
    }

    #[test]
    fn a_task_that_is_too_long_is_refused_by_name() {
        assert!(words(&task(&"x".repeat(60_000))).is_ok());
        // An address needs three bytes for each of these.
        match words(&task(&"ä".repeat(15_000))) {
            Err(ExecError::Command { message, code: 126 }) => {
                assert!(message.contains("the task is too long"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_end_is_what_the_kubelet_says() {
        let end = |status: serde_json::Value| end_of(Some(serde_json::from_value(status).unwrap()));
        assert_eq!(end(json!({"status": "Success"})).0, TaskEnd::Exited(0));
        let causes = json!([{"reason": "ExitCode", "message": "9"}]);
        let failed = json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}});
        assert_eq!(end(failed).0, TaskEnd::Exited(9));
        let (missing, said) =
            end(json!({"status": "Failure", "message": "exec: \"env\": executable file not found in $PATH"}));
        assert!(missing == TaskEnd::Exited(127) && said.unwrap().contains("\"env\""));
        assert!(matches!(end(json!({"status": "Failure", "message": "container not running"})).0, TaskEnd::Lost(_)));
        assert!(matches!(end_of(None).0, TaskEnd::Lost(_)));
    }
}
