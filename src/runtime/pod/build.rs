//! From what is asked for to the Pod that is created. Pure.

use std::time::Duration;

use kube::Resource;
use serde_json::{Value, json};

use super::template::{self, CONTAINER};
use crate::api::{Period, Worker, names};
use crate::runtime::InstanceSpec;

/// Time between SIGTERM and SIGKILL if the pool names none. What the controller stops runs no task, and most workers are a
/// `sleep` that ignores SIGTERM: each second of it is a second for which the name of a replaced worker is not free.
const GRACE: Duration = Duration::from_secs(5);

/// Name of the volume with the value of a credential.
const CREDENTIAL: &str = "credential";
/// Mode of a file with a value: any user of an image may read it.
const READABLE: u32 = 0o444;

/// The Pod of a worker: hardened, unless its template says otherwise.
///
/// # Errors
/// A field that cannot be honoured, by its name in the pool's spec.
pub(super) fn pod(spec: &InstanceSpec, installation: &str) -> Result<Value, String> {
    let image = spec.image.as_deref().filter(|i| !i.is_empty()).ok_or("image: required by runtime Pod")?;
    let mut env: Vec<Value> = spec.env.iter().map(|e| json!({"name": e.name, "value": literal(&e.value)})).collect();
    let of_mounts = || spec.mounts.iter().enumerate().map(|(i, mount)| (format!("mount-{i}"), mount));
    let mut volumes: Vec<Value> =
        of_mounts().map(|(name, m)| json!({"name": name, "hostPath": {"path": m.host_path}})).collect();
    let mut volume_mounts: Vec<Value> = of_mounts()
        .map(|(name, m)| json!({"name": name, "mountPath": m.mount_path, "readOnly": m.read_only}))
        .collect();
    if let Some(credential) = &spec.credential {
        let Some(secret) = &credential.secret_key_ref else {
            return Err(format!("credential {:?}: runtime Pod takes it from a Secret (secretKeyRef)", credential.name));
        };
        if let Some(path) = &credential.file {
            let file = path.rsplit('/').next().unwrap_or(path);
            volumes.push(json!({"name": CREDENTIAL, "secret": {
                "secretName": secret.name, "defaultMode": READABLE, "items": [{"key": secret.key, "path": file}],
            }}));
            volume_mounts.push(json!({
                "name": CREDENTIAL, "mountPath": path, "subPath": file, "readOnly": true,
            }));
            env.push(json!({"name": credential.env, "value": literal(path)}));
        } else {
            let from = json!({"secretKeyRef": {"name": secret.name, "key": secret.key}});
            env.push(json!({"name": credential.env, "valueFrom": from}));
        }
    }
    let mut container = json!({
        "name": CONTAINER,
        "image": image,
        "env": env,
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        // The kubelet then quotes the last lines of a worker that failed. Those of a worker with a credential may hold
        // its value, which the controller does not know and so cannot remove.
        "terminationMessagePolicy": if spec.credential.is_none() { "FallbackToLogsOnError" } else { "File" },
        "volumeMounts": volume_mounts,
    });
    let literals = |list: &[String]| list.iter().map(|s| literal(s)).collect::<Vec<_>>();
    for (field, value) in [
        ("command", (!spec.command.is_empty()).then(|| json!(literals(&spec.command)))),
        ("args", (!spec.args.is_empty()).then(|| json!(literals(&spec.args)))),
        ("workingDir", spec.working_dir.as_ref().map(|d| json!(d))),
        ("resources", spec.resources.as_ref().map(|r| json!(r))),
    ] {
        if let Some(value) = value {
            container[field] = value;
        }
    }
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {},
        "spec": {
            "containers": [container],
            "volumes": volumes,
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": spec.grace.unwrap_or(GRACE).as_secs(),
        },
    });
    if let Some(template) = &spec.pod_template {
        template::merge_into(&mut pod, template)?;
    }
    // What the protocol stands on is not for a template to change.
    pod["metadata"]["name"] = json!(spec.key.instance_name());
    pod["metadata"]["namespace"] = json!(spec.key.namespace);
    // `kubectl drain` evicts only Pods that a controller owns. Not blockOwnerDeletion: the Worker's
    // finalizer holds the Worker until the Pod is gone (docs/decisions/0050-pods-are-owned-by-workers.md).
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": Worker::api_version(&()),
        "kind": Worker::kind(&()),
        "name": spec.key.worker,
        "uid": spec.key.uid,
        "controller": true,
    }]);
    for (label, value) in [
        (names::MANAGED_BY, names::MANAGER),
        (names::INSTALLATION, installation),
        (names::POOL, &spec.pool),
        (names::WORKER, &spec.key.worker),
        (names::WORKER_UID, &spec.key.uid),
    ] {
        pod["metadata"]["labels"][label] = json!(value);
    }
    if let Some(timeout) = spec.protected_for {
        pod["metadata"]["labels"][names::PROTECTED] = json!("true");
        pod["metadata"]["annotations"][names::DRAIN_TIMEOUT] = json!(Period::from(timeout).to_string());
    }
    pod["spec"]["restartPolicy"] = json!("Never");
    Ok(pod)
}

