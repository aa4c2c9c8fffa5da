//! How a Pod is, in the words of a runtime. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus};

use super::template::CONTAINER;
use crate::api::worker::Handle;
use crate::api::{Period, names};
use crate::runtime::{Exit, Instance, InstanceKey, InstanceState, LOCAL_HOST};

/// Why a container waits while it is merely being made.
const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// Reasons of a container that waits to retry something whose failure was reported before, in better words.
const BACKING_OFF: [&str; 2] = ["ImagePullBackOff", "CrashLoopBackOff"];

/// Whose instance a Pod is. None: it is no Worker's.
pub(super) fn key(pod: &Pod) -> Option<InstanceKey> {
    let labels = pod.metadata.labels.as_ref()?;
    Some(InstanceKey {
        namespace: pod.metadata.namespace.clone()?,
        worker: labels.get(names::WORKER)?.clone(),
        uid: labels.get(names::WORKER_UID)?.clone(),
    })
}

/// The instance that a Pod is. None: it is no Worker's. `installation`: this one. `before`: the same instance as it was
/// last seen.
pub(super) fn instance(pod: &Pod, installation: &str, before: Option<&Instance>) -> Option<Instance> {
    let key = key(pod)?;
    let own =
        pod.metadata.labels.as_ref().and_then(|l| l.get(names::INSTALLATION)).is_some_and(|id| id == installation);
    let started = pod.metadata.creation_timestamp.as_ref().map(|t| t.0.to_string()).unwrap_or_default();
    let handle = Handle { id: pod.metadata.uid.clone()?, started, engine: None };
    let state = settle(state(pod), before.map(|i| &i.state));
    Some(Instance { key, host: LOCAL_HOST.to_owned(), own, handle, state })
}

/// The node of a Pod.
pub(super) fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// For how long a Pod is protected from eviction once its node is cordoned. None: it is not, or no longer.
pub(super) fn protected_for(pod: &Pod) -> Option<Duration> {
    pod.metadata.labels.as_ref()?.get(names::PROTECTED)?;
    let timeout: Period = pod.metadata.annotations.as_ref()?.get(names::DRAIN_TIMEOUT)?.parse().ok()?;
    Some(timeout.get())
}

/// True for a Pod whose worker has ended although other containers keep it from ending: it will never take a task again.
pub(super) fn is_hollow(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let exit = worker(status)?.state.as_ref()?.terminated.as_ref()?;
    (!has_ended(status))
        .then(|| format!("container {CONTAINER} exited with code {}, others of its Pod run on", exit.exit_code))
}

fn state(pod: &Pod) -> InstanceState {
    let none = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&none);
    if has_ended(status) {
        return InstanceState::Exited(exit(pod, status));
    }
    let waits = |why: String, held: bool| InstanceState::NotReady { why, held };
    if pod.metadata.deletion_timestamp.is_some() {
        return waits("its Pod is being deleted".to_owned(), false);
    }
    if is_true(status, "Ready") {
        return InstanceState::Running;
    }
    if let Some(why) = is_hollow(pod) {
        return waits(why, false);
    }
    let scheduled = status.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(c) = scheduled {
        let reason = c.reason.as_deref().unwrap_or("Unschedulable");
        return waits(worded(reason, c.message.as_deref()), true);
    }
    let containers = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    for c in containers {
        let Some(waiting) = c.state.as_ref().and_then(|s| s.waiting.as_ref()) else { continue };
        let reason = waiting.reason.as_deref().unwrap_or_default();
        if !reason.is_empty() && !ON_ITS_WAY.contains(&reason) {
            return waits(worded(reason, waiting.message.as_deref()), false);
        }
    }
    // It was Ready before, or runs without being Ready yet. A node that vanished shows here too.
    let unready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready" && c.status != "True");
    match unready.and_then(|c| c.message.as_deref().map(|m| (c.reason.as_deref(), m))) {
        Some((reason, message)) if running(status) => waits(worded(reason.unwrap_or("NotReady"), Some(message)), false),
        _ => InstanceState::Starting,
    }
}

/// A kubelet that backs off says less than before, and a scheduler's message changes with every node. The first message
/// stands, so a state that lasts is one transition.
fn settle(now: InstanceState, before: Option<&InstanceState>) -> InstanceState {
    let (InstanceState::NotReady { why, held }, Some(InstanceState::NotReady { why: was, held: was_held })) =
        (&now, before)
    else {
        return now;
    };
    let reason = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
    let backs_off = BACKING_OFF.contains(&reason(why).as_str());
    let tries_again = BACKING_OFF.contains(&reason(was).as_str()) && reason(why).starts_with("Err");
    if held == was_held && (reason(why) == reason(was) || backs_off || tries_again) {
        return InstanceState::NotReady { why: was.clone(), held: *held };
    }
    now
}

