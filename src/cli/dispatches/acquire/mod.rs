//! `poolkeeper acquire`: claims a worker for a task.
//!
//! - `claim`: makes the Dispatch and waits for the decision. `stop`: what ends that. `explain`: why it takes long.
//! - Here: the flags, what is checked first, and what is printed.

mod claim;
mod explain;
mod stop;

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt};
use serde_json::json;

use self::claim::{Claim, Claiming, Existing};
use self::stop::{Stop, output_closed};
use super::variables;
use crate::api::dispatch::{DispatchSpec, Retry};
use crate::api::{ContainerPool, Dispatch, Period};
use crate::cli::change::check_name;
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::server::{Server, ServerArgs, is_not_found};
use crate::cli::shell::quoted;

/// The limit of an attempt whose holder renews no Lease: after it, a holder that died holds its worker no longer.
const TIMEOUT: Period = Period::hours(1);
/// How long a Lease may take to be there: `renew` is started just before.
const LEASE_PATIENCE: Duration = Duration::from_secs(5);

/// Claim a worker of a pool for a task
///
/// It waits until a worker is free and prints the claim. The worker is yours until you report how the task ended: see
/// `poolkeeper exec` and `poolkeeper report`. A signal, or a closed standard output, gives the claim up. On failure `-o env`
/// prints a command that fails, because a shell ignores the exit code inside "$(…)".
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  eval \"$(poolkeeper acquire agents --task job-1 --wait 10m)\" || exit\n  \
                  poolkeeper exec \"$POOLKEEPER_TASK_ID\" -- make test\n  poolkeeper report --exit-code $?")]
pub struct AcquireArgs {
    /// Name of the pool
    #[arg(value_name = "POOL")]
    pool: String,
    /// Name of the task, and of its Dispatch: lower case letters, digits, `-` and `.`
    #[arg(long, value_name = "ID", value_parser = word)]
    task: String,
    /// How long to wait for a worker; 0s: without limit
    #[arg(long, value_name = "TIME", default_value = "10m")]
    wait: Period,
    /// Lease that you renew while you hold the worker: see `poolkeeper renew`
    #[arg(long, value_name = "NAME", value_parser = word)]
    lease: Option<String>,
    /// End the attempt after this time; 0s: without limit [default: 1h; with --lease that of the pool]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Period>,
    /// Priority in the queue: higher first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// Note for people
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Further attempts after an outcome: rateLimited, workerLost, failed, lost or overloaded; -1: without limit
    ///
    /// After such an end, `acquire --again` waits for the worker of the next attempt.
    #[arg(long = "retry", value_name = "OUTCOME=N", value_parser = retry)]
    retries: Vec<(RetryAfter, i32)>,
    /// If the task exists and is not finished, wait for its worker and print its claim
    #[arg(long, conflicts_with = "replace")]
    again: bool,
    /// If the task exists and is finished, make a new Dispatch for it, once nothing of the old one can run any more
    #[arg(long)]
    replace: bool,
    /// How to print the claim
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// How a claim is printed.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    /// Commands for a shell that export it
    #[default]
    Env,
    /// A JSON object
    Json,
    /// The command that runs a task in the worker, as a JSON array
    Argv,
}

/// An outcome that another attempt may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetryAfter {
    RateLimited,
    WorkerLost,
    Failed,
    Lost,
    Overloaded,
}

impl Run for AcquireArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let ended = Box::pin(self.acquire(cx)).await;
        if let (Err(failure), Format::Env) = (&ended, self.output) {
            // Nothing is left to do about a closed standard output.
            let _ = output::data(failed_in_a_shell(failure.exit).as_bytes());
        }
        ended
    }
}

impl AcquireArgs {
    async fn acquire(&self, cx: &Context) -> Result<Exit, Failure> {
        for name in [&self.pool, &self.task].into_iter().chain(&self.lease) {
            check_name(name)?;
        }
        let stop = Stop::listen()?;
        let server = stop.unless(self.server.connect()).await??;
        server.say_which();
        stop.unless(self.check(&server)).await??;
        let claiming = Claiming {
            server: &server,
            stop: &stop,
            clock: &*cx.clock,
            name: &self.task,
            spec: self.spec(),
            wait: self.wait,
            existing: match (self.again, self.replace) {
                (true, _) => Existing::Again,
                (_, true) => Existing::Replace,
                _ => Existing::Refuse,
            },
        };
        let Claim { dispatch, is_new } = Box::pin(claiming.claim()).await?;
        let printed = stop.unless(async { output::data(self.text(&dispatch).as_bytes()) }).await;
        if let Err(failure) = printed.and_then(|printed| printed.map_err(|_| output_closed())) {
            claiming.take_back(&dispatch.uid().unwrap_or_default(), is_new).await?;
            return Err(failure);
        }
        Ok(Exit::Success)
    }

