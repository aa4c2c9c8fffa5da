//! Running tasks in workers that another process made: all that is needed is in their targets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kube::Client;

use super::docker::DockerExecutor;
use super::exec::{ExecError, Executor, Running, Task};
use super::pod::PodExecutor;
use super::process::ProcessExecutor;
use crate::api::RuntimeKind;
use crate::api::dispatch::Target;

/// What names an engine: the host, and the words of a target before the container.
type Engine = (Option<String>, Vec<String>);

/// Runs tasks in the workers of any runtime.
pub struct Reach {
    pods: PodExecutor,
    engines: Mutex<BTreeMap<Engine, Arc<DockerExecutor>>>,
}

impl Reach {
    /// With the rights of this client where workers are Pods.
    pub fn new(client: Client) -> Self {
        Self { pods: PodExecutor::new(client), engines: Mutex::default() }
    }

    fn of(&self, target: &Target) -> Result<Arc<dyn Executor>, ExecError> {
        match target.runtime {
            RuntimeKind::Process => Ok(Arc::new(ProcessExecutor)),
            RuntimeKind::Docker => Ok(self.engine(target)?),
            RuntimeKind::Pod => Ok(Arc::new(self.pods.clone())),
        }
    }

    fn engine(&self, target: &Target) -> Result<Arc<DockerExecutor>, ExecError> {
        let words = target.argv.iter().filter(|word| **word != target.id).cloned().collect();
        let key = (target.host.clone(), words);
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(&key) {
            return Ok(engine.clone());
        }
        let made = DockerExecutor::reaching(target).map_err(|e| ExecError::Worker(e.to_string()))?;
        Ok(engines.entry(key).or_insert(Arc::new(made)).clone())
    }
}

#[async_trait]
impl Executor for Reach {
    async fn exec(&self, target: &Target, task: Task) -> Result<Running, ExecError> {
        self.of(target)?.exec(target, task).await
    }

    async fn result_path(&self, target: &Target, dispatch: &str, attempt: i32) -> Result<String, ExecError> {
        self.of(target)?.result_path(target, dispatch, attempt).await
    }

    async fn reaches_host(&self, target: &Target) -> bool {
        match self.of(target) {
            Ok(executor) => executor.reaches_host(target).await,
            Err(_) => false,
        }
    }

    async fn take_result(&self, target: &Target, path: &str) -> Result<Option<Vec<u8>>, ExecError> {
        self.of(target)?.take_result(target, path).await
    }
}
