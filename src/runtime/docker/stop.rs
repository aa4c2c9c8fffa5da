//! Ending an instance, and making sure that nothing of it is left.

use bollard::Docker;
use bollard::models::ContainerSummaryStateEnum as Listed;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, StopContainerOptions, WaitContainerOptionsBuilder};
use futures::stream::StreamExt;

use super::engine_error::EngineError;
use super::host::Host;
use super::instance;
use crate::runtime::credentials::remove_value_file;
use crate::runtime::{InstanceKey, RuntimeError};

/// A start that is under way may make it again while it is being removed; more often than this something is wrong.
const ROUNDS: u32 = 5;

/// Stops and removes whatever there is of the instance. See [`crate::runtime::Runtime::stop`].
pub(super) async fn stop(host: &Host, installation: &str, key: &InstanceKey) -> Result<(), RuntimeError> {
    let docker = host.docker().await?;
    let labels = instance::of_instance(installation, key);
    for _ in 0..ROUNDS {
        // By label and not by name, for people can rename a container.
        let found = instance::list(host, &docker, &labels).await?;
        if found.is_empty() {
            host.confirm(&docker).await?;
            remove_value_file(&key.uid);
            return Ok(());
        }
        for container in found {
            let Some(id) = container.id else { continue };
            if container.state == Some(Listed::PAUSED) {
                resume(host, &docker, &id).await?;
            }
            end(host, &docker, &id).await?;
            remove(host, &docker, &id).await?;
        }
    }
    Err(RuntimeError::Refused(format!(
        "{key} on host {} keeps reappearing after removal: something else is recreating it",
        host.name
    )))
}

/// Lets a paused container go on: it cannot heed a signal. `Ok` too if the engine will not; it is then ended by force.
async fn resume(host: &Host, docker: &Docker, id: &str) -> Result<(), EngineError> {
    match docker.unpause_container(id).await.map_err(|e| host.error(&e)) {
        Ok(()) | Err(EngineError::Answer { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Asks the container to end, and ends it after the grace that it was created with. `Ok` if it does not run.
async fn end(host: &Host, docker: &Docker, id: &str) -> Result<(), EngineError> {
    match docker.stop_container(id, None::<StopContainerOptions>).await.map_err(|e| host.error(&e)) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Removes the container and its anonymous volumes, running or not. `Ok` only if it is gone.
pub(super) async fn remove(host: &Host, docker: &Docker, id: &str) -> Result<(), EngineError> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await.map_err(|e| host.error(&e)) {
        Ok(()) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        // Another client is removing it.
        Err(EngineError::Answer { status: 409, .. }) => removed(host, docker, id).await,
        Err(error) => Err(error),
    }
}

/// Waits until a removal that is under way is done.
async fn removed(host: &Host, docker: &Docker, id: &str) -> Result<(), EngineError> {
    let options = WaitContainerOptionsBuilder::default().condition("removed").build();
    // The answer is the exit code, which the client takes for an error; whether it is gone is asked next.
    let _ = docker.wait_container(id, Some(options)).next().await;
    match docker.inspect_container(id, None).await.map_err(|e| host.error(&e)) {
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(EngineError::Answer { status: 409, message: format!("container {id} cannot be removed") }),
    }
}