    /// What would keep the task waiting in vain.
    async fn check(&self, server: &Server) -> Result<(), Failure> {
        let pools: Api<ContainerPool> = server.api();
        pools.get(&self.pool).await.map_err(|error| {
            if !is_not_found(&error) {
                return server.failed(&error);
            }
            let place = format!("namespace {} of {}", server.namespace, server.title);
            Failure::new(Exit::NotFound, format!("there is no pool {:?} in {place}", self.pool))
        })?;
        let Some(name) = &self.lease else { return Ok(()) };
        let leases: Api<Lease> = server.api();
        let there = async {
            while leases.get_opt(name).await.map_err(|e| server.failed(&e))?.is_none() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        tokio::time::timeout(LEASE_PATIENCE, there).await.unwrap_or_else(|_| {
            let message =
                format!("there is no Lease {name:?}: run `poolkeeper renew {name} &` first, while you hold workers");
            Err(Failure::new(Exit::NotFound, message))
        })
    }

    fn spec(&self) -> DispatchSpec {
        let mut retry = Retry::default();
        for (after, count) in &self.retries {
            *match after {
                RetryAfter::RateLimited => &mut retry.rate_limited,
                RetryAfter::WorkerLost => &mut retry.worker_lost,
                RetryAfter::Failed => &mut retry.failed,
                RetryAfter::Lost => &mut retry.lost,
                RetryAfter::Overloaded => &mut retry.overloaded,
            } = *count;
        }
        DispatchSpec {
            pool: self.pool.clone(),
            priority: self.priority,
            timeout: self.timeout.or_else(|| self.lease.is_none().then_some(TIMEOUT)),
            lease_name: self.lease.clone(),
            retry,
            note: self.note.clone(),
            ..DispatchSpec::default()
        }
    }

    /// The claim as it is printed.
    fn text(&self, dispatch: &Dispatch) -> String {
        let status = dispatch.status.clone().unwrap_or_default();
        let uid = dispatch.uid().unwrap_or_default();
        let worker = status.worker.as_ref().map(|worker| worker.name.clone()).unwrap_or_default();
        match self.output {
            Format::Env => [
                (variables::ID, self.task.as_str()),
                (variables::UID, &uid),
                (variables::ATTEMPT, &status.attempt.to_string()),
                (variables::WORKER, &worker),
            ]
            .iter()
            .map(|(name, value)| format!("export {name}={}\n", quoted(value)))
            .collect(),
            Format::Json => {
                let claim = json!({
                    "task": self.task, "uid": uid, "attempt": status.attempt, "pool": dispatch.spec.pool,
                    "worker": worker, "workerUid": status.worker.map(|worker| worker.uid), "target": status.target,
                    "assignedAt": status.assigned_at,
                });
                format!("{}\n", output::escape_json(&claim.to_string()))
            }
            Format::Argv => {
                let argv = json!(status.target.map(|target| target.argv).unwrap_or_default());
                format!("{}\n", output::escape_json(&argv.to_string()))
            }
        }
    }
}

/// What a shell evaluates that was promised a claim: nothing of an earlier claim is left, and the command fails.
pub fn failed_in_a_shell(exit: Exit) -> String {
    let all = [variables::ID, variables::UID, variables::ATTEMPT, variables::WORKER].join(" ");
    format!("unset {all}\n(exit {})\n", exit.code())
}

fn word(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it is empty: is a variable not set?".to_owned()) } else { Ok(text.to_owned()) }
}

fn retry(text: &str) -> Result<(RetryAfter, i32), String> {
    let wrong =
        || "write OUTCOME=N, such as rateLimited=3: rateLimited, workerLost, failed, lost or overloaded".to_owned();
    let (name, count) = text.split_once('=').ok_or_else(wrong)?;
    let after = match name {
        "rateLimited" => RetryAfter::RateLimited,
        "workerLost" => RetryAfter::WorkerLost,
        "failed" => RetryAfter::Failed,
        "lost" => RetryAfter::Lost,
        "overloaded" => RetryAfter::Overloaded,
        _ => return Err(wrong()),
    };
    let count = i32::from_str(count).ok().filter(|count| *count >= -1).ok_or("N is a number from -1")?;
    Ok((after, count))
}
