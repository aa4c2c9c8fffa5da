//! One engine, and the connection to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bollard::Docker;
use tokio::sync::{Notify, OwnedMutexGuard};

use super::endpoint::Endpoint;
use super::engine_error::EngineError;
use super::gate::EngineGate;
use super::image::Pulls;
use super::{target, transport};
use crate::runtime::LOCAL_HOST;

/// How long the engine may take to begin an answer. Short ones come in milliseconds; a stop includes its grace.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// How long an engine may take to say its version and its id. One that takes longer would hold each worker up.
const MEETING: Duration = Duration::from_secs(25);

/// A Docker host as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// Its name in `spec.hosts`.
    pub name: String,
    /// Its address. None: what `docker` itself would use (DOCKER_HOST, the context, the default socket).
    pub endpoint: Option<Endpoint>,
}

/// A Docker host.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) endpoint: Endpoint,
    /// True if the address is not what a plain `docker` would use.
    pub(super) explicit: bool,
    pub(super) pulls: Pulls,
    turns: Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>>,
    client: tokio::sync::Mutex<Option<Docker>>,
    /// The id of the engine that may be used. None: none has answered yet.
    engine: Mutex<Option<String>>,
    /// Makes the observation list the engine again: another one may answer.
    pub(super) doubted: Notify,
    /// Asked at each new connection, if there is one. If there is none, the first engine that answers stays the one.
    pub(super) gate: OnceLock<EngineGate>,
}

impl Host {
    pub(super) fn new(name: String, endpoint: Endpoint, explicit: bool) -> Self {
        Self {
            name,
            endpoint,
            explicit,
            pulls: Pulls::default(),
            turns: Mutex::default(),
            client: tokio::sync::Mutex::default(),
            engine: Mutex::default(),
            doubted: Notify::new(),
            gate: OnceLock::new(),
        }
    }

    /// The command that runs a task in a container: by `docker` where all users of this machine reach the engine as the server does,
    /// else by the name of the host.
    pub(super) fn argv(&self, container: &str) -> Vec<String> {
        let is_plain = matches!(self.endpoint, Endpoint::Unix(_) | Endpoint::Tcp(_));
        if self.explicit && !(is_plain && self.name == LOCAL_HOST) {
            return target::by_name(&self.name, container);
        }
        let mut argv = vec!["docker".to_owned()];
        if self.explicit {
            argv.extend(self.endpoint.docker_options());
        }
        argv.extend(["exec".to_owned(), "-i".to_owned(), container.to_owned()]);
        argv
    }

    /// The client, in the version of the API that both sides speak. Connects if it has not yet.
    pub(super) async fn docker(&self) -> Result<Docker, EngineError> {
        let mut client = self.client.lock().await;
        if let Some(docker) = &*client {
            return Ok(docker.clone());
        }
        let meeting = async {
            let docker = self.dial()?.negotiate_version().await.map_err(|e| self.error(&e))?;
            let id = self.id_of(&docker).await?;
            Ok::<_, EngineError>((docker, id))
        };
        let (docker, id) = match tokio::time::timeout(MEETING, meeting).await {
            Ok(met) => met?,
            Err(_) => return Err(EngineError::slow(&self.name, &self.endpoint, MEETING)),
        };
        self.admit(&id).await?;
        Ok(client.insert(docker).clone())
    }

    async fn id_of(&self, docker: &Docker) -> Result<String, EngineError> {
        Ok(docker.info().await.map_err(|e| self.error(&e))?.id.unwrap_or_default())
    }

    /// Lets the engine with this id be used, or says why not.
    async fn admit(&self, id: &str) -> Result<(), EngineError> {
        match self.gate.get() {
            Some(gate) => gate.ask(&self.name, id).await.map_err(EngineError::NoConnection)?,
            None => self.is_the_one(id)?,
        }
        *self.engine.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
        Ok(())
    }

    fn is_the_one(&self, id: &str) -> Result<(), EngineError> {
        match self.engine() {
            Some(known) if known != id => Err(EngineError::NoConnection(another_engine(&self.endpoint, id, &known))),
            _ => Ok(()),
        }
    }

    /// The id of the engine that is used.
    pub(super) fn engine(&self) -> Option<String> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes sure that it was the right engine that answered just now. The client connects again by itself, and may have reached
    /// another engine then. What that one does not have may well exist.
    pub(super) async fn confirm(&self, docker: &Docker) -> Result<(), EngineError> {
        let id = self.id_of(docker).await?;
        let Err(error) = self.is_the_one(&id) else { return Ok(()) };
        self.client.lock().await.take();
        self.doubted.notify_one();
        let refusal = match self.gate.get() {
            Some(gate) => gate.ask(&self.name, &id).await.err(),
            None => None,
        };
        Err(refusal.map_or(error, EngineError::NoConnection))
    }

    /// Connects anew: the engine may speak another version of the API than before.
    pub(super) async fn redial(&self) -> Result<Docker, EngineError> {
        self.client.lock().await.take();
        self.docker().await
    }

    fn dial(&self) -> Result<Docker, EngineError> {
        if let Endpoint::Unix(path) = &self.endpoint {
            // The client only says that the socket does not exist; ask why it cannot be used.
            std::fs::metadata(path).map_err(|e| EngineError::no_connection(&self.name, &self.endpoint, &e))?;
        }
        transport::client(&self.endpoint, REQUEST_TIMEOUT).map_err(|e| self.error(&e))
    }

    pub(super) fn error(&self, error: &bollard::errors::Error) -> EngineError {
        EngineError::new(&self.name, &self.endpoint, error)
    }

    /// Waits until no other task holds the turn called `name`.
    pub(super) async fn turn(&self, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            turns.get(name).and_then(Weak::upgrade).unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(name.to_owned(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}

/// What is wrong when another engine answers.
pub(super) fn another_engine(endpoint: &Endpoint, id: &str, known: &str) -> String {
    format!(
        "another Docker Engine answers at {endpoint}: its id is {id}, and the workers are on the engine with the id {known}"
    )
}
