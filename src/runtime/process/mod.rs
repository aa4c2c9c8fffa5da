//! Runtime Process: a worker is a process tree on this machine, under a shim.
//!
//! The shim ([`shim`]) is this same binary. It listens on a socket in the worker's directory ([`record`]), speaks
//! the [`protocol`], and runs the worker's command and its tasks. This module is the controller's side: it starts
//! shims, holds a connection to each (a shim without one ends itself after a grace), and sees them end. Tasks go
//! past it, straight to the shim ([`client`]). What a run that died leaves behind is for [`sweep_leftovers`].
//!
//! Linux only: it needs subreapers, pidfds and `/proc`.

mod adopt;
pub mod client;
pub mod connection;
mod end;
pub mod exec_client;
mod limits;
mod options;
mod procfs;
pub mod protocol;
mod record;
mod result_file;
pub mod shim;
mod spec;
mod start;
mod state;
mod sweep;
mod system;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::{
    Instance, InstanceKey, InstanceSpec, InstanceState, LOCAL_HOST, Observation, Runtime, RuntimeError, StartError,
};
use crate::api::RuntimeKind;
use crate::api::dispatch::Target;
pub use client::ProcessExecutor;
pub use limits::{open_files, raise_open_files};
pub use options::{Inherited, ProcessOptions};
use record::WorkerDir;
use state::Shared;
pub use sweep::{left_files, sweep_leftovers};

/// The program that is running, although its file was replaced or removed since. A child resolves it while it is still a
/// copy of this process.
const RUNNING: &str = "/proc/self/exe";
/// Time between two complete listings.
const RELIST: Duration = Duration::from_secs(30);
/// How long after the loss of its socket a worker's end may be reported.
const END_GRACE: Duration = Duration::from_secs(2);
/// How long a worker may take to say that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes workers of processes. When it is dropped its workers live on for the grace, within which another one on
/// the same directory adopts them.
#[derive(Debug)]
pub struct ProcessRuntime {
    shared: Arc<Shared>,
}

impl ProcessRuntime {
    /// Opens a run directory. Adopts the workers in it that belong to the same installation and whose owner has
    /// ended (or is this process). Refused if they have a living owner.
    ///
    /// # Errors
    /// `Refused`, also when the directory cannot be made or read.
    pub async fn new(mut options: ProcessOptions) -> Result<Self, RuntimeError> {
        let refused = |error: io::Error| RuntimeError::Refused(format!("{}: {error}", options.run_dir.display()));
        system::check().map_err(|error| RuntimeError::Refused(error.to_string()))?;
        let workers = record::workers(&options.run_dir);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&workers).map_err(refused)?;
        std::fs::set_permissions(&workers, std::fs::Permissions::from_mode(0o700)).map_err(refused)?;
        let run_dir = options.run_dir.canonicalize().map_err(refused)?;
        let (binary, program) = match options.binary.take() {
            Some(binary) => (binary.clone(), binary),
            None => (std::env::current_exe().map_err(refused)?, PathBuf::from(RUNNING)),
        };
        options.run_dir = run_dir;
        let shared = Shared::new(options, binary, program).map_err(|error| RuntimeError::Refused(error.to_string()))?;
        let runtime = Self { shared: Arc::new(shared) };
        adopt::all(&runtime.shared).await?;
        Ok(runtime)
    }
}

impl ProcessRuntime {
    /// The programs that the shims of its workers are of.
    pub fn binaries(&self) -> BTreeSet<PathBuf> {
        self.shared.binaries()
    }
}

