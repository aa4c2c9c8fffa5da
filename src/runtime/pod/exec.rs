//! Running tasks in a worker's Pod, with the rights of the caller: by an exec of the helper in it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, AttachedProcess};
use kube::client::UpgradeConnectionError;
use kube::{Api, Client};
use sha2::{Digest, Sha256};

use super::helper;
use super::template::CONTAINER;
use crate::api::dispatch::Target;
use crate::causes::with_causes;
use crate::runtime::exec::{ExecError, Executor, Running, Task};
use crate::runtime::process::client::Session;
use crate::runtime::process::protocol::{ExecRequest, SILENCE};

/// How long the start of an exec may take.
const START: Duration = Duration::from_secs(60);
/// How often a request that was refused is repeated, and the pause before that.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of each stream under way in this process.
const BUFFER: usize = 256 * 1024;
/// The variable with the path of the result file.
const RESULT: &str = "POOLKEEPER_RESULT";

/// Result files that were sent, by Pod and path.
type Results = BTreeMap<(String, String), Result<Bytes, String>>;

/// Runs tasks in Pods.
#[derive(Clone)]
pub struct PodExecutor {
    client: Client,
    results: Arc<Mutex<Results>>,
}

impl PodExecutor {
    /// With the rights of this client.
    pub fn new(client: Client) -> Self {
        Self { client, results: Arc::default() }
    }

    fn pods(&self, target: &Target) -> Api<Pod> {
        let namespace = target.argv.iter().skip_while(|word| *word != "-n").nth(1);
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::default_namespaced(self.client.clone()),
        }
    }

    /// True if the worker's Pod has the helper.
    ///
    /// # Errors
    /// There is no such Pod, or it cannot be read.
    pub async fn has_helper(&self, target: &Target) -> Result<bool, ExecError> {
        let pods = self.pods(target);
        let pod = allowed(|| pods.get_opt(&target.id)).await.map_err(|e| refused(target, &e))?;
        let pod = pod.filter(|pod| pod.metadata.deletion_timestamp.is_none());
        pod.map(|pod| helper::is_in(&pod)).ok_or_else(|| ExecError::Worker(format!("Pod {} is gone", target.id)))
    }

    /// Starts a task by the helper. The exec lives as long as the second value.
    ///
    /// # Errors
    /// It did not start.
    pub async fn start(&self, target: &Target, request: &ExecRequest) -> Result<(Session, AttachedProcess), ExecError> {
        let lost = |why: &dyn Display| ExecError::Worker(format!("exec in Pod {}: {why}", target.id));
        let params = AttachParams::default()
            .container(CONTAINER)
            .stdin(true)
            .stdout(true)
            .stderr(false)
            .max_stdin_buf_size(BUFFER)
            .max_stdout_buf_size(BUFFER);
        let starting = async {
            let pods = self.pods(target);
            let mut exec =
                allowed(|| pods.exec(&target.id, helper::command(), &params)).await.map_err(|e| refused(target, &e))?;
            let (Some(input), Some(output)) = (exec.stdin(), exec.stdout()) else {
                return Err(lost(&"it has no streams"));
            };
            let status = exec.take_status();
            match Session::over(Box::new(output), Box::new(input), request, Some(SILENCE)).await {
                Ok(session) => Ok((session, exec)),
                Err(ExecError::Worker(why)) => {
                    // The end of the exec says more than the end of its streams.
                    let status = match status {
                        Some(status) => status.await.and_then(|status| status.message),
                        None => None,
                    };
                    Err(lost(&status.unwrap_or(why)))
                }
                Err(error) => Err(error),
            }
        };
        let late = || Err(lost(&format!("it did not start within {} s", START.as_secs())));
        tokio::time::timeout(START, starting).await.unwrap_or_else(|_| late())
    }
}

#[async_trait]
impl Executor for PodExecutor {
    async fn exec(&self, target: &Target, task: Task) -> Result<Running, ExecError> {
        let result = task.env.iter().find(|(name, _)| name == RESULT).map(|(_, path)| path.clone());
        let request = ExecRequest { argv: task.argv, env: task.env, working_dir: task.working_dir, result };
        let (session, exec) = self.start(target, &request).await?;
        let (results, key) = (self.results.clone(), (target.id.clone(), request.result.unwrap_or_default()));
        Ok(session.run(task.stdin, exec, move |file| drop(lock(&results).insert(key.clone(), file))))
    }

    async fn result_path(&self, target: &Target, dispatch: &str, attempt: i32) -> Result<String, ExecError> {
        if !self.has_helper(target).await? {
            let message = format!(
                "Pod {} has no helper that runs tasks: it was made with inPod: false in the chart, or by an older controller. Then \
                 `poolkeeper delete worker` replaces it",
                target.id
            );
            return Err(ExecError::Command { message, code: 126 });
        }
        let digest = hex::encode(&Sha256::digest(dispatch)[..8]);
        Ok(helper::result_path(&format!("{digest}-{attempt}")))
    }

    async fn reaches_host(&self, target: &Target) -> bool {
        self.pods(target).get_opt(&target.id).await.is_ok()
    }

    async fn take_result(&self, target: &Target, path: &str) -> Result<Option<Vec<u8>>, ExecError> {
        match lock(&self.results).remove(&(target.id.clone(), path.to_owned())) {
            None => Ok(None),
            Some(Ok(content)) => Ok(Some(content.into())),
            Some(Err(why)) => Err(ExecError::Worker(format!("result file {path}: {why}"))),
        }
    }
}

/// Sends a request. One that was refused for want of a right is repeated for a while: an API server that has just started may not
/// have read the roles yet.
async fn allowed<T, F: Future<Output = kube::Result<T>>>(mut request: impl FnMut() -> F) -> kube::Result<T> {
    for _ in 0..LOOKS {
        match request().await {
            Err(error) if is_forbidden(&error) => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
    request().await
}

fn is_forbidden(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 401 | 403),
        kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code)) => {
            matches!(code.as_u16(), 401 | 403)
        }
        _ => false,
    }
}

/// A request that was refused for want of a right is refused in every Pod.
fn refused(target: &Target, error: &kube::Error) -> ExecError {
    let why = with_causes(error);
    if is_forbidden(error) {
        let message = format!("Pod {}: {why}: bind the chart's role `runner`", target.id);
        return ExecError::Command { message, code: 126 };
    }
    ExecError::Worker(format!("Pod {}: {why}", target.id))
}

fn lock(results: &Mutex<Results>) -> MutexGuard<'_, Results> {
    results.lock().unwrap_or_else(PoisonError::into_inner)
}
