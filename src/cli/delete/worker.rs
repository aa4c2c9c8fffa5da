//! Deletion of a worker.

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;

use super::how::{How, waited};
use crate::api::worker::DispatchRef;
use crate::api::{ContainerPool, Worker, names, seconds};
use crate::cli::change::{self, Deletion};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::say;
use crate::cli::scale::workers_of;
use crate::cli::server::Server;

/// Deletes a worker. A busy one only if that was asked for.
pub(super) async fn delete(server: &Server, name: &str, how: &How, now: Timestamp) -> Result<(), Failure> {
    let mut lowered = String::new();
    let (worker, left) = loop {
        let worker = change::read::<Worker>(server, name).await?;
        let busy = dispatch_of(&worker).filter(|_| worker.metadata.deletion_timestamp.is_none());
        if let Some(dispatch) = busy.filter(|_| !how.force && how.wait != Some(true)) {
            let since = dispatch.assigned_at.0.strftime("%H:%M:%S UTC");
            return Err(Failure::new(
                Exit::Conflict,
                format!(
                    "worker {name} is busy with {}, attempt {} since {since}: add --wait to let it finish first, or --force to end the attempt as Forced{lowered}",
                    dispatch.name, dispatch.attempt
                ),
            ));
        }
        if how.shrink && lowered.is_empty() {
            lowered = shrink(server, &worker).await?;
        }
        if how.force && dispatch_of(&worker).is_some() && !force(server, &worker).await? {
            continue;
        }
        // Counted before the deletion: the worker that follows may be there at once.
        let left = others(server, &worker).await?;
        // A worker that may be busy is deleted whatever happened to it since: it ends its dispatch first.
        let as_read = !how.force && how.wait != Some(true);
        match change::delete(server, &worker, as_read).await? {
            Deletion::Changed => {}
            Deletion::Accepted => break (worker, left),
            Deletion::Gone => return Err(Failure::new(Exit::NotFound, format!("worker {name} is gone already"))),
        }
    };
    if let Some(rest) = own_rest(&worker).filter(|until| *until > now) {
        say(&format!("its rest until {} goes with it: another worker does not know of the limit", seconds(rest).0));
    }
    if how.shrink {
        say(lowered.trim_start_matches("; "));
    } else {
        say_what_follows(server, &worker, left).await?;
    }
    if how.waits() { wait(server, &worker, how).await } else { Ok(()) }
}

/// The end of the rest that is stored in the worker alone.
fn own_rest(worker: &Worker) -> Option<Timestamp> {
    Some(worker.status.as_ref()?.cooldown.as_ref()?.until.as_ref()?.0)
}

/// The dispatch that a worker is busy with.
pub(super) fn dispatch_of(worker: &Worker) -> Option<&DispatchRef> {
    worker.status.as_ref()?.dispatch.as_ref()
}

/// Marks a worker, as it was read: its open attempt ends as Forced. False: it was changed since, and may have another task.
async fn force(server: &Server, worker: &Worker) -> Result<bool, Failure> {
    let read = worker.resource_version();
    let mut same = true;
    change::patch::<Worker>(server, &worker.name_any(), |now| {
        same = now.resource_version() == read;
        Ok(same.then(|| json!({"metadata": {"annotations": {names::FORCE_DELETE: "true"}}})))
    })
    .await?;
    Ok(same)
}

/// Lowers the `min` of the worker's pool, if the pool would make another worker for this one. Says what it did.
async fn shrink(server: &Server, worker: &Worker) -> Result<String, Failure> {
    let pool = &worker.spec.pool;
    let left = others(server, worker).await?;
    let mut was = 0;
    let now = change::patch::<ContainerPool>(server, pool, |pool| {
        was = pool.spec.min;
        Ok((left < was).then(|| json!({"spec": {"min": left}})))
    })
    .await?;
    let min = now.spec.min;
    Ok(if min < was {
        format!("; spec.min of pool {pool} is {min} now; it was {was}")
    } else {
        format!("; spec.min of pool {pool} stays {min}: no worker follows for it")
    })
}

/// How many other workers of its pool stay when a worker goes.
async fn others(server: &Server, worker: &Worker) -> Result<i32, Failure> {
    let all = workers_of(server, &worker.spec.pool).await?;
    let others = all.iter().filter(|w| w.metadata.deletion_timestamp.is_none() && w.uid() != worker.uid()).count();
    Ok(i32::try_from(others).unwrap_or(i32::MAX))
}

/// Says whether another worker takes the place of one that is being deleted. `left`: the workers of its pool without it.
async fn say_what_follows(server: &Server, worker: &Worker, left: i32) -> Result<(), Failure> {
    let name = &worker.spec.pool;
    let Some(pool) = change::find::<ContainerPool>(server, name).await? else { return Ok(()) };
    let queued = pool.status.as_ref().map_or(0, |status| status.queued);
    if pool.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    if left < pool.spec.min {
        say(&format!(
            "another worker follows, since spec.min of pool {name} is {}; --shrink lowers it as well",
            pool.spec.min
        ));
    } else if pool.spec.warm > 0 || queued > 0 {
        let why = if queued > 0 { "dispatches wait" } else { "spec.warm is above 0" };
        say(&format!("another worker may follow in pool {name}, since {why}"));
    }
    Ok(())
}

/// Waits until a worker is gone. Says what it is busy with.
pub(super) async fn wait(server: &Server, worker: &Worker, how: &How) -> Result<(), Failure> {
    let (name, uid) = (worker.name_any(), worker.uid());
    let (mut said, mut last) = (false, None);
    let gone = change::until(how.timeout, async || {
        let Some(now) = change::find::<Worker>(server, &name).await?.filter(|now| now.uid() == uid) else {
            return Ok(Some(()));
        };
        if let Some(dispatch) = dispatch_of(&now).filter(|_| !said) {
            say(&format!("waiting for worker {name}: it is busy with {}, attempt {}", dispatch.name, dispatch.attempt));
            said = true;
        }
        last = now.status;
        Ok(None)
    })
    .await?;
    let last = last.unwrap_or_default();
    let busy = last.dispatch.map(|dispatch| format!("it is busy with {}", dispatch.name));
    let left = busy
        .or(last.message)
        .unwrap_or_else(|| "its instance is being stopped; if its host is gone for good, see --host-gone".to_owned());
    waited(&format!("worker {name}"), gone, how, &left)
}
