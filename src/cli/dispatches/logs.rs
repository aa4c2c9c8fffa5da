//! `poolkeeper logs`: what the command of a worker printed. What a task prints goes to the supervisor that runs it.

use clap::Args;
use futures::{AsyncReadExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;

use crate::api::worker::WorkerPhase;
use crate::api::{RuntimeKind, Worker};
use crate::cli::change;
use crate::cli::context::{Context, Run};
use crate::cli::exec::{docker, find};
use crate::cli::exit::{Exit, Failure};
use crate::cli::server::{Server, ServerArgs};
use crate::cli::{output, print};
use crate::core::worker_status;
use crate::runtime::exec::Output;
use crate::runtime::pod::CONTAINER;

/// Show what the command of a worker printed
///
/// That is the command that keeps the worker up. What a task prints goes to the supervisor that runs it. With runtime Docker and in
/// Pods; workers of runtime Process keep no output.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  poolkeeper logs agents-0\n  poolkeeper logs agents-0 --tail 20 -f")]
pub struct LogsArgs {
    /// Name of the worker
    #[arg(value_name = "WORKER")]
    worker: String,
    /// Show the last N lines only
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
    /// Go on with what it prints from now on
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for LogsArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let name = self.worker.strip_prefix("worker/").unwrap_or(&self.worker);
        let server = self.server.connect().await?;
        let worker: Worker = change::read(&server, name).await?;
        match worker.spec.runtime {
            RuntimeKind::Docker => self.of_container(&server, &worker).await,
            RuntimeKind::Pod => self.of_pod(&server, &worker).await,
            RuntimeKind::Process => {
                let message = format!(
                    "worker {name} has runtime Process, which keeps no output: let the pool's command write to a file, and look at \
                     it with `poolkeeper exec worker/{name} -- tail FILE`; the last words of a worker that failed are in `poolkeeper \
                     get worker {name} -o wide`"
                );
                Err(Failure::new(Exit::Failed, message))
            }
        }
    }
}

impl LogsArgs {
    async fn of_container(&self, server: &Server, worker: &Worker) -> Result<Exit, Failure> {
        let name = &self.worker;
        let unknown = || {
            let message =
                format!("the container of worker {name} is not known here: it is not ready yet, or on another machine");
            Failure::new(Exit::Unreachable, message)
        };
        let unreachable = |error: &dyn std::fmt::Display| Failure::new(Exit::Unreachable, error.to_string());
        let target = find::of(server, worker).ok_or_else(unknown)?;
        let executor = docker::executor(&target).map_err(|error| unreachable(&error))?;
        let pieces = executor.logs(&target, self.tail.map(u64::from), self.follow).await;
        let mut pieces = pieces.map_err(|error| unreachable(&error))?;
        while let Some(piece) = pieces.next().await {
            match piece.map_err(|error| unreachable(&error))? {
                Output::Stdout(data) => print::data(&data)?,
                Output::Stderr(data) => output::copy_to_stderr(&mut &*data),
            }
        }
        Ok(Exit::Success)
    }

    async fn of_pod(&self, server: &Server, worker: &Worker) -> Result<Exit, Failure> {
        let target =
            find::of(server, worker).ok_or_else(|| Failure::new(Exit::NotFound, "the worker has no Pod yet"))?;
        let pods: Api<Pod> = server.api();
        let params = LogParams {
            container: Some(CONTAINER.to_owned()),
            follow: self.follow,
            tail_lines: self.tail.map(i64::from),
            ..LogParams::default()
        };
        let failed = |error| starting(&self.worker, &error).unwrap_or_else(|| server.failed(&error));
        let mut log = Box::pin(pods.log_stream(&target.id, &params).await.map_err(failed)?);
        let (mut buffer, mut has_printed) = (vec![0; 64 * 1024], false);
        loop {
            let count = log.read(&mut buffer).await.map_err(|e| Failure::new(Exit::Unreachable, e.to_string()))?;
            if count == 0 {
                // The log of a Pod that is on no node is empty.
                return silent(worker).filter(|_| !has_printed).map_or(Ok(Exit::Success), Err);
            }
            has_printed = true;
            print::data(buffer.get(..count).unwrap_or_default())?;
        }
    }
}

/// The failure, if a worker that has printed nothing is not up.
fn silent(worker: &Worker) -> Option<Failure> {
    let status = worker_status(worker);
    if status.phase != WorkerPhase::Starting {
        return None;
    }
    let why = status.message.as_ref().map(|why| format!(": {}", output::escape(why))).unwrap_or_default();
    let name = worker.metadata.name.as_deref().unwrap_or_default();
    Some(Failure::new(Exit::NotFound, format!("worker {name} has printed nothing yet, it is starting{why}")))
}

/// The failure, if it is that the container of the worker is not up. The API server calls that a bad request.
fn starting(worker: &str, error: &kube::Error) -> Option<Failure> {
    let kube::Error::Api(status) = error else { return None };
    let (_, why) = status.message.split_once(" is waiting to start").filter(|_| status.code == 400)?;
    let why = why.trim_start_matches(':').trim();
    let message =
        format!("worker {worker} has printed nothing yet, its container is starting: {}", output::escape(why));
    Some(Failure::new(Exit::NotFound, message))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_container_that_is_starting_is_no_mistake_of_the_caller() {
        let refused = |code, message: &str| {
            kube::Error::Api(Box::new(Status { code, message: message.to_owned(), ..Status::default() }))
        };
        let said = "container \"worker\" in pod \"p\" is waiting to start: ContainerCreating";
        let failure = starting("agents-0", &refused(400, said)).unwrap();
        assert_eq!(failure.exit, Exit::NotFound);
        assert!(failure.message.ends_with("is starting: ContainerCreating"), "{}", failure.message);
        assert!(starting("agents-0", &refused(400, "bad tailLines")).is_none());
        assert!(starting("agents-0", &refused(404, said)).is_none());
    }
}
