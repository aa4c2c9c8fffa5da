//! `--state`: whether the workers of a pool can see the directory, and where.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::api::{ContainerPool, RuntimeKind};
use crate::cli::exit::Failure;
use crate::cli::pool_flags::spec::{PlannedPool, extend, section};
use crate::runtime::pod;
use crate::supervisor::batch::state_dirs::StateDirs;

/// Where containers of a run's own pool see the directory.
const MOUNTED_AT: &str = "/poolkeeper/state";

/// For a pool that is made for this run: containers get a mount.
///
/// # Errors
/// The directory cannot be made, or something else is mounted where it would be.
pub(super) fn of_own_pool(dir: &Path, plan: &mut PlannedPool) -> Result<StateDirs, Failure> {
    if plan.runtime == RuntimeKind::Process {
        return Ok(StateDirs::of_processes(dir)?);
    }
    StateDirs::of_containers(dir, |made| {
        let spec = section(&mut plan.pool, "spec")?;
        let mounts = spec.get("mounts").and_then(Value::as_array).into_iter().flatten();
        let other = |m: &&Value| m["mountPath"] == MOUNTED_AT && m["hostPath"].as_str().map(Path::new) != Some(made);
        if let Some(taken) = mounts.into_iter().find(other) {
            return Err(Failure::usage(format!(
                "--state is mounted at {MOUNTED_AT}, and spec.mounts has {} there: mount that elsewhere",
                taken["hostPath"]
            )));
        }
        let mount = json!({"hostPath": made.to_string_lossy(), "mountPath": MOUNTED_AT, "readOnly": false});
        extend(spec, "mounts", "mountPath", vec![mount])?;
        Ok(PathBuf::from(MOUNTED_AT))
    })
}

/// For a pool of a server, which must have a mount already. `is_here`: its workers are on this machine.
///
/// # Errors
/// No worker can write to the directory; or it cannot be made.
pub(super) fn of_pool(
    dir: &Path,
    pool: &ContainerPool,
    runtime: RuntimeKind,
    is_here: bool,
) -> Result<StateDirs, Failure> {
    if !is_here {
        return in_workers(dir, pool, runtime);
    }
    match runtime {
        RuntimeKind::Process => Ok(StateDirs::of_processes(dir)?),
        _ => StateDirs::of_containers(dir, |made| seen_at(made, pool)),
    }
}

/// Where containers of `pool` see a directory of this machine, and may write to it.
fn seen_at(dir: &Path, pool: &ContainerPool) -> Result<PathBuf, Failure> {
    let below = |m: &crate::api::pool::Mount| {
        let rest = dir.strip_prefix(&m.host_path).ok().filter(|_| !m.read_only)?;
        Some(Path::new(&m.mount_path).components().chain(rest.components()).collect::<PathBuf>())
    };
    pool.spec.mounts.iter().find_map(below).ok_or_else(|| {
        let (dir, name) = (dir.display(), pool.metadata.name.as_deref().unwrap_or_default());
        Failure::usage(format!(
            "--state {dir}: the workers of pool {name} do not see it: add {{hostPath: {dir}, mountPath: {MOUNTED_AT}, readOnly: \
             false}} to its spec.mounts, or make the pool with --mount {dir}:{MOUNTED_AT}:rw"
        ))
    })
}

/// The directory is a path in the workers. What is mounted there must be shared, which a volume of a single Pod is not.
fn in_workers(dir: &Path, pool: &ContainerPool, runtime: RuntimeKind) -> Result<StateDirs, Failure> {
    let Some(text) = dir.to_str().filter(|_| dir.is_absolute()) else {
        return Err(Failure::usage(format!(
            "--state {}: the workers are not on this machine: name the absolute path of a directory that all of them share",
            dir.display()
        )));
    };
    let mounted = pool.spec.mounts.iter().any(|m| !m.read_only && dir.starts_with(&m.mount_path));
    if mounted || runtime == RuntimeKind::Process || has_shared_volume(dir, pool) {
        return Ok(StateDirs::InWorkers(text.to_owned()));
    }
    let (name, container) = (pool.metadata.name.as_deref().unwrap_or_default(), pod::CONTAINER);
    Err(Failure::usage(format!(
        "--state {text}: nothing that the workers of pool {name} share is mounted there: add a volume of a \
         persistentVolumeClaim to spec.podTemplate.spec.volumes and {{name: …, mountPath: {text}}} to the volumeMounts of its \
         container {container}"
    )))
}

