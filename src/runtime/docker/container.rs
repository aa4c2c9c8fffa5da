//! From an instance's specification to the engine's request. Pure.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, RestartPolicy, RestartPolicyNameEnum};

use super::quantity;
use crate::api::names::{self, CREDENTIAL_ENV};
use crate::api::pool::{Resources, RunAs};
use crate::runtime::InstanceSpec;
use crate::runtime::credentials::mark;
use crate::runtime::given::Given;

/// The grace of a worker whose pool names none. A container that is stopped runs no task.
const GRACE: Duration = Duration::from_secs(2);

/// Whose containers they are.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) installation: String,
    pub(super) process: Option<String>,
}

/// What to send to the engine.
///
/// # Errors
/// A field that cannot be honoured, by its name in the pool's spec.
pub(super) fn body(spec: &InstanceSpec, owner: &Owner, given: Option<&Given>) -> Result<ContainerCreateBody, String> {
    let image = spec.image.as_deref().filter(|image| !image.is_empty()).ok_or("image: required by runtime Docker")?;
    if spec.pod_template.is_some() {
        return Err("podTemplate: only runtime Pod can honour it; remove it, or use runtime: Pod".to_owned());
    }
    let limits = limits(spec.resources.as_ref())?;
    let mut env = Vec::new();
    for variable in &spec.env {
        env.push(format!("{}={}", variable_name("env", &variable.name)?, variable.value));
    }
    let mut mounts: Vec<Mount> = spec.mounts.iter().map(mount).collect();
    let (mut binds, mut user) = (None, None);
    if let (Some(credential), Some(given)) = (&spec.credential, given) {
        let name = variable_name("credentials", &credential.env)?;
        let value = match given {
            Given::Variable(value) => value.expose(),
            Given::File { path, .. } => {
                let target = credential.file.as_deref().unwrap_or_default();
                mounts.push(bind(&path.to_string_lossy(), target, true));
                target
            }
            Given::Directory(login) => {
                let directory = credential.directory.as_ref().ok_or("credentials: there is no directory")?;
                let (path, target) = (login.path().to_string_lossy(), directory.mount_path());
                user = (directory.run_as == RunAs::Host).then(|| login.owner());
                if directory.relabel {
                    // Only this form can relabel. It would also make a directory that does not exist; this one exists.
                    if path.contains(':') || target.contains(':') {
                        return Err(format!(
                            "credential {}: a path with a colon cannot be relabelled",
                            credential.name
                        ));
                    }
                    binds = Some(vec![format!("{path}:{target}:z")]);
                } else {
                    mounts.push(bind(&path, target, false));
                }
                target
            }
        };
        env.push(format!("{name}={value}"));
    }
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    Ok(ContainerCreateBody {
        image: Some(image.to_owned()),
        // As a Pod has it.
        hostname: Some(spec.key.instance_name()),
        entrypoint: some(&spec.command),
        cmd: some(&spec.args),
        env: Some(env),
        working_dir: spec.working_dir.clone(),
        user,
        labels: Some(labels(spec, owner, given)),
        // The engine stores it: `docker stop` gives the container this time as well.
        stop_timeout: Some(grace(spec.grace)),
        host_config: Some(HostConfig {
            // A first process that reaps what tasks leave behind and passes signals on.
            init: Some(true),
            // A dead instance means a new Worker, never the same one again.
            restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
            mounts: Some(mounts),
            binds,
            nano_cpus: limits.nano_cpus,
            memory: limits.memory,
            // As for a Pod: no swap in addition to the memory.
            memory_swap: limits.memory,
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    })
}

/// Seconds between asking it to end and ending it.
fn grace(of_spec: Option<Duration>) -> i64 {
    let grace = of_spec.unwrap_or(GRACE);
    i64::try_from(grace.as_secs()).unwrap_or(i64::MAX)
}

fn labels(spec: &InstanceSpec, owner: &Owner, given: Option<&Given>) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = [
        (names::POOL, &spec.pool),
        (names::NAMESPACE, &spec.key.namespace),
        (names::WORKER, &spec.key.worker),
        (names::WORKER_UID, &spec.key.uid),
        (names::INSTALLATION, &owner.installation),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.clone()))
    .collect();
    if let Some(process) = &owner.process {
        labels.insert(names::OWNER_PROCESS.to_owned(), process.clone());
    }
    if let (Some(credential), Some(given)) = (&spec.credential, given) {
        let (name, value) = match given {
            Given::Variable(_) => (CREDENTIAL_ENV, credential.env.clone()),
            Given::File { .. } => (names::CREDENTIAL_FILE, credential.name.clone()),
            Given::Directory(login) => (names::DIRECTORY, mark(login.path())),
        };
        labels.insert(name.to_owned(), value);
    }
    labels
}

/// A mount, unlike a bind, is refused if the host's path does not exist; a bind would make it.
fn mount(mount: &crate::api::pool::Mount) -> Mount {
    bind(&mount.host_path, &mount.mount_path, mount.read_only)
}

fn bind(source: &str, target: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        ..Mount::default()
    }
}

/// Refused here, because the engine's own refusal would repeat the value.
fn variable_name<'a>(field: &str, name: &'a str) -> Result<&'a str, String> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(format!("{field}: {name:?} cannot be the name of a variable"));
    }
    Ok(name)
}

