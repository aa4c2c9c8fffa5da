//! Making an instance: create, pull if need be, start.

use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, ContainerStateStatusEnum as Status};
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::container::{self, Owner};
use super::engine_error::EngineError;
use super::host::Host;
use super::{image, instance, login, stop};
use crate::api::names;
use crate::runtime::credentials::{Resolver, mark};
use crate::runtime::given::Given;
use crate::runtime::{Instance, InstanceKey, InstanceSpec, StartError};

/// Retries when a name is in use, yet no container with it can be inspected: one is being created or removed at this
/// moment.
const NAME_TRIES: u32 = 8;
/// First pause between two tries; doubles, to 2.5 s in all.
const NAME_PAUSE: Duration = Duration::from_millis(10);

/// Mode of a file with a value: any user of an image may read it, where it is mounted.
const READABLE: u32 = 0o444;

/// What has that name.
enum Found {
    /// Made, and not started: its id.
    Made(String),
    /// Started before.
    Started(Box<Instance>),
    /// Gone since.
    Gone,
}

/// Makes and starts the instance. See [`crate::runtime::Runtime::start`].
pub(super) async fn start(
    host: &Host,
    owner: &Owner,
    credentials: &Resolver,
    spec: &InstanceSpec,
) -> Result<Instance, StartError> {
    let name = spec.key.instance_name();
    // Two calls at once must not start a container twice that ends in between: that would be a second instance.
    let _turn = host.turn(&name).await;
    // Whatever is wrong with the spec is said before anything is made.
    login::has_files_of_this_machine(host, spec).await?;
    let given = Given::to(spec, &owner.installation, credentials, READABLE).await;
    let given = given.map_err(|error| StartError::Refused(error.to_string()))?;
    let body = container::body(spec, owner, given.as_ref()).map_err(StartError::Refused)?;
    let docker = host.docker().await.map_err(not_reached)?;
    let directory = spec.credential.as_ref().and_then(|credential| credential.directory.as_ref());
    let login = match (&given, directory) {
        (Some(Given::Directory(login)), Some(directory)) => Some((directory, login)),
        _ => None,
    };
    if let Some((_, login)) = login {
        login::is_free(host, &docker, spec, &mark(login.path())).await?;
    }
    let mut pause = NAME_PAUSE;
    for _ in 0..NAME_TRIES {
        let id = match create(host, &docker, &name, &body).await {
            Ok(id) => id,
            Err(EngineError::Answer { status: 409, message }) => {
                match existing(host, &docker, &name, owner, &spec.key, message).await? {
                    Found::Made(id) => id,
                    Found::Started(instance) => return Ok(*instance),
                    Found::Gone => {
                        tokio::time::sleep(pause).await;
                        pause *= 2;
                        continue;
                    }
                }
            }
            Err(EngineError::NoConnection(why)) => return Err(StartError::Unreachable(why)),
            Err(EngineError::NoAnswer(why)) => return Err(StartError::Unknown(why)),
            Err(EngineError::Answer { message, .. }) => return Err(StartError::Refused(message)),
        };
        if let Some((directory, login)) = login {
            // Once more: of two that were created at the same time at least one sees the other.
            let free = login::is_free(host, &docker, spec, &mark(login.path())).await;
            let refused = match free {
                Err(error) => Some(error),
                Ok(()) => login::refusal(host, &docker, &id, directory, login)
                    .await
                    .map_err(|error| StartError::Unknown(error.to_string()))?
                    .map(StartError::Refused),
            };
            if let Some(refused) = refused {
                return Err(match stop::remove(host, &docker, &id).await {
                    Ok(()) => refused,
                    Err(error) => StartError::Unknown(format!("{refused}; the container cannot be removed: {error}")),
                });
            }
        }
        return run(host, &docker, &id, &spec.key).await;
    }
    Err(StartError::Unknown(format!(
        "host {} keeps reporting name {name} as in use, yet no such container exists",
        host.name
    )))
}

/// Nothing was asked, or nothing that has an effect.
fn not_reached(error: EngineError) -> StartError {
    StartError::Unreachable(error.to_string())
}

