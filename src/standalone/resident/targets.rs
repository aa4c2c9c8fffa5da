//! How a command on this machine reaches a worker of the local server, also while no Dispatch names it.

use super::home::Home;
use crate::api::RuntimeKind;
use crate::api::dispatch::Target;
use crate::api::worker::Worker;
use crate::runtime::{LOCAL_HOST, docker, process};

/// The target of a worker, without a command for others. None: it has no container, or its runtime is not of this machine.
pub fn target(home: &Home, worker: &Worker) -> Option<Target> {
    let host = worker.spec.host.clone().unwrap_or_else(|| LOCAL_HOST.to_owned());
    let of = |id: String| Target {
        runtime: worker.spec.runtime,
        host: Some(host.clone()),
        id,
        argv: Vec::new(),
        endpoint: None,
    };
    match worker.spec.runtime {
        RuntimeKind::Process => {
            let socket = process::socket(&home.workers(), worker.metadata.uid.as_deref()?)?;
            Some(of(socket.to_string_lossy().into_owned()))
        }
        RuntimeKind::Docker => {
            let container = worker.status.as_ref()?.handle.as_ref()?.id.clone();
            Some(docker::named(&host, &container))
        }
        RuntimeKind::Pod => None,
    }
}