#[derive(Default)]
struct Limits {
    nano_cpus: Option<i64>,
    memory: Option<i64>,
}

fn limits(resources: Option<&Resources>) -> Result<Limits, String> {
    let mut limits = Limits::default();
    let Some(resources) = resources else { return Ok(limits) };
    if let Some(name) = resources.requests.keys().next() {
        return Err(format!("resources.requests.{name}: Docker reserves nothing; remove it, or use resources.limits"));
    }
    for (name, quantity) in &resources.limits {
        let (place, scale) = match name.as_str() {
            "cpu" => (&mut limits.nano_cpus, 9),
            "memory" => (&mut limits.memory, 0),
            _ => return Err(format!("resources.limits.{name}: runtime Docker can limit cpu and memory only")),
        };
        *place = Some(quantity::scaled(quantity, scale).ok_or_else(|| {
            format!("resources.limits.{name}: {} is not a quantity above 0, like 500m or 512Mi", written(quantity))
        })?);
    }
    Ok(limits)
}

fn written(quantity: &k8s_openapi::apimachinery::pkg::util::intstr::IntOrString) -> String {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    match quantity {
        IntOrString::Int(n) => n.to_string(),
        IntOrString::String(text) => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    use super::*;
    use crate::api::pool::{Credential, EnvVar};
    use crate::runtime::InstanceKey;
    use crate::runtime::credentials::Secret;

    fn spec() -> InstanceSpec {
        InstanceSpec {
            key: InstanceKey { namespace: "ns".into(), worker: "a-0".into(), uid: "0123-456789ab".into() },
            pool: "a".into(),
            host: "local".into(),
            image: Some("i:1".into()),
            command: vec![],
            args: vec![],
            env: vec![],
            working_dir: None,
            resources: None,
            mounts: vec![],
            credential: None,
            grace: None,
            protected_for: None,
            pool_uid: "p-1".to_owned(),
            pod_template: None,
        }
    }

    fn made(spec: &InstanceSpec) -> Result<ContainerCreateBody, String> {
        body(
            spec,
            &Owner { installation: "in".into(), process: Some("b/1/2".into()) },
            Some(&Given::Variable(Secret::new("sesame-open"))),
        )
    }

    fn resources(limits: &[(&str, &str)], requests: &[(&str, &str)]) -> Option<Resources> {
        let map = |list: &[(&str, &str)]| {
            list.iter().map(|(n, v)| ((*n).to_owned(), IntOrString::String((*v).to_owned()))).collect()
        };
        Some(Resources { limits: map(limits), requests: map(requests) })
    }

    #[test]
    fn a_container_says_whose_it_is() {
        let mut spec = spec();
        spec.credential = Some(Credential { name: "c".into(), env: "TOKEN".into(), ..Credential::default() });
        spec.env = vec![EnvVar { name: "A".into(), value: "b".into() }];
        let made = made(&spec).unwrap();
        assert_eq!(made.env.unwrap(), ["A=b", "TOKEN=sesame-open"]);
        let labels = made.labels.unwrap();
        for (name, value) in [
            (names::POOL, "a"),
            (names::WORKER, "a-0"),
            (names::WORKER_UID, "0123-456789ab"),
            (names::NAMESPACE, "ns"),
            (names::INSTALLATION, "in"),
            (names::OWNER_PROCESS, "b/1/2"),
            (CREDENTIAL_ENV, "TOKEN"),
        ] {
            assert_eq!(labels[name], value, "{name}");
        }
        assert!(!labels.values().any(|value| value.contains("sesame")));
        assert_eq!(made.hostname.as_deref(), Some("a-0-01234567"));
    }

    #[test]
    fn the_engine_knows_the_grace() {
        let of = |grace| made(&InstanceSpec { grace, ..spec() }).unwrap().stop_timeout;
        assert_eq!((of(None), of(Some(Duration::from_secs(90)))), (Some(2), Some(90)));
    }

    #[test]
    fn limits_become_those_of_the_engine() {
        let mut spec = spec();
        spec.resources = resources(&[("cpu", "500m"), ("memory", "512Mi")], &[]);
        let host = made(&spec).unwrap().host_config.unwrap();
        assert_eq!((host.nano_cpus, host.memory), (Some(500_000_000), Some(512 << 20)));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        let refused = |change: &dyn Fn(&mut InstanceSpec), field: &str| {
            let mut spec = spec();
            change(&mut spec);
            let why = made(&spec).unwrap_err();
            assert!(why.contains(field) && !why.contains("sesame"), "{why}");
        };
        refused(&|s| s.image = None, "image");
        refused(&|s| s.pod_template = Some(serde_json::Map::new()), "podTemplate");
        refused(&|s| s.resources = resources(&[], &[("cpu", "1")]), "resources.requests.cpu");
        refused(&|s| s.resources = resources(&[("gpu", "1")], &[]), "resources.limits.gpu");
        refused(&|s| s.resources = resources(&[("cpu", "lots")], &[]), "resources.limits.cpu");
        refused(&|s| s.env = vec![EnvVar { name: "A=B".into(), value: "sesame".into() }], "A=B");
        refused(&|s| s.credential = Some(Credential { name: "c".into(), ..Credential::default() }), "credentials");
    }
}
