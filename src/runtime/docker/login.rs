//! Containers with a login directory: one at a time, and of a user who can use it.

use bollard::Docker;
use bollard::models::ContainerSummaryStateEnum as State;

use super::endpoint::Endpoint;
use super::engine_error::EngineError;
use super::host::Host;
use super::{instance, result, sweep};
use crate::api::names;
use crate::api::pool::{LoginDirectory, RunAs};
use crate::runtime::credentials::{Login, overlap};
use crate::runtime::{InstanceSpec, StartError};

/// What the engine tells of a mapping of users: root of a container is not root of the machine then.
const MAPPINGS: [&str; 2] = ["name=rootless", "name=userns"];

/// Makes sure that a file or directory of this machine, if the worker gets one, is there for the engine too.
pub(super) async fn has_files_of_this_machine(host: &Host, spec: &InstanceSpec) -> Result<(), StartError> {
    let Some(credential) = &spec.credential else { return Ok(()) };
    let what = match (&credential.directory, &credential.file) {
        // The engine in a virtual machine, as on macOS, sees the directories that it shares. It refuses others.
        (Some(_), _) if matches!(host.endpoint, Endpoint::Unix(_)) => return Ok(()),
        (Some(_), _) => "directory",
        (None, Some(_)) => "file",
        (None, None) => return Ok(()),
    };
    let reached = |error: EngineError| StartError::Unreachable(error.to_string());
    let docker = host.docker().await.map_err(reached)?;
    if what == "file" && sweep::is_this_machine(host, &docker).await.map_err(reached)? {
        return Ok(());
    }
    Err(StartError::Refused(format!(
        "credential {}: {what} needs a Docker Engine on this machine, and host {} at {} is on another one",
        credential.name, host.name, host.endpoint
    )))
}

/// Names of other containers on the engine that have the directory, one inside it or one around it, whatever installation made
/// them. `NotNow` if they are as many as may have it.
pub(super) async fn is_free(host: &Host, docker: &Docker, spec: &InstanceSpec, mark: &str) -> Result<(), StartError> {
    let found = instance::list(host, docker, &[names::DIRECTORY.to_owned()]).await;
    let found = found.map_err(|error| StartError::Unreachable(error.to_string()))?;
    let mut others = Vec::new();
    for container in found {
        let labels = container.labels.unwrap_or_default();
        let its = labels.get(names::DIRECTORY).is_some_and(|its| overlap(its, mark));
        let runs = !matches!(container.state, Some(State::EXITED | State::DEAD | State::REMOVING));
        if its && runs && labels.get(names::WORKER_UID) != Some(&spec.key.uid) {
            let name = container.names.unwrap_or_default().into_iter().next().unwrap_or_default();
            others.push(name.trim_start_matches('/').to_owned());
        }
    }
    let most = spec.credential.as_ref().and_then(|c| c.max_concurrent).unwrap_or(1);
    if others.len() < usize::try_from(most).unwrap_or(0) {
        return Ok(());
    }
    Err(StartError::NotNow(format!(
        "the directory of credential {} is in use by container {} on host {}",
        spec.credential.as_ref().map(|c| c.name.as_str()).unwrap_or_default(),
        others.join(", "),
        host.name
    )))
}

/// Why the user of a container cannot use the directory, if so. The container was created, and does not run yet.
pub(super) async fn refusal(
    host: &Host,
    docker: &Docker,
    container: &str,
    directory: &LoginDirectory,
    login: &Login,
) -> Result<Option<String>, EngineError> {
    if directory.run_as == RunAs::Host {
        return Ok(None);
    }
    if !sweep::is_this_machine(host, docker).await? {
        return Ok(None); // users of a virtual machine are not those of this one
    }
    let info = docker.info().await.map_err(|error| host.error(&error))?;
    let is_mapped = |option: &String| MAPPINGS.iter().any(|mapping| option.contains(mapping));
    if info.security_options.unwrap_or_default().iter().any(is_mapped) {
        return Ok(None);
    }
    let found = docker.inspect_container(container, None).await.map_err(|error| host.error(&error))?;
    let named = found.config.and_then(|config| config.user).unwrap_or_default();
    let named = named.split(':').next().unwrap_or_default();
    let user = match named {
        "" => Some(0),
        named => match named.parse() {
            Ok(user) => Some(user),
            Err(_) => number_of(&result::read_file(host, docker, container, "/etc/passwd").await?, named),
        },
    };
    Ok(match user {
        Some(user) => login.refuses(user),
        None => Some(format!("the image has no user {named}: set runAs: host")),
    })
}

/// The number of a user, by the lines of a passwd file.
fn number_of(passwd: &[u8], user: &str) -> Option<u32> {
    let text = String::from_utf8_lossy(passwd);
    let mut lines = text.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| (fields.next() == Some(user)).then(|| fields.nth(1)?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_name() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/bash\nbad\n";
        assert_eq!([number_of(passwd, "node"), number_of(passwd, "root")], [Some(1000), Some(0)]);
        assert_eq!([number_of(passwd, "bad"), number_of(passwd, "nobody")], [None, None]);
    }
}