fn has_shared_volume(dir: &Path, pool: &ContainerPool) -> bool {
    let Some(spec) = pool.spec.pod_template.as_ref().and_then(|template| template.get("spec")) else { return false };
    let list = |of: &Value, field: &str| of.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let volumes = list(spec, "volumes");
    let own =
        |v: &Value| ["emptyDir", "ephemeral", "configMap", "secret", "downwardAPI"].iter().any(|k| v.get(k).is_some());
    let is_shared = |name: &Value| volumes.iter().any(|v| v.get("name") == Some(name) && !own(v));
    let workers = list(spec, "containers").into_iter().filter(|c| c["name"] == pod::CONTAINER);
    workers.flat_map(|c| list(&c, "volumeMounts")).any(|m| {
        let covers = m["mountPath"].as_str().is_some_and(|path| dir.starts_with(path));
        covers && m["readOnly"] != true && is_shared(&m["name"])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(spec: Value) -> ContainerPool {
        let meta = json!({"name": "agents"});
        let pool =
            json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": meta, "spec": spec});
        serde_json::from_value(pool).unwrap()
    }

    #[test]
    fn a_directory_below_a_mount_is_seen_below_it() {
        let mounts = json!({"mounts": [
            {"hostPath": "/srv/data", "mountPath": "/data", "readOnly": true},
            {"hostPath": "/srv", "mountPath": "/all", "readOnly": false},
        ]});
        let at = |dir: &str| seen_at(Path::new(dir), &pool(mounts.clone())).map_err(|f| f.message);
        assert_eq!(at("/srv").unwrap(), Path::new("/all"));
        assert_eq!(at("/srv/data/x").unwrap(), Path::new("/all/data/x"));
        let refusal = at("/home/x").unwrap_err();
        assert!(
            refusal.contains("pool agents") && refusal.contains("--mount /home/x:/poolkeeper/state:rw"),
            "{refusal}"
        );
    }

    #[test]
    fn in_pods_only_what_they_share_will_do() {
        let with = |volume: Value, mount: Value| {
            let template =
                json!({"spec": {"volumes": [volume], "containers": [{"name": "worker", "volumeMounts": [mount]}]}});
            in_workers(Path::new("/state/batch"), &pool(json!({"podTemplate": template})), RuntimeKind::Pod)
        };
        let claim = json!({"name": "s", "persistentVolumeClaim": {"claimName": "s"}});
        let mount = json!({"name": "s", "mountPath": "/state"});
        assert_eq!(with(claim.clone(), mount.clone()).unwrap(), StateDirs::InWorkers("/state/batch".into()));
        for (volume, mount) in [
            (json!({"name": "s", "emptyDir": {}}), mount.clone()),
            (claim.clone(), json!({"name": "s", "mountPath": "/state", "readOnly": true})),
            (claim.clone(), json!({"name": "s", "mountPath": "/other"})),
        ] {
            assert!(with(volume, mount).unwrap_err().message.contains("persistentVolumeClaim"));
        }
        let relative = in_workers(Path::new("state"), &pool(json!({})), RuntimeKind::Pod).unwrap_err();
        assert!(relative.message.contains("absolute path"), "{relative}");
        let node = json!({"mounts": [{"hostPath": "/nfs", "mountPath": "/state", "readOnly": false}]});
        assert!(in_workers(Path::new("/state"), &pool(node), RuntimeKind::Docker).is_ok());
    }

    #[test]
    fn what_is_mounted_at_its_place_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let plan = |mounts: Value| PlannedPool {
            pool: json!({"spec": {"mounts": mounts}}),
            runtime: RuntimeKind::Docker,
            stays: true,
        };
        let mut free = plan(json!([]));
        of_own_pool(dir.path(), &mut free).unwrap();
        let mount = json!({"hostPath": dir.path().canonicalize().unwrap(), "mountPath": MOUNTED_AT, "readOnly": false});
        assert_eq!(free.pool["spec"]["mounts"], json!([mount]));
        // The same file again, after it was written down in one.
        of_own_pool(dir.path(), &mut free).unwrap();
        assert_eq!(free.pool["spec"]["mounts"], json!([mount]));
        let taken =
            of_own_pool(dir.path(), &mut plan(json!([{"hostPath": "/x", "mountPath": MOUNTED_AT}]))).unwrap_err();
        assert!(taken.message.contains("\"/x\""), "{taken}");
    }
}
