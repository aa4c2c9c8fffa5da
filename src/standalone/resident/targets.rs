//! How a command on this machine reaches a worker of the local server, also while no Dispatch names it.

use super::engine;
use super::home::Home;
use crate::api::RuntimeKind;
use crate::api::dispatch::Target;
use crate::api::worker::Worker;
use crate::runtime::{LOCAL_HOST, process};

/// The target of a worker, without a command for others. None: it has no container, or its runtime is not of this machine.
pub fn target(home: &Home, worker: &Worker) -> Option<Target> {
    let of = |id: String, argv| Target { runtime: worker.spec.runtime, host: Some(LOCAL_HOST.to_owned()), id, argv };
    match worker.spec.runtime {
        RuntimeKind::Process => {
            let socket = process::socket(&home.workers(), worker.metadata.uid.as_deref()?)?;
            Some(of(socket.to_string_lossy().into_owned(), Vec::new()))
        }
        RuntimeKind::Docker => {
            let container = worker.status.as_ref()?.handle.as_ref()?.id.clone();
            let engine = engine::recorded_engine(home)?;
            let argv = ["docker", "-H", &engine, "exec", "-i", &container].map(str::to_owned).to_vec();
            Some(of(container, argv))
        }
        RuntimeKind::Pod => None,
    }
}
