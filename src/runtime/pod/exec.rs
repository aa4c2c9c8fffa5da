//! Running tasks in a worker's Pod, with the rights of the caller: by an exec of the helper in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, AttachedProcess};
use kube::client::UpgradeConnectionError;
use kube::{Api, Client};

use super::connections::{Connections, Open, lock};
use super::ending;
use super::helper;
use super::plain::{self, RESULT};
use super::template::CONTAINER;
use crate::api::dispatch::Target;
use crate::causes::with_causes;
use crate::runtime::exec::{ExecError, Executor, Keep, Running, Task, result_name};
use crate::runtime::process::client::{Connection, Session, Stdin};
use crate::runtime::process::protocol::{ExecRequest, SILENCE};

/// How long the start of an exec may take.
const START: Duration = Duration::from_secs(60);
/// How often a request that was refused is repeated, and the pause before that.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of each stream under way in this process.
const BUFFER: usize = 256 * 1024;

/// Names a task: the Pod, and the path of the result file in it.
pub(super) type TaskKey = (String, String);

/// Runs tasks in Pods.
#[derive(Clone)]
pub struct PodExecutor {
    client: Client,
    /// Pods that have the helper.
    helped: Arc<Mutex<BTreeSet<String>>>,
    /// Execs that wait for a task.
    connections: Connections,
    /// Result files that were sent.
    pub(super) results: Arc<Mutex<BTreeMap<TaskKey, Result<Bytes, String>>>>,
    /// Contact with tasks that ended, whose keepers wait for the word that this is known.
    pub(super) ended: Arc<Mutex<BTreeMap<TaskKey, Contact>>>,
}

/// Contact with a task.
pub(super) type Contact = (Stdin, AttachedProcess);

/// Why a task was not started, or not attached to.
pub(super) struct Refused {
    pub(super) error: ExecError,
    /// True: another attempt gives the same answer.
    pub(super) is_final: bool,
}

impl From<ExecError> for Refused {
    fn from(error: ExecError) -> Self {
        Self { is_final: matches!(error, ExecError::Command { .. }), error }
    }
}

