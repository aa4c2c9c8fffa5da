//! `poolkeeper cancel`: ends a task, or its wait.

use std::cell::Cell;

use clap::Args;
use serde_json::json;

use super::identity::{AttemptArgs, Named};
use crate::api::Dispatch;
use crate::api::dispatch::DispatchPhase;
use crate::cli::change;
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::server::ServerArgs;

/// Cancel a task
///
/// A task that waits is cancelled at once. Of one that has a worker the attempt ends, and the worker is removed, because the
/// command may still run in it: `poolkeeper report` keeps the worker. Which attempt is meant comes from --uid and --attempt, or from
/// what `acquire -o env` exported. If another attempt has begun since, nothing is cancelled (exit code 4).
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  poolkeeper cancel job-1\n  poolkeeper cancel job-1 --uid UID --attempt 2")]
pub struct CancelArgs {
    /// Name of the task [default: $POOLKEEPER_TASK_ID]
    #[arg(value_name = "TASK")]
    task: Option<String>,
    #[command(flatten)]
    attempt: AttemptArgs,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for CancelArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let named = self.attempt.named(self.task.as_deref())?;
        let server = self.server.connect().await?;
        server.say_which();
        let lost = Cell::new(None);
        change::patch::<Dispatch>(&server, &named.name, |now| {
            check(&named, now)?;
            let status = now.status.as_ref();
            lost.set(status.filter(|status| status.is_open()).and_then(|status| status.worker.clone()));
            Ok((!now.spec.cancel && !is_cancelled(now)).then(|| json!({"spec": {"cancel": true}})))
        })
        .await?;
        if let Some(worker) = lost.take() {
            output::say(&format!("worker {} is removed, because the task may still run in it", worker.name));
        }
        Ok(Exit::Success)
    }
}

/// That this task can be cancelled, or is cancelled already.
fn check(named: &Named, now: &Dispatch) -> Result<(), Failure> {
    let status = now.status.clone().unwrap_or_default();
    // A task that waits for its first worker has no attempt that could be another one. An attempt that was named is always looked at.
    if named.attempt.is_some() || status.attempt > 0 {
        named.newest(now)?;
    }
    if status.phase.is_final() && !is_cancelled(now) {
        let message = format!("task {} is finished, as {:?}: there is nothing to cancel", named.name, status.phase);
        return Err(Failure::new(Exit::Conflict, message));
    }
    Ok(())
}

fn is_cancelled(now: &Dispatch) -> bool {
    now.status.as_ref().is_some_and(|status| status.phase == DispatchPhase::Cancelled)
}
