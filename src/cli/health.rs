//! `poolkeeper health`: whether the workers are well.

use clap::Args;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::change;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::output::{escape, escape_json, say};
use super::print::table::align;
use super::print::{self, Summary};
use super::scale::workers_of;
use super::server::ServerArgs;
use crate::api::pool::NotReady;
use crate::api::vocabulary::{NotReadyReason, PoolReady, Reason, WorkerHealthy, WorkerReady};
use crate::api::worker::WorkerPhase;
use crate::api::{Condition, ContainerPool, Worker, seconds};

/// Reasons of Ready that do not go away by waiting for work to end.
const ILL: [PoolReady; 6] = [
    PoolReady::Refused,
    PoolReady::StartsFail,
    PoolReady::StartsWait,
    PoolReady::HostUnreachable,
    PoolReady::WriteRefused,
    PoolReady::WorkersUnavailable,
];

/// Show whether the workers are well
///
/// Exits with 0 if they are, and with 1 if a worker fails, cannot be reached or does not pass its checks, or a pool cannot start
/// workers. The controller checks each worker every spec.health.interval, and notices its end at once.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  poolkeeper health agents || poolkeeper status agents")]
pub struct HealthArgs {
    /// The pool. Without one: all pools of the namespace
    #[arg(value_name = "POOL")]
    pool: Option<String>,
    /// How to print it; json: one object
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Summary,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for HealthArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let server = self.server.connect().await?;
        let pools = match &self.pool {
            Some(name) => vec![change::read::<ContainerPool>(&server, name).await?],
            None => server.api().list(&ListParams::default()).await.map_err(|e| server.failed(&e))?.items,
        };
        let mut found = Vec::new();
        for pool in &pools {
            let workers = workers_of(&server, &pool.name_any()).await?;
            found.extend(of_pool(pool));
            found.extend(workers.iter().map(|worker| of_worker(worker, pool)));
        }
        let ill = found.iter().filter(|health| !health.well).count();
        if self.output == Summary::Json {
            let all: Vec<Value> = found.iter().map(Health::json).collect();
            let text = format!("{:#}", json!({"healthy": ill == 0, "objects": all}));
            print::data(&text.lines().map(|line| format!("{}\n", escape_json(line))).collect::<String>())?;
        } else if found.is_empty() {
            say("there are no workers");
        } else {
            let heading = ["NAME", "PHASE", "HEALTH", "SINCE", "MESSAGE"].map(str::to_owned).to_vec();
            let lines: Vec<_> = [heading].into_iter().chain(found.iter().map(Health::line)).collect();
            print::data(&align(&lines, &mut Vec::new()))?;
        }
        Ok(if ill == 0 { Exit::Success } else { Exit::Failed })
    }
}

/// How a worker or a pool is.
#[derive(Debug, PartialEq)]
struct Health {
    kind: &'static str,
    name: String,
    phase: String,
    well: bool,
    /// One word.
    reason: String,
    since: String,
    message: String,
}

impl Health {
    fn line(&self) -> Vec<String> {
        let name = if self.kind == "pool" { format!("pool {}", self.name) } else { self.name.clone() };
        let words = [&name, &self.phase, &self.reason, &self.since, &self.message];
        words.map(|word| escape(word).into_owned()).to_vec()
    }

    fn json(&self) -> Value {
        json!({
            "kind": self.kind, "name": self.name, "phase": self.phase, "healthy": self.well, "reason": self.reason,
            "since": self.since, "message": self.message,
        })
    }
}

/// A pool that cannot have the workers that it wants.
fn of_pool(pool: &ContainerPool) -> Option<Health> {
    let status = pool.status.as_ref()?;
    let ready = Condition::find::<PoolReady>(&status.conditions).filter(|c| !c.is_true())?;
    ILL.iter().find(|reason| reason.as_str() == ready.reason)?;
    Some(Health {
        kind: "pool",
        name: pool.name_any(),
        phase: String::new(),
        well: false,
        reason: ready.reason.clone(),
        since: seconds(ready.last_transition_time.0).0.to_string(),
        message: ready.message.clone(),
    })
}

