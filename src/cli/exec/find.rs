//! Where the command runs, and whether the caller may run something there.

use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::failure::{Problem, Why};
use crate::api::dispatch::Target;
use crate::api::{Dispatch, Period, RuntimeKind, Worker};
use crate::cli::change::check_name;
use crate::cli::dispatches::identity::{AttemptArgs, Named, can_run};
use crate::cli::dispatches::{patience, variables};
use crate::cli::exit::Failure;
use crate::cli::server::{Server, ServerArgs, is_not_found};
use crate::cli::{local, output};
use crate::clock::SystemClock;
use crate::runtime::{InstanceKey, pod};
use crate::standalone::resident::targets;

/// A worker, and the variables that describe the attempt.
pub(super) struct Found {
    pub target: Target,
    pub of_attempt: Vec<(String, String)>,
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
    /// How long the server may be away.
    pub patience: Period,
    pub server: &'a ServerArgs,
}

/// Finds it on the server.
pub(super) async fn find(wanted: &Wanted<'_>) -> Result<Found, Problem> {
    let missing = "name the task first, as in `poolkeeper exec \"$POOLKEEPER_TASK_ID\" -- CMD`: is a variable not set?";
    let name = wanted.name.filter(|name| !name.is_empty()).ok_or_else(|| Failure::usage(missing))?;
    let (target, of_attempt, client) = match name.split_once('/') {
        Some(("worker", "")) => return Err(Failure::usage(missing).into()),
        Some(("worker", worker)) => {
            check_name(worker)?;
            let (server, found) = read(wanted, worker, "worker").await?;
            (of_worker(&server, &found, wanted.anyway)?, Vec::new(), server.client)
        }
        None | Some(("task", _)) => {
            let named = wanted.attempt.named(Some(name))?;
            let (server, found) = read(wanted, &named.name, "task").await?;
            let (target, of_attempt) = of_task(&named, found)?;
            (target, of_attempt, server.client)
        }
        Some((kind, _)) => {
            return Err(Failure::usage(format!(
                "{kind:?} is no kind that has a worker: write task/NAME or worker/NAME"
            ))
            .into());
        }
    };
    Ok(Found { target, of_attempt, client, kubectl: wanted.server.of_kubectl() })
}

/// Reads an object. Nothing runs yet, so this may be repeated.
async fn read<K>(wanted: &Wanted<'_>, name: &str, kind: &str) -> Result<(Server, K), Failure>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    wanted.server.check()?;
    let look = async || {
        let server = wanted.server.connect().await?;
        let api: Api<K> = server.api();
        let found = api.get(name).await.map_err(|error| {
            let mut failure = patience::failed(&server, &error);
            if is_not_found(&error) {
                failure.message = format!("there is no {kind} {name:?} on {}", server.title);
            }
            failure
        })?;
        Ok((server, found))
    };
    patience::repeat(&SystemClock::new(), wanted.patience.get(), look).await
}

/// The worker of an open attempt, by a look at what the server has now.
fn of_task(named: &Named, now: Dispatch) -> Result<(Target, Vec<(String, String)>), Problem> {
    let name = &named.name;
    let attempt = named.newest(&now)?;
    let may_run = can_run(&now);
    let (reported, status) = (now.spec.result, now.status.unwrap_or_default());
    if !may_run {
        let closed = status.last_result.as_ref().filter(|last| last.attempt == attempt.number);
        let reported = reported.filter(|result| result.attempt == attempt.number);
        let outcome = closed.map(|last| last.outcome).or_else(|| Some(reported?.outcome.into()));
        let outcome = outcome.map_or_else(|| "cancelled".to_owned(), |outcome| format!("{outcome:?}"));
        let message = format!("attempt {} of task {name} has ended, as {outcome}", attempt.number);
        return Err(Problem::new(Why::Conflict, message));
    }
    let (Some(target), Some(worker)) = (status.target, status.worker) else {
        return Err(Problem::new(Why::Conflict, format!("task {name} has no worker yet")));
    };
    let env = [
        (variables::ID, name.clone()),
        (variables::ATTEMPT, attempt.number.to_string()),
        (variables::WORKER, worker.name),
    ];
    Ok((target, env.map(|(name, value)| (name.to_owned(), value)).to_vec()))
}

/// A worker that is looked into, without a claim on it.
fn of_worker(server: &Server, worker: &Worker, anyway: bool) -> Result<Target, Problem> {
    let name = worker.name_any();
    if let Some(task) = worker.status.as_ref().and_then(|status| status.dispatch.as_ref())
        && !anyway
    {
        let message = format!("worker {name} has task {}; --anyway runs the command all the same", task.name);
        return Err(Problem::new(Why::Conflict, message));
    }
    output::say(&format!(
        "worker/{name} is for looking: this holds no claim, and the worker may get a task at any time"
    ));
    of(server, worker).ok_or_else(|| {
        let message = format!("the container of worker {name} is not known here: run the command with a task of it");
        Problem::new(Why::Unreachable, message)
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
