//! Removing what dead local runs left on this machine's engine.

use futures::stream::{self, StreamExt, TryStreamExt};

use super::endpoint::Endpoint;
use super::engine_error::EngineError;
use super::host::Host;
use super::owner::{Life, OwnerProcess};
use super::{instance, stop};
use crate::api::names;
use crate::runtime::credentials::remove_value_file;
use crate::runtime::{InstanceKey, RuntimeError};

/// Containers removed in parallel.
const REMOVALS: usize = 8;

/// Removes containers whose label names a process that is certainly gone. See [`super::DockerRuntime::sweep_leftovers`].
pub(super) async fn sweep(host: &Host, installation: Option<&str>) -> Result<Vec<InstanceKey>, RuntimeError> {
    let docker = host.docker().await?;
    let mut labels = vec![names::OWNER_PROCESS.to_owned()];
    labels.extend(installation.map(|id| format!("{}={id}", names::INSTALLATION)));
    let found = instance::list(host, &docker, &labels).await?;
    let mut left = Vec::new();
    let mut same_machine = None;
    for container in found {
        let (Some(id), Some(labels)) = (container.id, container.labels) else { continue };
        let owner = labels.get(names::OWNER_PROCESS).and_then(|label| label.parse::<OwnerProcess>().ok());
        let (Some(key), Some(owner)) = (instance::key(&labels), owner) else { continue };
        let gone = match owner.life() {
            Life::MayLive => false,
            Life::Gone => true,
            Life::OtherBoot => match same_machine {
                Some(same) => same,
                None => *same_machine.insert(is_this_machine(host, &docker).await?),
            },
        };
        if gone {
            left.push((id, key));
        }
    }
    let docker = &docker;
    let removals = left.into_iter().map(|(id, key)| async move {
        stop::remove(host, docker, &id).await?;
        remove_value_file(&key.uid);
        tracing::info!(instance = %key, host = host.name, "removed what a dead run left");
        Ok::<_, EngineError>(key)
    });
    Ok(stream::iter(removals).buffer_unordered(REMOVALS).try_collect().await?)
}

/// True if the engine runs on this machine's kernel. A socket may have been forwarded from elsewhere; then a boot id
/// that is not ours may be that of a living run there.
pub(super) async fn is_this_machine(host: &Host, docker: &bollard::Docker) -> Result<bool, EngineError> {
    if !matches!(host.endpoint, Endpoint::Unix(_)) {
        return Ok(false);
    }
    let name = docker.info().await.map_err(|e| host.error(&e))?.name;
    let ours = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Ok(name.as_deref() == Some(ours.trim()))
}