fn of_worker(worker: &Worker, pool: &ContainerPool) -> Health {
    let status = worker.status.clone().unwrap_or_default();
    let name = worker.name_any();
    let ready = Condition::find::<WorkerReady>(&status.conditions);
    let healthy = Condition::find::<WorkerHealthy>(&status.conditions);
    let listed = pool.status.as_ref().and_then(|s| s.not_ready.iter().find(|one| one.worker == name));
    let fails = [ready, healthy].into_iter().flatten().find(|condition| !condition.is_true());
    let (well, reason) = match (fails, listed) {
        (Some(condition), _) => (false, condition.reason.clone()),
        (None, Some(listed)) if is_ill(listed) => (false, listed.reason.clone()),
        (None, _) if status.phase == WorkerPhase::Failed => (false, NotReadyReason::InstanceLost.as_str().to_owned()),
        (None, _) if ready.is_none() => (true, format!("{:?}", status.phase)),
        (None, _) => (true, WorkerHealthy::CONDITION.to_owned()),
    };
    let since = fails.or(healthy).or(ready).map(|condition| seconds(condition.last_transition_time.0).0.to_string());
    let said = fails.map(|condition| condition.message.clone()).filter(|message| !message.is_empty());
    Health {
        kind: "worker",
        name,
        phase: format!("{:?}", status.phase),
        well,
        reason,
        since: since.unwrap_or_default(),
        message: said.or(status.message).unwrap_or_default(),
    }
}

/// True if this is no part of a worker's usual life.
fn is_ill(listed: &NotReady) -> bool {
    use NotReadyReason::{HostUnreachable, InstanceLost, Unhealthy};
    [HostUnreachable, InstanceLost, Unhealthy].iter().any(|reason| reason.as_str() == listed.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_well_unless_something_is_known_against_it() {
        let condition = |type_: &str, status: &str, reason: &str| json!({"type": type_, "status": status, "reason": reason, "message": "why", "lastTransitionTime": "2026-11-29T12:00:00.000000Z"});
        let health = |status: Value, not_ready: &str| {
            let pool = json!({
                "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "a"}, "spec": {},
                "status": {"notReady": [{"worker": "a-0", "reason": not_ready}]},
            });
            let worker = json!({
                "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Worker", "metadata": {"name": "a-0"},
                "spec": {"pool": "a", "poolGeneration": 1, "runtime": "Docker", "templateHash": "0"}, "status": status,
            });
            let health = of_worker(&serde_json::from_value(worker).unwrap(), &serde_json::from_value(pool).unwrap());
            format!("{} {}", health.well, health.reason)
        };
        let ready = condition("Ready", "True", "Running");
        for (status, listed, expected) in [
            (json!({"phase": "Ready", "conditions": [ready]}), "Resting", "true Healthy"),
            (json!({"phase": "Starting"}), "Starting", "true Starting"),
            (json!({"phase": "Ready", "conditions": [ready]}), "HostUnreachable", "false HostUnreachable"),
            (
                json!({"phase": "Ready", "conditions": [ready, condition("Healthy", "False", "CheckFailed")]}),
                "Unhealthy",
                "false CheckFailed",
            ),
            (
                json!({"phase": "Ready", "conditions": [ready, condition("Healthy", "True", "CheckPassed")]}),
                "",
                "true Healthy",
            ),
            (
                json!({"phase": "Failed", "conditions": [condition("Ready", "False", "InstanceLost")]}),
                "InstanceLost",
                "false InstanceLost",
            ),
            (json!({"phase": "Failed"}), "", "false InstanceLost"),
        ] {
            assert_eq!(health(status.clone(), listed), expected, "{status} {listed}");
        }
    }
}