impl Drop for ProcessRuntime {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }

    fn hosts(&self) -> Vec<String> {
        vec![LOCAL_HOST.to_owned()]
    }

    fn observe(&self, host: &str) -> BoxStream<'static, Observation> {
        if host != LOCAL_HOST {
            let none = Observation::Unreachable(no_host(host));
            return stream::once(async { none }).chain(stream::pending()).boxed();
        }
        let shared = self.shared.clone();
        async_stream::stream! {
            loop {
                let (listed, mut changes) = shared.list();
                yield Observation::Listed(listed);
                let relist = tokio::time::sleep(RELIST);
                tokio::pin!(relist);
                loop {
                    let change = tokio::select! {
                        biased;
                        () = &mut relist => break,
                        change = changes.recv() => change,
                    };
                    match change {
                        Ok(change) => yield change,
                        // Too slow to receive changes one by one.
                        Err(_) => break,
                    }
                }
            }
        }
        .boxed()
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<Instance, StartError> {
        // A task of its own: a caller that stops waiting must not leave half a worker behind.
        let work = tokio::spawn(start::start(self.shared.clone(), spec.clone()));
        work.await.unwrap_or_else(|error| Err(StartError::Unknown(format!("the start was interrupted: {error}"))))
    }

    async fn stop(&self, host: &str, key: &InstanceKey) -> Result<(), RuntimeError> {
        if host != LOCAL_HOST {
            return Err(RuntimeError::Refused(no_host(host)));
        }
        let work = tokio::spawn(end::stop(self.shared.clone(), key.clone()));
        work.await.unwrap_or_else(|error| Err(RuntimeError::Unreachable(format!("the stop was interrupted: {error}"))))
    }

    async fn check(&self, host: &str, key: &InstanceKey) -> Result<Option<Instance>, RuntimeError> {
        if host != LOCAL_HOST {
            return Err(RuntimeError::Refused(no_host(host)));
        }
        let Some(worker) = self.shared.get(&key.uid) else { return Ok(None) };
        if matches!(worker.instance.state, InstanceState::Exited(_)) {
            return Ok(Some(worker.instance));
        }
        let socket = worker.dir.socket();
        let answer = tokio::select! {
            biased;
            () = worker.ended.cancelled() => return Ok(self.shared.get(&key.uid).map(|worker| worker.instance)),
            answer = tokio::time::timeout(PING_TIMEOUT, client::ping(&socket)) => answer,
        };
        match answer {
            Ok(Ok(())) => Ok(Some(worker.instance)),
            // A socket that does not answer is as a rule that of a worker which is just ending: its end is reported at once.
            Ok(Err(error)) => match tokio::time::timeout(END_GRACE, worker.ended.cancelled()).await {
                Ok(()) => Ok(self.shared.get(&key.uid).map(|worker| worker.instance)),
                Err(_) => Err(RuntimeError::Unreachable(format!("worker {}: {error}", key.worker))),
            },
            Err(_) => Err(RuntimeError::Unreachable(format!("worker {} did not answer within 10 s", key.worker))),
        }
    }

    fn target(&self, instance: &Instance) -> Target {
        // A uid that cannot be a file name was refused at the start.
        let dir = WorkerDir::of(&self.shared.options.run_dir, &instance.key.uid);
        let socket = dir.map(|dir| dir.socket().to_string_lossy().into_owned()).unwrap_or_default();
        // A worker that was taken over may be of another build, which speaks its protocol for certain.
        let own = self.shared.get(&instance.key.uid).and_then(|worker| worker.binary).filter(|binary| binary.exists());
        let binary = own.unwrap_or_else(|| self.shared.binary.clone());
        let words = [&*binary.to_string_lossy(), "exec", "--socket", &socket, "--"];
        Target {
            runtime: RuntimeKind::Process,
            host: Some(LOCAL_HOST.to_owned()),
            argv: words.map(str::to_owned).to_vec(),
            id: socket,
            endpoint: None,
        }
    }
}

/// The socket of the worker with this uid, of a runtime with this directory. None: the uid cannot be a file name.
pub fn socket(run_dir: &std::path::Path, uid: &str) -> Option<PathBuf> {
    Some(WorkerDir::of(run_dir, uid)?.socket())
}

fn no_host(host: &str) -> String {
    format!("runtime Process has no host {host}, only {LOCAL_HOST}")
}