/// Creates the container; pulls its image first if the engine says that it has none. Answers with its id.
async fn create(host: &Host, docker: &Docker, name: &str, body: &ContainerCreateBody) -> Result<String, EngineError> {
    let options = || Some(CreateContainerOptionsBuilder::default().name(name).build());
    let ask = async || {
        let made = docker.create_container(options(), body.clone()).await.map_err(|e| host.error(&e))?;
        for warning in &made.warnings {
            tracing::warn!(container = name, host = host.name, "{warning}");
        }
        Ok::<_, EngineError>(made.id)
    };
    let missing = match ask().await {
        Err(missing) if missing.is_not_found() => missing,
        answer => return answer,
    };
    let image = body.image.as_deref().unwrap_or_default();
    match host.pulls.pull(&host.name, &host.endpoint, docker, image).await {
        Ok(()) => ask().await,
        Err(EngineError::Answer { message, .. }) => {
            Err(EngineError::Answer { status: 404, message: image::refusal(&host.name, image, &message) })
        }
        // A pull that was cut off made no container.
        Err(EngineError::NoConnection(why) | EngineError::NoAnswer(why)) => {
            Err(EngineError::NoConnection(format!("{missing}; while pulling it: {why}")))
        }
    }
}

/// Looks at what has the name. It is ours only if it is for the same Worker uid.
async fn existing(
    host: &Host,
    docker: &Docker,
    name: &str,
    owner: &Owner,
    key: &InstanceKey,
    words: String,
) -> Result<Found, StartError> {
    let found = match docker.inspect_container(name, None).await.map_err(|e| host.error(&e)) {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Ok(Found::Gone),
        Err(error) => return Err(StartError::Unknown(error.to_string())),
    };
    let labels = found.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
    let ours = labels.get(names::INSTALLATION) == Some(&owner.installation);
    if !ours || instance::key(&labels).as_ref() != Some(key) {
        return Err(StartError::Refused(format!(
            "{words} That container does not belong to worker {key} (uid {}): delete or rename it.",
            key.uid
        )));
    }
    match found.state.as_ref().and_then(|state| state.status) {
        Some(Status::CREATED) => Ok(Found::Made(found.id.unwrap_or_default())),
        Some(Status::REMOVING | Status::DEAD) => {
            Err(StartError::Unknown(format!("container {name} on host {} is being removed", host.name)))
        }
        _ => match instance::read(host, docker, &found).await {
            Some(instance) => Ok(Found::Started(Box::new(instance))),
            None => Err(StartError::Unknown(format!("the engine's answer about {name} cannot be understood"))),
        },
    }
}

/// The engine's words on a start, without what each try has of its own: its container's name, and the id of an endpoint.
fn stable(words: &str, key: &InstanceKey) -> String {
    let words = words.replace(&key.instance_name(), &key.worker);
    let is_id = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parts = words.split(" (");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')').filter(|(id, _)| is_id(id)) {
            Some((_, rest)) => text.push_str(rest),
            None => text.extend([" (", part]),
        }
    }
    text
}

/// Starts a container that was made. If the engine will not, nothing is left of it.
async fn run(host: &Host, docker: &Docker, id: &str, key: &InstanceKey) -> Result<Instance, StartError> {
    let unknown = |error: EngineError| StartError::Unknown(error.to_string());
    match docker.start_container(id, None).await.map_err(|e| host.error(&e)) {
        Ok(()) => {}
        Err(EngineError::Answer { message, status }) if status != 404 => {
            let message = stable(&message, key);
            return Err(match stop::remove(host, docker, id).await {
                Ok(()) => StartError::Refused(message),
                Err(error) => StartError::Unknown(format!("{message}; the container cannot be removed: {error}")),
            });
        }
        Err(error) => return Err(unknown(error)),
    }
    let made = instance::look(host, docker, id).await.map_err(unknown)?;
    host.confirm(docker).await.map_err(unknown)?;
    match made {
        Some(instance) => Ok(instance),
        None => Err(StartError::Unknown(format!("container {id} on host {} disappeared as soon as it ran", host.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each would be an Event of its own otherwise, and change the status of the pool.
    #[test]
    fn the_words_of_two_tries_are_equal() {
        let words = |uid: &str, endpoint: char| {
            let key = InstanceKey { namespace: "ns".into(), worker: "agents-0".into(), uid: uid.into() };
            let (name, id) = (key.instance_name(), endpoint.to_string().repeat(64));
            let words = format!(
                "programming external connectivity on endpoint {name} ({id}): Bind for 0.0.0.0:80 failed (in use)"
            );
            stable(&words, &key)
        };
        let wanted = "programming external connectivity on endpoint agents-0: Bind for 0.0.0.0:80 failed (in use)";
        assert_eq!(words("6615b231-0000-0000-0000-000000000000", 'a'), wanted);
        assert_eq!(words("0f00ba55-0000-0000-0000-000000000000", '7'), wanted);
    }
}
