//! Making the processes of a container stand still, and go on.

use super::engine_error::EngineError;
use super::host::Host;
use super::instance;
use crate::runtime::{Instance, InstanceKey, InstanceState, RuntimeError};

/// Pauses a container that runs, or lets a paused one go on. See [`crate::runtime::Runtime::set_paused`].
pub(super) async fn set(
    host: &Host,
    installation: &str,
    key: &InstanceKey,
    paused: bool,
) -> Result<Option<Instance>, RuntimeError> {
    let (from, to) = match paused {
        true => (InstanceState::Running, InstanceState::Paused),
        false => (InstanceState::Paused, InstanceState::Running),
    };
    let Some(found) = instance::find(host, installation, key).await?.filter(|found| found.state == from) else {
        return Ok(instance::find(host, installation, key).await?);
    };
    let docker = host.docker().await?;
    let id = &found.handle.id;
    let asked = if paused { docker.pause_container(id).await } else { docker.unpause_container(id).await };
    let refused = match asked.map_err(|e| host.error(&e)) {
        Ok(()) => None,
        // It may have ended, or be as it should by another's hand.
        Err(refused @ EngineError::Answer { .. }) => Some(refused),
        Err(error) => return Err(error.into()),
    };
    let now = instance::find(host, installation, key).await?;
    match refused {
        Some(refused) if now.as_ref().is_some_and(|now| now.state == from && now.state != to) => Err(refused.into()),
        _ => Ok(now),
    }
}
