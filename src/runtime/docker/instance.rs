//! From what the engine says of a container to an [`Instance`].

use std::collections::HashMap;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status, ContainerSummary,
    HealthStatusEnum as Health,
};
use bollard::query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder};
use futures::stream::StreamExt;

use super::engine_error::EngineError;
use super::host::Host;
use crate::api::names;
use crate::api::names::{CREDENTIAL_ENV, CREDENTIAL_FILE};
use crate::api::worker::Handle;
use crate::runtime::credentials::{Ending, Redactor, Secret, ValueFiles};
use crate::runtime::{Exit, Instance, InstanceKey, InstanceState};

/// How much of a dead instance's output is stored, in bytes.
const TAIL_BYTES: usize = 1024;
/// No more lines than this are asked for.
const TAIL_LINES: &str = "64";

/// The labels of a container, whatever is asked about it.
pub(super) type Labels = HashMap<String, String>;

/// Whose container it is. None: not one of ours.
pub(super) fn key(labels: &Labels) -> Option<InstanceKey> {
    Some(InstanceKey {
        namespace: labels.get(names::NAMESPACE)?.clone(),
        worker: labels.get(names::WORKER)?.clone(),
        uid: labels.get(names::WORKER_UID)?.clone(),
    })
}

/// All containers, running or not, that have these labels (`name` or `name=value`).
pub(super) async fn list(
    host: &Host,
    docker: &Docker,
    labels: &[String],
) -> Result<Vec<ContainerSummary>, EngineError> {
    let filters = HashMap::from([("label", labels.to_vec())]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    docker.list_containers(Some(options)).await.map_err(|e| host.error(&e))
}

/// The labels that name one instance of an installation.
pub(super) fn of_instance(installation: &str, key: &InstanceKey) -> [String; 2] {
    [format!("{}={installation}", names::INSTALLATION), format!("{}={}", names::WORKER_UID, key.uid)]
}

/// Looks at one container, by id or name. `Ok(None)`: the engine says that it does not exist, or is not one of ours.
pub(super) async fn look(host: &Host, docker: &Docker, container: &str) -> Result<Option<Instance>, EngineError> {
    match docker.inspect_container(container, None).await {
        Ok(found) => Ok(read(host, docker, &found).await),
        Err(e) => match host.error(&e) {
            error if error.is_not_found() => Ok(None),
            error => Err(error),
        },
    }
}

/// Looks for one instance: by its name, which is one request, then by its labels, if it does not have that name. `Ok(None)` is the
/// word of the engine that has the workers.
pub(super) async fn find(host: &Host, installation: &str, key: &InstanceKey) -> Result<Option<Instance>, EngineError> {
    let docker = host.docker().await?;
    let named = look(host, &docker, &key.instance_name()).await?;
    if let Some(instance) = named.filter(|instance| instance.key == *key) {
        return Ok(Some(instance));
    }
    for id in list(host, &docker, &of_instance(installation, key)).await?.into_iter().filter_map(|c| c.id) {
        if let Some(instance) = look(host, &docker, &id).await? {
            return Ok(Some(instance));
        }
    }
    host.confirm(&docker).await?;
    Ok(None)
}

/// Reads the answer of an inspection; asks for the output too if the container has ended.
pub(super) async fn read(host: &Host, docker: &Docker, found: &ContainerInspectResponse) -> Option<Instance> {
    let config = found.config.as_ref()?;
    let labels = config.labels.as_ref()?;
    let key = key(labels)?;
    let id = found.id.clone()?;
    let state = found.state.as_ref()?;
    let running = match state.status {
        Some(Status::RUNNING | Status::STOPPING) => Some(by_health(state)),
        // Its HEALTHCHECK does not run: what that said last does not count.
        Some(Status::PAUSED) => Some(InstanceState::Paused),
        Some(Status::CREATED | Status::RESTARTING) => Some(InstanceState::Starting),
        _ => None,
    };
    let state = match running {
        Some(state) => state,
        None => InstanceState::Exited(Exit {
            code: state.exit_code.and_then(|code| i32::try_from(code).ok()),
            out_of_memory: state.oom_killed.unwrap_or_default(),
            tail: tail(docker, &id, secret(labels, config.env.as_deref().unwrap_or_default(), &key.uid)).await,
            from_outside: false,
        }),
    };
    // The engine's word for a container that never ran is the year 1.
    let started = found.state.as_ref().and_then(|s| s.started_at.clone()).filter(|time| !time.starts_with("0001-"));
    Some(Instance {
        key,
        host: host.name.clone(),
        own: true,
        handle: Handle { id, started: started.unwrap_or_default(), engine: host.engine() },
        state,
    })
}

/// What a container that runs is able to do, by the HEALTHCHECK of its image if there is one. Its output is not repeated: it may be
/// another one each time.
fn by_health(state: &ContainerState) -> InstanceState {
    match state.health.as_ref().and_then(|health| health.status) {
        Some(Health::STARTING) => InstanceState::Starting,
        // The engine calls each container unhealthy that it pauses, until the next HEALTHCHECK after that. None has failed.
        Some(Health::UNHEALTHY) if state.health.as_ref().is_some_and(|health| health.failing_streak == Some(0)) => {
            InstanceState::Running
        }
        Some(Health::UNHEALTHY) => InstanceState::NotReady {
            why: "the HEALTHCHECK of its image fails; `docker inspect` shows what it printed".to_owned(),
            held: false,
        },
        _ => InstanceState::Running,
    }
}

/// What must not show of a container's output.
#[derive(Debug)]
enum Hidden {
    Nothing,
    /// The value of its credential.
    Value(Secret),
    /// A value that is not known any more.
    All,
}

/// The value of the container's credential, which its output may repeat.
fn secret(labels: &Labels, env: &[String], uid: &str) -> Hidden {
    if labels.contains_key(CREDENTIAL_FILE) {
        return ValueFiles::open().ok().and_then(|files| files.read(uid)).map_or(Hidden::All, Hidden::Value);
    }
    let Some(name) = labels.get(CREDENTIAL_ENV) else { return Hidden::Nothing };
    let value = env.iter().find_map(|variable| variable.strip_prefix(name.as_str())?.strip_prefix('='));
    value.map_or(Hidden::Nothing, |value| Hidden::Value(Secret::new(value)))
}

/// The end of a container's output; empty if it cannot be had (some log drivers cannot be read back).
async fn tail(docker: &Docker, id: &str, hidden: Hidden) -> String {
    let secret = match &hidden {
        Hidden::Nothing => None,
        Hidden::Value(value) => Some(value),
        Hidden::All => return "its output is not shown: it may hold its credential, whose file is gone".to_owned(),
    };
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(TAIL_LINES).build();
    let mut lines = std::pin::pin!(docker.logs(id, Some(options)));
    // The engine leaves out what was before these lines, which may be the start of a value that has several.
    let (mut stdout, mut stderr) = (Redactor::after_a_cut(secret), Redactor::after_a_cut(secret));
    let mut end = Ending::new(TAIL_BYTES);
    while let Some(Ok(piece)) = lines.next().await {
        let stream = if matches!(piece, LogOutput::StdErr { .. }) { &mut stderr } else { &mut stdout };
        end.push(stream, piece.as_ref());
    }
    end.close(&mut stdout);
    end.close(&mut stderr);
    end.text().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_the_named_variable() {
        let labels = Labels::from([(CREDENTIAL_ENV.to_owned(), "TOKEN".to_owned())]);
        let env = ["TOKENS=no".to_owned(), "TOKEN=a=b-sesame".to_owned()];
        assert!(matches!(secret(&labels, &env, "u"), Hidden::Value(value) if value.expose() == "a=b-sesame"));
        assert!(matches!(secret(&Labels::new(), &env, "u"), Hidden::Nothing));
        let in_a_file = Labels::from([(CREDENTIAL_FILE.to_owned(), String::new())]);
        assert!(matches!(secret(&in_a_file, &env, "no-such-worker"), Hidden::All));
    }
}