fn worded(reason: &str, message: Option<&str>) -> String {
    match message.map(str::trim).filter(|m| !m.is_empty()) {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    }
}

fn has_ended(status: &PodStatus) -> bool {
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
}

fn is_true(status: &PodStatus, condition: &str) -> bool {
    status.conditions.iter().flatten().any(|c| c.type_ == condition && c.status == "True")
}

fn running(status: &PodStatus) -> bool {
    worker(status).is_some_and(|c| c.state.as_ref().is_some_and(|s| s.running.is_some()))
}

fn worker(status: &PodStatus) -> Option<&ContainerStatus> {
    status.container_statuses.iter().flatten().find(|c| c.name == CONTAINER)
}

fn exit(pod: &Pod, status: &PodStatus) -> Exit {
    let ended = worker(status).and_then(|c| c.state.as_ref()?.terminated.as_ref());
    let mut exit = ended.map(exit_of).unwrap_or_default();
    // A Pod may be deleted after its worker ended by itself; and a worker that is asked to end may do so with code 0.
    let earlier =
        ended.and_then(|e| e.finished_at.as_ref()).is_some_and(|t| asked_to_end(pod).is_some_and(|at| t.0 < at));
    if let Some(words) = ended_by(pod, status).filter(|_| !exit.out_of_memory && !earlier) {
        (exit.tail, exit.from_outside) = (cut(&words), true);
    }
    exit
}