impl PodExecutor {
    /// With the rights of this client.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            helped: Arc::default(),
            connections: Connections::default(),
            results: Arc::default(),
            ended: Arc::default(),
        }
    }

    pub(super) fn pods(&self, target: &Target) -> Api<Pod> {
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
        // A Pod keeps what it has. One that is gone is noticed by the exec.
        if lock(&self.helped).contains(&target.id) {
            return Ok(true);
        }
        let pods = self.pods(target);
        let pod = allowed(|| pods.get_opt(&target.id)).await.map_err(|e| refused(target, &e))?;
        let pod = pod.filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let gone = || ExecError::Worker(format!("Pod {} is gone", target.id));
        let has_it = helper::is_in(&pod.ok_or_else(gone)?);
        if has_it {
            lock(&self.helped).insert(target.id.clone());
        }
        Ok(has_it)
    }

    /// Starts a task by the helper. The exec lives as long as the second value.
    ///
    /// # Errors
    /// It did not start.
    pub async fn start(&self, target: &Target, request: &ExecRequest) -> Result<(Session, AttachedProcess), ExecError> {
        self.begin(target, request).await.map_err(|refused| refused.error)
    }

    pub(super) async fn begin(
        &self,
        target: &Target,
        request: &ExecRequest,
    ) -> Result<(Session, AttachedProcess), Refused> {
        let begun = async { Self::on(target, self.open(target).await?, request).await };
        let (session, exec, _) = in_time(target, begun).await?;
        Ok((session, exec))
    }

    /// Starts an exec of the helper, which then waits for a task.
    async fn open(&self, target: &Target) -> Result<Open, Refused> {
        let params = AttachParams::default()
            .container(CONTAINER)
            .stdin(true)
            .stdout(true)
            .stderr(false)
            .max_stdin_buf_size(BUFFER)
            .max_stdout_buf_size(BUFFER);
        let pods = self.pods(target);
        let mut exec =
            allowed(|| pods.exec(&target.id, helper::command(), &params)).await.map_err(|e| refused(target, &e))?;
        let (Some(input), Some(output)) = (exec.stdin(), exec.stdout()) else {
            return Err(lost(target, &"it has no streams").into());
        };
        let ended = ending::ended(&mut exec);
        let output = ending::Output::new(output, ended.clone());
        let connection = Connection::new(Box::new(output), Box::new(input), Some(SILENCE));
        Ok(Open { connection, exec, ended, is_checked: true })
    }

    /// Starts a task by a helper that waits for one.
    async fn on(
        target: &Target,
        open: Open,
        request: &ExecRequest,
    ) -> Result<(Session, AttachedProcess, ending::Ended), Refused> {
        let Open { connection, exec, ended, .. } = open;
        match Session::on(connection, request).await {
            Ok(session) => Ok((session, exec, ended)),
            Err(ExecError::Worker(why)) => {
                // The end of the exec says more than the end of its streams. The helper ends well after a refusal.
                let status = ended.await;
                let is_final = status.as_ref().is_some_and(|s| s.status.as_deref() == Some("Success"));
                let said = status.and_then(|status| status.message).filter(|_| !is_final);
                Err(Refused { error: lost(target, &said.unwrap_or(why)), is_final })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// An exec of the helper that waits for a task: one that is there, or a new one.
    async fn connect(&self, target: &Target) -> Result<Open, Refused> {
        match self.connections.take(&target.id).await {
            Some(open) => Ok(open),
            None => self.open(target).await,
        }
    }
}

fn lost(target: &Target, why: &dyn Display) -> ExecError {
    ExecError::Worker(format!("exec in Pod {}: {why}", target.id))
}

/// Waits no longer than a start may take.
async fn in_time<T>(target: &Target, starting: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    let late = || Err(lost(target, &format!("it did not start within {} s", START.as_secs())).into());
    tokio::time::timeout(START, starting).await.unwrap_or_else(|_| late())
}

#[async_trait]
impl Executor for PodExecutor {
    async fn exec(&self, target: &Target, task: Task) -> Result<Running, ExecError> {
        if !self.has_helper(target).await? {
            let words = plain::words(&task)?;
            let params = AttachParams::default().container(CONTAINER).stdin(true).stdout(true).stderr(true);
            let pods = self.pods(target);
            let starting = tokio::time::timeout(START, allowed(|| pods.exec(&target.id, words.clone(), &params)));
            let late = |_| ExecError::Worker(format!("Pod {}: the exec did not start in time", target.id));
            let exec = starting.await.map_err(late)?.map_err(|e| refused(target, &e))?;
            return Ok(plain::run(exec, task.stdin));
        }
        let result = task.env.iter().find(|(name, _)| name == RESULT).map(|(_, path)| path.clone());
        let Task { argv, env, stdin, working_dir } = task;
        let request = ExecRequest { argv, env, working_dir, result, keep: None, more: true };
        let begun = async { Self::on(target, self.connect(target).await?, &request).await };
        let (session, exec, ended) = in_time(target, begun).await.map_err(|refused| refused.error)?;
        let (results, key) = (self.results.clone(), (target.id.clone(), request.result.unwrap_or_default()));
        let (connections, pod) = (self.connections.clone(), target.id.clone());
        let after = move |connection, exec| {
            connections.put(pod, Open { connection, exec, ended, is_checked: false });
        };
        Ok(session.run(stdin, exec, move |file| drop(lock(&results).insert(key.clone(), file)), after))
    }

    async fn ending(&self, target: &Target) -> Option<Vec<String>> {
        self.has_helper(target).await.is_ok_and(|has_it| has_it).then(helper::ending)
    }

    async fn prepare(&self, target: &Target) {
        // An error is met again by the task.
        if let Ok(true) = self.has_helper(target).await
            && let Ok(open) = in_time(target, self.connect(target)).await
        {
            self.connections.put(target.id.clone(), Open { is_checked: true, ..open });
        }
    }

    async fn exec_durable(&self, target: &Target, task: Task, keep: Keep) -> Result<(Running, bool), ExecError> {
        self.keep(target, task, keep).await
    }

    async fn release(&self, target: &Target, path: &str) {
        self.release_task(target, path);
    }

    async fn result_path(&self, target: &Target, dispatch: &str, attempt: i32) -> Result<String, ExecError> {
        if !self.has_helper(target).await? {
            // Nothing could read it.
            return Ok(String::new());
        }
        Ok(helper::result_path(&result_name(dispatch, attempt)))
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
