//! What would shorten a wait, as commands where there are any.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::answer::Step;
use crate::api::{ContainerPool, Worker};
use crate::core::Wait;

/// How many rests are named.
const NAMED: usize = 5;

/// How commands are written for this server: the program and its flags.
#[derive(Clone, Debug, Default)]
pub(super) struct Commands {
    /// `poolkeeper`, or `kubectl poolkeeper`.
    pub program: String,
    /// Flags that name the server, each after a space.
    pub flags: String,
}

impl Commands {
    /// A command of this program.
    pub fn run(&self, args: &str) -> String {
        format!("{} {args}{}", self.program, self.flags)
    }
}

/// Steps without a particular order. `workers`: those of the pool.
pub(super) fn steps(
    wait: &Wait,
    pool: &ContainerPool,
    workers: &[&Worker],
    commands: &Commands,
    now: Timestamp,
) -> Vec<Step> {
    let name = pool.metadata.name.as_deref().unwrap_or_default();
    let step = |what: &str, command: Option<String>| Step { what: what.to_owned(), command };
    let look = || Some(commands.run(&format!("get workers --pool {name} -o wide")));
    match wait {
        Wait::Paused => vec![step("let the pool go on", Some(commands.run(&format!("resume {name}"))))],
        Wait::Deleting => vec![step("create the dispatches again in another pool", None)],
        Wait::Refused(_) => vec![step("change the field that the message names", None)],
        Wait::StartsFail(..) => vec![step("correct what the message names: a changed pool is tried at once", look())],
        Wait::HostUnreachable(_) => vec![step("make the host reachable", Some(commands.run("doctor")))],
        Wait::StartsPostponed(_) | Wait::WriteRefused(_) => vec![step("provide what the message names", None)],
        Wait::Resting(..) => {
            let mut steps = rests(pool, workers, commands, now);
            steps.extend(more_workers(pool, workers, commands));
            steps.push(step("add a credential with a limit of its own to spec.credentials", None));
            steps
        }
        Wait::Parked(..) => {
            let mut steps = vec![step("change the credential in the pool, or the Secret that it names", None)];
            steps.extend(rests(pool, workers, commands, now));
            steps
        }
        Wait::Busy { .. } => more_workers(pool, workers, commands).into_iter().collect(),
        Wait::Full => vec![step("raise maxConcurrent of a credential, or add a credential", None)],
        Wait::Unavailable(_) => vec![step("look at the workers", look())],
        Wait::Nothing
        | Wait::StandingDown
        | Wait::Starting
        | Wait::Probing(_)
        | Wait::Replaced(_)
        | Wait::Overloaded(..) => Vec::new(),
    }
}

/// The commands that end the rests of the pool's credentials, and of its workers.
fn rests(pool: &ContainerPool, workers: &[&Worker], commands: &Commands, now: Timestamp) -> Vec<Step> {
    let pool_name = pool.metadata.name.as_deref().unwrap_or_default();
    let credentials = pool.status.iter().flat_map(|status| &status.resting_credentials).map(|rest| {
        let since = match (&rest.until, rest.parked) {
            (_, true) => "which was refused".to_owned(),
            (Some(until), _) => format!("until {}", until.0),
            (None, _) => "after a limit".to_owned(),
        };
        let what = format!("end the rest of credential {} ({since})", rest.name);
        Step { what, command: Some(commands.run(&format!("cooldown {} --clear --pool {pool_name}", rest.name))) }
    });
    let workers = workers.iter().filter_map(|worker| {
        let until = worker.status.as_ref()?.cooldown.as_ref()?.until.as_ref()?.0;
        let name = worker.metadata.name.as_deref().unwrap_or_default();
        (until > now).then(|| Step {
            what: format!("end the rest of worker {name} (until {})", crate::api::seconds(until).0),
            command: Some(commands.run(&format!("cooldown {name} --clear"))),
        })
    });
    credentials.chain(workers).take(NAMED).collect()
}

/// More workers, if the pool has as many as it may have. Where `max` was lowered, busy workers above it are still there: one more
/// than `max` would then start nothing.
fn more_workers(pool: &ContainerPool, workers: &[&Worker], commands: &Commands) -> Option<Step> {
    let (name, max) = (pool.metadata.name.as_deref().unwrap_or_default(), pool.spec.max);
    let there = i32::try_from(workers.len()).unwrap_or(i32::MAX);
    let what = match there.cmp(&max) {
        Ordering::Less => return None,
        Ordering::Equal => format!("start one more worker than the {max} of spec.max"),
        Ordering::Greater => format!("start one more worker than the {there} that are there; spec.max is {max}"),
    };
    let command = commands.run(&format!("scale {name} +1 --max {}", there.saturating_add(1)));
    Some(Step { what, command: Some(command) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_more_worker_counts_those_above_a_lowered_max() {
        let pool: ContainerPool = serde_json::from_value(json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "p"},
            "spec": {"runtime": "Process", "max": 2},
        }))
        .unwrap();
        let worker: Worker = serde_json::from_value(json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Worker", "metadata": {"name": "p-0"},
            "spec": {"pool": "p", "poolGeneration": 1, "runtime": "Process", "host": "local", "templateHash": "h"},
        }))
        .unwrap();
        let commands = Commands { program: "poolkeeper".into(), flags: String::new() };
        let command = |workers| more_workers(&pool, &vec![&worker; workers], &commands).and_then(|step| step.command);
        assert_eq!(command(1), None);
        assert_eq!(command(2).unwrap(), "poolkeeper scale p +1 --max 3");
        assert_eq!(command(3).unwrap(), "poolkeeper scale p +1 --max 4");
    }
}