/// What ended a Pod, or is about to, if it was not its own containers. The words are those of the component that did it.
fn ended_by(pod: &Pod, status: &PodStatus) -> Option<String> {
    let target = status.conditions.iter().flatten().find(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    if let Some(condition) = target {
        let reason = condition.reason.as_deref().unwrap_or_default();
        let message = condition.message.as_deref().map(str::trim).filter(|m| !m.is_empty());
        let what = match reason {
            "EvictionByEvictionAPI" => return Some("its Pod was evicted (drain by the eviction API)".to_owned()),
            "PreemptionByScheduler" => "was preempted",
            "DeletionByTaintManager" => "was deleted because of a taint of its node",
            "DeletionByPodGC" => "was deleted because its node is gone",
            "TerminationByKubelet" => "was ended by its kubelet",
            _ => "was disrupted",
        };
        return Some(format!("its Pod {what} ({})", message.unwrap_or(reason)));
    }
    // A kubelet that admits no Pod, or shuts down, sets no condition.
    if let Some(reason) = &status.reason {
        return Some(format!("its Pod was ended by its kubelet ({})", worded(reason, status.message.as_deref())));
    }
    pod.metadata.deletion_timestamp.is_some().then(|| "its Pod was deleted".to_owned())
}

/// When the deletion of a Pod was asked for. Its deletionTimestamp is a grace later.
fn asked_to_end(pod: &Pod) -> Option<Timestamp> {
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    pod.metadata.deletion_timestamp.as_ref()?.0.checked_sub(SignedDuration::from_secs(grace)).ok()
}

/// How a Pod ended that is gone, though nothing showed its end before: its node was lost, or its deletion was forced.
pub(super) fn gone(pod: &Pod) -> Exit {
    let words = pod.status.as_ref().and_then(|status| ended_by(pod, status));
    let tail = words.unwrap_or_else(|| "its Pod was deleted".to_owned());
    Exit { tail, from_outside: true, ..Exit::default() }
}

fn exit_of(ended: &ContainerStateTerminated) -> Exit {
    let out_of_memory = ended.reason.as_deref() == Some("OOMKilled");
    let tail = cut(ended.message.as_deref().unwrap_or_default());
    Exit { code: Some(ended.exit_code), out_of_memory, tail, from_outside: false }
}

/// The last KiB of a message.
fn cut(text: &str) -> String {
    let start = text.len().saturating_sub(1024);
    let start = (start..text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
    text[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p-0-1", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"poolkeeper.dev/worker": "p-0", "poolkeeper.dev/worker-uid": "1"}},
            "status": status,
        }))
        .unwrap()
    }

    fn seen(status: Value) -> InstanceState {
        instance(&pod(status), "i", None).unwrap().state
    }

    fn waiting(reason: &str, message: &str) -> Value {
        let container = json!({"name": "worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": message}}});
        json!({"phase": "Pending", "containerStatuses": [container]})
    }

    fn ended(reason: &str, code: i32, message: &str) -> Value {
        let container = json!({"name": "worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"reason": reason, "exitCode": code, "message": message}}});
        json!({"phase": "Failed", "containerStatuses": [container]})
    }

    #[test]
    fn a_life() {
        assert_eq!(seen(json!({"phase": "Pending"})), InstanceState::Starting);
        assert_eq!(seen(waiting("ContainerCreating", "")), InstanceState::Starting);
        let ready = json!([{"type": "Ready", "status": "True"}]);
        assert_eq!(seen(json!({"phase": "Running", "conditions": ready})), InstanceState::Running);
        let InstanceState::Exited(exit) = seen(ended("OOMKilled", 137, "last words")) else { panic!() };
        let words = "last words".to_owned();
        assert_eq!(exit, Exit { code: Some(137), out_of_memory: true, tail: words, ..Exit::default() });
        let InstanceState::Exited(exit) =
            seen(json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}))
        else {
            panic!()
        };
        assert_eq!(exit.tail, "its Pod was ended by its kubelet (Evicted: low on memory)");
    }

    /// Pods as a node of Kubernetes 1.33 and its control plane reported their ends.
    #[test]
    fn an_end_from_outside_says_what_ended_the_pod() {
        let target = |reason: &str, message: &str| {
            let mut status = ended("Error", 137, "");
            status["conditions"] = json!([{"type": "DisruptionTarget", "status": "True", "reason": reason,
                "message": message, "lastTransitionTime": "2026-01-01T00:01:00Z"}]);
            status
        };
        let end = |status: Value, deleted: bool| {
            let mut pod = pod(status);
            let at = pod.metadata.creation_timestamp.clone();
            pod.metadata.deletion_timestamp = at.filter(|_| deleted);
            let InstanceState::Exited(exit) = instance(&pod, "i", None).unwrap().state else { panic!() };
            (exit.from_outside, exit.tail)
        };
        for (status, words) in [
            (target("EvictionByEvictionAPI", "Eviction API: evicting"), "was evicted (drain by the eviction API)"),
            (
                target("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"),
                "was preempted (default-scheduler: preempting to accommodate a higher priority pod)",
            ),
            (
                target("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"),
                "was deleted because of a taint of its node (Taint manager: deleting due to NoExecute taint)",
            ),
            (
                target("DeletionByPodGC", "PodGC: node no longer exists"),
                "was deleted because its node is gone (PodGC: node no longer exists)",
            ),
            (
                target("TerminationByKubelet", "The node was low on resource: memory. "),
                "was ended by its kubelet (The node was low on resource: memory.)",
            ),
            (target("Later", ""), "was disrupted (Later)"),
            (ended("Error", 137, ""), "was deleted"),
        ] {
            assert_eq!(end(status, true), (true, format!("its Pod {words}")));
        }
        // It ended by itself, and was deleted for that; or the other way round.
        let at = |time: &str, mut status: Value| {
            status["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = time.into();
            status
        };
        let failed = ended("Error", 3, "no such file");
        let itself = (false, "no such file".to_owned());
        assert_eq!(end(at("2025-12-31T23:59:59Z", failed.clone()), true), itself);
        assert_eq!(end(failed, false), itself);
        let obeyed = at("2026-01-01T00:00:01Z", ended("Completed", 0, ""));
        assert_eq!(end(obeyed, true), (true, "its Pod was deleted".to_owned()));
        assert_eq!(end(ended("OOMKilled", 137, ""), true), (false, String::new()));
        assert_eq!(end(ended("Error", 137, ""), false), (false, String::new()), "its own containers did it");
    }

    #[test]
    fn no_room_holds_and_a_bad_image_is_reported_once_in_the_best_words() {
        let no_room =
            json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]);
        let held = InstanceState::NotReady { why: "Unschedulable: 0/3 nodes".to_owned(), held: true };
        assert_eq!(seen(json!({"phase": "Pending", "conditions": no_room})), held);
        let first = instance(&pod(waiting("ErrImagePull", "no such image x")), "i", None).unwrap();
        let reported = InstanceState::NotReady { why: "ErrImagePull: no such image x".to_owned(), held: false };
        assert_eq!(first.state, reported);
        let later = instance(&pod(waiting("ImagePullBackOff", "Back-off pulling image x")), "i", Some(&first)).unwrap();
        assert_eq!(later.state, reported);
        let other =
            instance(&pod(waiting("CreateContainerConfigError", "secret \"t\" not found")), "i", Some(&first)).unwrap();
        assert_ne!(other.state, reported);
    }

    #[test]
    fn strangers_are_none_of_ours() {
        let mut stranger = pod(json!({}));
        stranger.metadata.labels = None;
        assert_eq!(instance(&stranger, "i", None), None);
    }
}
