//! `poolkeeper wait`: waits for tasks.

use clap::{Args, ValueEnum};
use futures::future::{join_all, try_join_all};
use kube::Api;

use super::identity::can_run;
use super::{patience, watch};
use crate::api::dispatch::DispatchPhase;
use crate::api::{Dispatch, Period};
use crate::cli::change::check_name;
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::print;
use crate::cli::server::{Server, ServerArgs};

/// Wait until tasks have a worker, or are finished
///
/// It prints each task with its phase. Exit code 0: every task succeeded, or has a worker; 1: at least one ended otherwise; 3: there
/// is no such task; 5: the time is over.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  poolkeeper wait job-1 job-2 --timeout 1h\n  poolkeeper wait job-1 --for assigned")]
pub struct WaitArgs {
    /// Names of the tasks
    #[arg(value_name = "TASK", required = true)]
    tasks: Vec<String>,
    /// What to wait for
    #[arg(long = "for", value_enum, default_value_t, value_name = "STATE")]
    state: State,
    /// How long to wait; 0s: without limit
    #[arg(long, value_name = "TIME", default_value = "0s")]
    timeout: Period,
    /// How long the server may be away meanwhile
    #[arg(long, value_name = "TIME", default_value = "5m")]
    patience: Period,
    #[command(flatten)]
    server: ServerArgs,
}

/// What is waited for.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// An attempt is open, or the task is finished
    Assigned,
    /// The task is finished
    #[default]
    Finished,
}

impl Run for WaitArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let names: Vec<&str> = self.tasks.iter().map(|task| task.strip_prefix("task/").unwrap_or(task)).collect();
        names.iter().try_for_each(|name| check_name(name))?;
        self.server.check()?;
        let server = patience::repeat(&*cx.clock, self.patience.get(), async || self.server.connect().await).await?;
        let all = join_all(names.iter().map(|name| self.wait(&server, name)));
        // However short the time is, it allows for one look.
        let ended = if self.timeout.is_zero() || self.is_over(&server, &names).await? {
            all.await
        } else {
            let limit = tokio::time::timeout(self.timeout.get(), all).await;
            limit.map_err(|_| {
                let message = format!("{} did not come within {} (--timeout)", self.words(), self.timeout);
                Failure::new(Exit::WaitedTooLong, message)
            })?
        };
        let phases = ended.into_iter().collect::<Result<Vec<_>, _>>()?;
        let good = |phase: &DispatchPhase| match self.state {
            State::Assigned => matches!(phase, DispatchPhase::Assigned | DispatchPhase::Succeeded),
            State::Finished => *phase == DispatchPhase::Succeeded,
        };
        Ok(if phases.iter().all(good) { Exit::Success } else { Exit::Failed })
    }
}

impl WaitArgs {
    fn words(&self) -> &'static str {
        match self.state {
            State::Assigned => "the worker",
            State::Finished => "the end",
        }
    }

    /// True if there is nothing to wait for.
    async fn is_over(&self, server: &Server, names: &[&str]) -> Result<bool, Failure> {
        let api: Api<Dispatch> = server.api();
        let looks = try_join_all(names.iter().map(|name| api.get_opt(name))).await;
        let found = looks.map_err(|error| server.failed(&error))?;
        Ok(found.iter().flatten().all(|dispatch| self.is_reached(dispatch)))
    }

    fn is_reached(&self, dispatch: &Dispatch) -> bool {
        let is_final = dispatch.status.as_ref().is_some_and(|status| status.phase.is_final());
        is_final || (self.state == State::Assigned && can_run(dispatch))
    }

    /// Waits for one task, and prints it.
    async fn wait(&self, server: &Server, name: &str) -> Result<DispatchPhase, Failure> {
        let mut seen = None;
        let phase = watch::until(server, name, self.patience.get(), |now: Option<Dispatch>| {
            let Some(now) = now else { return Some(None) };
            // One that was deleted, and made again, is another task.
            if seen.get_or_insert_with(|| now.metadata.uid.clone()) != &now.metadata.uid {
                return Some(None);
            }
            self.is_reached(&now).then(|| Some(now.status.unwrap_or_default().phase))
        });
        let phase = phase.await?.ok_or_else(|| {
            let message = match seen {
                Some(_) => format!("task {name} was deleted while it was waited for"),
                None => format!("there is no task {name:?} on {}", server.title),
            };
            Failure::new(Exit::NotFound, message)
        })?;
        print::data(&format!("{name} {phase:?}\n"))?;
        Ok(phase)
    }
}