/// Text that the kubelet takes as it stands: `$(NAME)` would be replaced, in this runtime only.
fn literal(text: &str) -> String {
    text.replace("$(", "$$(")
}

#[cfg(test)]
mod tests {
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;
    use crate::api::pool::{Credential, EnvVar, Mount, SecretKeyRef};
    use crate::runtime::InstanceKey;

    fn spec() -> InstanceSpec {
        InstanceSpec {
            key: InstanceKey { namespace: "team".into(), worker: "agents-0".into(), uid: "0123456789ab".into() },
            pool: "agents".into(),
            host: "local".into(),
            image: Some("agent:1".into()),
            command: vec!["sh".into(), "-c".into(), "echo $(date)".into()],
            args: Vec::new(),
            env: vec![EnvVar { name: "A".into(), value: "$(B)".into() }],
            working_dir: None,
            resources: None,
            mounts: vec![Mount { host_path: "/srv".into(), mount_path: "/agents".into(), read_only: true }],
            credential: None,
            grace: None,
            protected_for: None,
            pool_uid: "p-1".to_owned(),
            pod_template: None,
        }
    }

    #[test]
    fn it_is_hardened_and_known_by_its_labels() {
        let pod = pod(&spec(), "here").unwrap();
        let (meta, spec) = (&pod["metadata"], &pod["spec"]);
        let container = &spec["containers"][0];
        assert_eq!(meta["name"], "agents-0-01234567");
        assert_eq!(meta["labels"]["poolkeeper.dev/installation"], "here");
        let owner = json!([{"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Worker", "name": "agents-0",
            "uid": "0123456789ab", "controller": true}]);
        assert_eq!(meta["ownerReferences"], owner, "kubectl drain wants a controller");
        assert_eq!(spec["terminationGracePeriodSeconds"], 5);
        assert_eq!(spec["automountServiceAccountToken"], false);
        assert_eq!(spec["restartPolicy"], "Never");
        assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
        assert_eq!(container["command"][2], "echo $$(date)");
        assert_eq!(container["env"][0]["value"], "$$(B)");
        assert_eq!(container["volumeMounts"][0]["readOnly"], true);
        assert_eq!(spec["volumes"][0]["hostPath"]["path"], "/srv");
    }

