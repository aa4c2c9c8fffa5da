//! Where the command runs, and whether the caller may run something there.

use kube::{Api, ResourceExt};

use super::failure::{Trouble, Why};
use crate::api::dispatch::Target;
use crate::api::{Dispatch, RuntimeKind, Worker};
use crate::cli::change::check_name;
use crate::cli::dispatches::identity::{AttemptArgs, Named, can_run};
use crate::cli::dispatches::variables;
use crate::cli::exit::Failure;
use crate::cli::server::{Server, ServerArgs, is_not_found};
use crate::cli::{local, output};
use crate::runtime::{InstanceKey, pod};
use crate::standalone::resident::targets;

/// A worker, and the variables that describe the attempt.
pub(super) struct Found {
    pub target: Target,
    pub told: Vec<(String, String)>,
    /// Reaches the server.
    pub client: kube::Client,
    /// With a Pod: the flags with which kubectl talks to its cluster.
    pub kubectl: Vec<String>,
}

/// What the arguments name.
pub(super) struct Wanted<'a> {
    pub name: Option<&'a str>,
    pub attempt: &'a AttemptArgs,
    pub anyway: bool,
    pub server: &'a ServerArgs,
}

/// Finds it on the server.
pub(super) async fn find(wanted: &Wanted<'_>) -> Result<Found, Trouble> {
    let missing = "name the task first, as in `poolkeeper exec \"$POOLKEEPER_TASK_ID\" -- CMD`: is a variable not set?";
    let name = wanted.name.filter(|name| !name.is_empty()).ok_or_else(|| Failure::usage(missing))?;
    let (target, told, client) = match name.split_once('/') {
        Some(("worker", "")) => return Err(Failure::usage(missing).into()),
        Some(("worker", worker)) => {
            let server = wanted.server.connect().await?;
            (of_worker(&server, worker, wanted.anyway).await?, Vec::new(), server.client)
        }
        None | Some(("task", _)) => {
            let named = wanted.attempt.named(Some(name))?;
            let server = wanted.server.connect().await?;
            let (target, told) = of_task(&server, &named).await?;
            (target, told, server.client)
        }
        Some((kind, _)) => {
            return Err(Failure::usage(format!(
                "{kind:?} is no kind that has a worker: write task/NAME or worker/NAME"
            ))
            .into());
        }
    };
    Ok(Found { target, told, client, kubectl: wanted.server.of_kubectl() })
}

/// The worker of an open attempt, by a look at what the server has now.
async fn of_task(server: &Server, named: &Named) -> Result<(Target, Vec<(String, String)>), Trouble> {
    let api: Api<Dispatch> = server.api();
    let name = &named.name;
    let now = api.get(name).await.map_err(|error| {
        let mut failure = server.failed(&error);
        if is_not_found(&error) {
            failure.message = format!("there is no task {name:?} on {}", server.title);
        }
        failure
    })?;
    let attempt = named.newest(&now)?;
    let may_run = can_run(&now);
    let (reported, status) = (now.spec.result, now.status.unwrap_or_default());
    if !may_run {
        let closed = status.last_result.as_ref().filter(|last| last.attempt == attempt.number);
        let reported = reported.filter(|result| result.attempt == attempt.number);
        let outcome = closed.map(|last| last.outcome).or_else(|| Some(reported?.outcome.into()));
        let outcome = outcome.map_or_else(|| "cancelled".to_owned(), |outcome| format!("{outcome:?}"));
        let message = format!("attempt {} of task {name} has ended, as {outcome}", attempt.number);
        return Err(Trouble::new(Why::Conflict, message));
    }
    let (Some(target), Some(worker)) = (status.target, status.worker) else {
        return Err(Trouble::new(Why::Conflict, format!("task {name} has no worker yet")));
    };
    let env = [
        (variables::ID, name.clone()),
        (variables::ATTEMPT, attempt.number.to_string()),
        (variables::WORKER, worker.name),
    ];
    Ok((target, env.map(|(name, value)| (name.to_owned(), value)).to_vec()))
}

/// A worker that is looked into, without a claim on it.
async fn of_worker(server: &Server, name: &str, anyway: bool) -> Result<Target, Trouble> {
    check_name(name)?;
    let api: Api<Worker> = server.api();
    let worker = api.get(name).await.map_err(|error| {
        let mut failure = server.failed(&error);
        if is_not_found(&error) {
            failure.message = format!("there is no worker {name:?} on {}", server.title);
        }
        failure
    })?;
    if let Some(task) = worker.status.as_ref().and_then(|status| status.dispatch.as_ref())
        && !anyway
    {
        let message = format!("worker {name} has task {}; --anyway runs the command all the same", task.name);
        return Err(Trouble::new(Why::Conflict, message));
    }
    output::say(&format!(
        "worker/{name} is for looking: this holds no claim, and the worker may get a task at any time"
    ));
    of(server, &worker).ok_or_else(|| {
        let message = format!("the container of worker {name} is not known here: run the command with a task of it");
        Trouble::new(Why::Unreachable, message)
    })
}

/// How a worker is reached that no Dispatch names. None: it has no container, or is not of this machine.
pub(in crate::cli) fn of(server: &Server, worker: &Worker) -> Option<Target> {
    if worker.spec.runtime == RuntimeKind::Pod {
        let namespace = worker.namespace().unwrap_or_default();
        return Some(pod::target(&InstanceKey { namespace, worker: worker.name_any(), uid: worker.uid()? }));
    }
    let home = server.is_local.then(local::server::home)?.ok()?;
    targets::target(&home, worker)
}
