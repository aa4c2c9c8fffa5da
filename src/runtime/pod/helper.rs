//! The helper in a worker's Pod: the program that runs a task for a client at the other end of an exec.
//!
//! An init container copies it into the Pod, so images need neither a shell nor anything else for it.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::template::CONTAINER;

/// Where the helper and its directory for tasks are, in the worker's container.
pub const DIR: &str = "/.poolkeeper";
/// The directory for tasks, in it.
const TMP: &str = "tmp";
/// The volume, and the init container.
const NAME: &str = "poolkeeper";

/// What runs in the worker's container.
pub fn command() -> [String; 2] {
    [format!("{DIR}/poolkeeper"), "task".to_owned()]
}

/// What ends the processes with a mark there, which is the next word.
pub fn ending() -> Vec<String> {
    let [program, task] = command();
    vec![program, task, "--end".to_owned()]
}

/// A path for the result file of a task.
pub fn result_path(name: &str) -> String {
    format!("{DIR}/{TMP}/{name}")
}

/// Adds the helper to a Pod. `image` is that of the controller.
pub(super) fn add(pod: &mut Value, image: &str) {
    let init = json!({
        "name": NAME,
        "image": image,
        "command": ["/poolkeeper", "task", "--install", DIR],
        "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
        },
        // Quotas and limits want them. It copies one file.
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}},
        "volumeMounts": [{"name": NAME, "mountPath": DIR}],
    });
    let spec = &mut pod["spec"];
    put_first(&mut spec["initContainers"], [init]);
    put_first(&mut spec["volumes"], [json!({"name": NAME, "emptyDir": {}})]);
    let containers = spec["containers"].as_array_mut();
    if let Some(worker) = containers.into_iter().flatten().find(|container| container["name"] == CONTAINER) {
        // A task must not be able to change the program that runs the next one.
        let mounts = [
            json!({"name": NAME, "mountPath": DIR, "readOnly": true}),
            json!({"name": NAME, "mountPath": format!("{DIR}/{TMP}"), "subPath": TMP}),
        ];
        put_first(&mut worker["volumeMounts"], mounts);
    }
}

/// True if a Pod has the helper.
pub(super) fn is_in(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let worker = spec.and_then(|spec| spec.containers.iter().find(|container| container.name == CONTAINER));
    worker.and_then(|w| w.volume_mounts.as_ref()).is_some_and(|mounts| mounts.iter().any(|m| m.mount_path == DIR))
}

/// Puts entries before those of a list. A template may have taken the list away.
fn put_first<const N: usize>(list: &mut Value, entries: [Value; N]) {
    let mut all = Vec::from(entries);
    if let Value::Array(others) = list.take() {
        all.extend(others);
    }
    *list = Value::Array(all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_gets_the_program_and_cannot_change_it() {
        let mut pod = json!({"spec": {
            "initContainers": [{"name": "own"}],
            "containers": [{"name": "sidecar"}, {"name": CONTAINER, "volumeMounts": [{"mountPath": "/srv"}]}],
        }});
        add(&mut pod, "poolkeeper:1");
        let spec = &pod["spec"];
        assert_eq!(
            (&spec["initContainers"][0]["image"], &spec["initContainers"][1]["name"]),
            (&json!("poolkeeper:1"), &json!("own"))
        );
        assert_eq!(spec["volumes"], json!([{"name": "poolkeeper", "emptyDir": {}}]));
        assert_eq!(spec["containers"][0], json!({"name": "sidecar"}));
        let mounts = spec["containers"][1]["volumeMounts"].as_array().unwrap();
        assert_eq!((&mounts[0]["mountPath"], &mounts[0]["readOnly"]), (&json!(DIR), &json!(true)));
        assert_eq!((&mounts[1]["mountPath"], &mounts[1]["subPath"]), (&json!("/.poolkeeper/tmp"), &json!("tmp")));
        assert_eq!(mounts[2]["mountPath"], "/srv");
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert!(is_in(&pod));
        assert!(!is_in(&Pod::default()));
    }
}
