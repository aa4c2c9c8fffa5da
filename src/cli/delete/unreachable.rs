//! A worker on a host that is gone for good: only a person can know that.

use std::collections::BTreeSet;

use kube::ResourceExt;
use serde_json::json;

use super::how::How;
use super::worker::dispatch_of;
use crate::api::vocabulary::NotReadyReason;
use crate::api::{ContainerPool, Period, Worker, names};
use crate::cli::change::{self, Deletion};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, say};
use crate::cli::scale::workers_of;
use crate::cli::server::Server;

/// How long the controller may take to end an attempt.
const FREED: Period = Period::seconds(15);

/// Deletes a worker and removes its finalizer, which says that its instance is gone.
pub(super) async fn forget(server: &Server, name: &str, how: &How) -> Result<(), Failure> {
    let worker = change::read::<Worker>(server, name).await?;
    let host = worker.spec.host.clone().unwrap_or_else(|| "its node".to_owned());
    if !is_unreachable(server, &worker).await? {
        return Err(Failure::new(
            Exit::Conflict,
            format!("the host of worker {name} ({host}) answers: delete the worker without --host-gone"),
        ));
    }
    let busy = dispatch_of(&worker).map(|d| format!(", and {} ends as Forced", d.name)).unwrap_or_default();
    if !how.yes {
        confirm(
            name,
            &format!(
                "host {host} does not answer. If it comes back, a task may still run on it. Worker {name} is forgotten{busy}."
            ),
        )?;
    }
    end_attempt(server, &worker).await?;
    if change::delete(server, &worker, false).await? == Deletion::Accepted {
        remove_finalizer(server, &worker).await?;
    }
    say(&format!("worker {name} is forgotten{busy}"));
    Ok(())
}

/// Ends the open attempt of a worker as Forced, and waits until the controller has closed it. The removal of the finalizer alone
/// would not do: a controller that has not seen the instance since its own start waits for the host.
async fn end_attempt(server: &Server, worker: &Worker) -> Result<(), Failure> {
    let (name, uid) = (worker.name_any(), worker.uid());
    if dispatch_of(worker).is_none() {
        return Ok(());
    }
    change::patch::<Worker>(server, &name, |now| {
        Ok((now.uid() == uid).then(|| json!({"metadata": {"annotations": {names::FORCE_DELETE: "true"}}})))
    })
    .await?;
    let freed = change::until(FREED, async || {
        let now = change::find::<Worker>(server, &name).await?.filter(|now| now.uid() == uid);
        Ok(now.is_none_or(|now| dispatch_of(&now).is_none()).then_some(()))
    });
    freed.await?.ok_or_else(|| {
        let message = format!("the controller has not ended the attempt on worker {name} within {FREED}. Does it run?");
        Failure::new(Exit::WaitedTooLong, message)
    })
}

/// Lets a Worker go that is being deleted: its finalizer stands for an instance that a person has given up.
async fn remove_finalizer(server: &Server, worker: &Worker) -> Result<(), Failure> {
    let removed = change::patch::<Worker>(server, &worker.name_any(), |now| {
        let others: Vec<_> = now.finalizers().iter().filter(|f| *f != names::WORKER_FINALIZER).collect();
        Ok((now.uid() == worker.uid()).then(|| json!({"metadata": {"finalizers": others}})))
    })
    .await;
    match removed {
        Err(failure) if failure.exit != Exit::NotFound => Err(failure),
        _ => Ok(()),
    }
}

/// True if the controller says that the host of this worker does not answer: of this worker, of another one of the pool on the
/// same host, or of the pool. A busy worker is in no list of its own.
async fn is_unreachable(server: &Server, worker: &Worker) -> Result<bool, Failure> {
    let pool = change::read::<ContainerPool>(server, &worker.spec.pool).await?;
    let status = pool.status.unwrap_or_default();
    let on_host: BTreeSet<String> = workers_of(server, &worker.spec.pool)
        .await?
        .iter()
        .filter(|other| other.spec.host == worker.spec.host)
        .map(ResourceExt::name_any)
        .collect();
    let unreachable = NotReadyReason::HostUnreachable.as_str();
    let listed = status.not_ready.iter().any(|one| on_host.contains(&one.worker) && one.reason == unreachable);
    Ok(listed || status.conditions.iter().any(|condition| condition.reason == unreachable))
}

/// Asks a person to type the name.
fn confirm(name: &str, what: &str) -> Result<(), Failure> {
    if !output::is_stderr_a_terminal() {
        return Err(Failure::usage(format!("{what} Add --yes to say that the host is gone for good")));
    }
    say(&format!("{what}\nType the name of the worker if the host is gone for good:"));
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if read.is_ok() && line.trim() == name {
        return Ok(());
    }
    Err(Failure::new(Exit::Interrupted, format!("nothing was done: {name} was not typed")))
}