    #[test]
    fn a_credential_is_a_reference_and_silences_the_last_lines() {
        let secret_key_ref = Some(SecretKeyRef { name: "tokens".into(), key: "a".into() });
        let credential = Credential { name: "a".into(), env: "TOKEN".into(), secret_key_ref, ..Credential::default() };
        let pod = pod(&InstanceSpec { credential: Some(credential.clone()), ..spec() }, "here").unwrap();
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["env"][1]["valueFrom"]["secretKeyRef"]["name"], "tokens");
        assert_eq!(container["terminationMessagePolicy"], "File");
        let in_a_file = Credential { file: Some("/run/secrets/token".into()), ..credential.clone() };
        let pod = super::pod(&InstanceSpec { credential: Some(in_a_file), ..self::spec() }, "here").unwrap();
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["env"][1], json!({"name": "TOKEN", "value": "/run/secrets/token"}));
        let mount =
            json!({"name": "credential", "mountPath": "/run/secrets/token", "subPath": "token", "readOnly": true});
        assert_eq!(container["volumeMounts"][1], mount);
        let secret = json!({"secretName": "tokens", "defaultMode": 0o444, "items": [{"key": "a", "path": "token"}]});
        assert_eq!(pod["spec"]["volumes"][1], json!({"name": "credential", "secret": secret}));
        let elsewhere = Credential { secret_key_ref: None, from_env: Some("X".into()), ..credential };
        let refused = super::pod(&InstanceSpec { credential: Some(elsewhere), ..spec() }, "here");
        assert!(refused.unwrap_err().contains("secretKeyRef"));
    }

    #[test]
    fn a_template_changes_what_it_may() {
        let template = json!({"metadata": {"labels": {"team": "a"}}, "spec": {
            "terminationGracePeriodSeconds": 60, "containers": [{"name": "worker", "securityContext": {"runAsUser": 7}}],
        }});
        let pod_template = template.as_object().cloned();
        let pod = pod(&InstanceSpec { pod_template, ..spec() }, "here").unwrap();
        assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 60);
        assert_eq!(pod["spec"]["containers"][0]["securityContext"]["runAsUser"], 7);
        assert_eq!(pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(pod["metadata"]["labels"]["team"], "a");
        assert_eq!(pod["metadata"]["labels"]["poolkeeper.dev/pool"], "agents");
    }

    #[test]
    fn a_protected_pod_says_so_and_for_how_long() {
        let made = pod(&InstanceSpec { protected_for: Some(Duration::from_secs(5400)), ..spec() }, "here").unwrap();
        assert_eq!(made["metadata"]["labels"]["poolkeeper.dev/protected"], "true");
        assert_eq!(made["metadata"]["annotations"]["poolkeeper.dev/drain-timeout"], "1h30m");
        let made: k8s_openapi::api::core::v1::Pod = serde_json::from_value(made).unwrap();
        assert_eq!(crate::runtime::pod::state::protected_for(&made), Some(Duration::from_secs(5400)));
        let made = serde_json::from_value(pod(&spec(), "here").unwrap()).unwrap();
        assert_eq!(crate::runtime::pod::state::protected_for(&made), None);
    }

    #[test]
    fn the_grace_is_the_pools_unless_the_template_has_one() {
        let of = |pod_template: Option<Value>| {
            let pod_template = pod_template.and_then(|t| t.as_object().cloned());
            let spec = InstanceSpec { grace: Some(Duration::from_secs(90)), pod_template, ..spec() };
            pod(&spec, "here").unwrap()["spec"]["terminationGracePeriodSeconds"].clone()
        };
        assert_eq!(of(None), 90);
        assert_eq!(of(Some(json!({"spec": {"terminationGracePeriodSeconds": 60}}))), 60);
    }

    /// Any JSON, with keys that mean something in a Pod.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "worker|Never|x?".prop_map(Value::from),
        ];
        let key = "name|containers|env|volumes|volumeMounts|mountPath|labels|[a-z]?";
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(key, inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    /// An object with some of these fields.
    fn with(
        fields: &'static [&'static str],
        value: impl Strategy<Value = Value> + 'static,
    ) -> impl Strategy<Value = Value> {
        prop::collection::vec(of(value), fields.len()).prop_map(move |values| {
            let some = fields.iter().zip(values).filter_map(|(field, value)| Some(((*field).to_owned(), value?)));
            Value::Object(some.collect())
        })
    }

    /// A template that may go wrong at any depth.
    fn any_template() -> impl Strategy<Value = Value> {
        let container = prop_oneof![any_json(), with(&["name", "env", "volumeMounts", "securityContext"], any_json())];
        let containers = prop_oneof![any_json(), prop::collection::vec(container, 0..3).prop_map(Value::from)];
        let spec = with(&["containers", "initContainers", "volumes", "securityContext", "restartPolicy"], containers);
        let metadata = with(&["labels", "annotations"], any_json());
        with(&["metadata", "spec"], prop_oneof![1 => any_json(), 3 => metadata, 3 => spec])
    }

    proptest! {
        #[test]
        fn no_template_is_too_strange(template in any_template()) {
            let pod_template = template.as_object().cloned();
            match pod(&InstanceSpec { pod_template, ..spec() }, "here") {
                Ok(pod) => {
                    prop_assert_eq!(&pod["metadata"]["labels"]["poolkeeper.dev/worker-uid"], "0123456789ab");
                    prop_assert_eq!(&pod["spec"]["restartPolicy"], "Never");
                    prop_assert_eq!(&pod["spec"]["containers"][0]["name"], CONTAINER);
                }
                Err(why) => prop_assert!(why.starts_with("spec.podTemplate."), "{}", why),
            }
        }
    }
}
