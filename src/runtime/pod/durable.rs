//! A task in a Pod that outlives contact with it: when contact is lost, it is attached to again.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use kube::api::AttachedProcess;
use tokio::sync::{oneshot, watch};

use super::PodExecutor;
use super::connections::lock;
use super::exec::Contact;
use super::plain::RESULT;
use crate::api::Period;
use crate::api::dispatch::Target;
use crate::runtime::exec::{ExecError, Executor, Keep, Output, Running, Task, TaskEnd};
use crate::runtime::process::client::{Message, Session};
use crate::runtime::process::protocol::{self, ExecRequest};

/// The pause between two attempts to attach.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of output after which the worker hears that they are safe here.
const OFTEN: u64 = 256 * 1024;
/// How long an exec may take to end after the last word.
const PARTING: Duration = Duration::from_secs(10);

/// How contact with a task ended.
enum Over {
    /// The task exited.
    Exited(i32),
    /// It is not known how the task ends, and never will be.
    Lost(String),
    /// The connection was cut.
    Cut(String),
}

impl PodExecutor {
    pub(super) async fn keep(&self, target: &Target, task: Task, keep: Keep) -> Result<(Running, bool), ExecError> {
        if !self.has_helper(target).await? {
            if keep.again {
                return Err(ExecError::Worker(format!("Pod {} has no helper that keeps tasks", target.id)));
            }
            return Ok((self.exec(target, task).await?, false));
        }
        let result = task.env.iter().find(|(name, _)| name == RESULT).map(|(_, path)| path.clone());
        let name = result.as_deref().and_then(|path| Path::new(path).file_stem()?.to_str());
        let how =
            protocol::Keep { key: name.unwrap_or_default().to_owned(), seconds: keep.lasts.as_secs(), have: keep.have };
        let key = (target.id.clone(), result.clone().unwrap_or_default());
        let Task { argv, env, stdin: input, working_dir } = task;
        let mut request = ExecRequest { argv, env, working_dir, result, keep: Some(how), more: false };
        let (session, exec) = match self.begin(target, &request).await {
            Ok(begun) => begun,
            // It may have been started all the same.
            Err(refused) if !refused.is_final => self.again(target, &request, &keep, refused.error.to_string()).await?,
            Err(refused) => return Err(refused.error),
        };
        let was_there = session.attached.is_some();
        let (this, target) = (self.clone(), target.clone());
        let (ended, end) = oneshot::channel();
        let output = async_stream::stream! {
            let (mut session, mut exec, mut have) = (session, exec, keep.have);
            let end = loop {
                let Session { mut events, stdin, attached } = session;
                let sent = usize::try_from(attached.unwrap_or(0)).unwrap_or(usize::MAX).min(input.len());
                let over = {
                    let (rest, mut feeder, alive) = (input.slice(sent..), stdin.clone(), stdin.clone());
                    let feed = async move {
                        // A task that ends without reading all of it is no error; the events report how it ends.
                        if feeder.send(rest).await.is_ok() {
                            let _ = feeder.finish().await;
                        }
                    };
                    let alive = alive.stay_alive();
                    let (safe, mut saying) = watch::channel(have);
                    let say = async {
                        while saying.changed().await.is_ok() {
                            let bytes = *saying.borrow_and_update();
                            let _ = stdin.have(bytes).await;
                        }
                    };
                    tokio::pin!(feed, alive, say);
                    let (mut fed, mut unsaid) = (false, 0);
                    loop {
                        let event = tokio::select! {
                            biased;
                            () = &mut feed, if !fed => {
                                fed = true;
                                continue;
                            }
                            never = &mut alive => match never {},
                            () = &mut say => continue,
                            event = events.next() => event,
                        };
                        match event {
                            Message::Output(output) => {
                                let (stream, count) = match &output {
                                    Output::Stdout(data) => (0, data.len() as u64),
                                    Output::Stderr(data) => (1, data.len() as u64),
                                };
                                yield output;
                                // A reader that asks for more has dealt with it.
                                have[stream] += count;
                                unsaid += count;
                                if unsaid >= OFTEN {
                                    unsaid = 0;
                                    let _ = safe.send(have);
                                }
                            }
                            Message::Result(file) => drop(lock(&this.results).insert(key.clone(), file)),
                            Message::End(TaskEnd::Exited(code)) => break Over::Exited(code),
                            Message::End(TaskEnd::Lost(why)) if events.is_refused() => break Over::Lost(why),
                            Message::End(TaskEnd::Lost(why)) => break Over::Cut(why),
                        }
                    }
                };
                match over {
                    Over::Exited(code) => {
                        lock(&this.ended).insert(key, (stdin, exec));
                        break TaskEnd::Exited(code);
                    }
                    Over::Lost(why) => break TaskEnd::Lost(why),
                    Over::Cut(why) => {
                        drop((events, stdin, exec));
                        if let Some(how) = &mut request.keep {
                            how.have = have;
                        }
                        (session, exec) = match this.again(&target, &request, &keep, why).await {
                            Ok(again) => again,
                            Err(error) => break TaskEnd::Lost(error.to_string()),
                        };
                    }
                }
            };
            let _ = ended.send(end);
        };
        Ok((Running::new(output.boxed(), end), was_there))
    }

    /// Attaches to a task with which contact was lost, for as long as that waits for its client.
    async fn again(
        &self,
        target: &Target,
        request: &ExecRequest,
        keep: &Keep,
        why: String,
    ) -> Result<(Session, AttachedProcess), ExecError> {
        let lasts = Period::from(keep.lasts);
        (keep.note)(format!("contact with {} is lost ({why}); attaching again for {lasts}", target.id));
        let mut last = ExecError::Worker(why);
        let attaching = async {
            loop {
                tokio::time::sleep(PAUSE).await;
                match self.begin(target, request).await {
                    Ok(begun) => return Ok(begun),
                    Err(refused) if refused.is_final || self.is_over(target).await => return Err(refused.error),
                    Err(refused) => last = refused.error,
                }
            }
        };
        let Ok(begun) = tokio::time::timeout(keep.lasts, attaching).await else { return Err(last) };
        if begun.is_ok() {
            (keep.note)(format!("attached to {} again", target.id));
        }
        begun
    }

    /// True if nothing can run in the Pod any more.
    async fn is_over(&self, target: &Target) -> bool {
        match self.pods(target).get_opt(&target.id).await {
            Ok(Some(pod)) => {
                let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
                pod.metadata.deletion_timestamp.is_some() || matches!(&*phase, "Failed" | "Succeeded")
            }
            Ok(None) => true,
            Err(_) => false,
        }
    }

    pub(super) fn release_task(&self, target: &Target, path: &str) {
        let contact = lock(&self.ended).remove(&(target.id.clone(), path.to_owned()));
        let Some((stdin, exec)): Option<Contact> = contact else { return };
        // Its last word may still be under way when the connection is closed.
        tokio::spawn(async move {
            if stdin.release().await.is_ok() {
                let _ = tokio::time::timeout(PARTING, exec.join()).await;
            }
        });
    }
}
