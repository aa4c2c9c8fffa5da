//! Every annotation, label, finalizer and name that Poolkeeper writes or reads on objects, in one place.

/// Prefix of the annotation that requests a Dispatch: `dispatch.poolkeeper.dev/<task>`.
pub const DISPATCH_REQUEST: &str = "dispatch.poolkeeper.dev/";
/// Prefix of the annotation that reports a result: `result.poolkeeper.dev/<task>`.
pub const RESULT_REQUEST: &str = "result.poolkeeper.dev/";
/// Prefix of the annotation that sets or clears a cooldown: `cooldown.poolkeeper.dev/<worker|credential>`.
pub const COOLDOWN_REQUEST: &str = "cooldown.poolkeeper.dev/";

/// On a Worker or a pool: `true` ends its open attempts as Forced.
pub const FORCE_DELETE: &str = "poolkeeper.dev/force-delete";
/// On a Dispatch created from an annotation: the uid of the annotated pool.
pub const REQUEST_POOL_UID: &str = "poolkeeper.dev/request-pool-uid";
/// On a Dispatch created from an annotation: a hash of the annotation's value.
pub const REQUEST_HASH: &str = "poolkeeper.dev/request-hash";

/// Prefix of every label that Poolkeeper defines.
pub const PREFIX: &str = "poolkeeper.dev/";
/// On Pods: the program that created them ([`MANAGER`]). One of Kubernetes' recommended labels.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// On Workers, Pods and containers: the pool's name.
pub const POOL: &str = "poolkeeper.dev/pool";
/// On Pods and containers: the Worker's name.
pub const WORKER: &str = "poolkeeper.dev/worker";
/// On Pods and containers: the Worker's uid.
pub const WORKER_UID: &str = "poolkeeper.dev/worker-uid";
/// On Pods: `true` while the Pod is protected from eviction. The PodDisruptionBudget of the pool selects it.
pub const PROTECTED: &str = "poolkeeper.dev/protected";
/// Annotation on these Pods: the pool's `drainTimeout` when the worker was created.
pub const DRAIN_TIMEOUT: &str = "poolkeeper.dev/drain-timeout";
/// On containers: the namespace of the Worker.
pub const NAMESPACE: &str = "poolkeeper.dev/namespace";
/// On Pods and containers: the id of the installation that owns them.
pub const INSTALLATION: &str = "poolkeeper.dev/installation";
/// On containers: the variable that holds the worker's credential. Its value is removed from reported output of the worker.
pub const CREDENTIAL_ENV: &str = "poolkeeper.dev/credential-env";
/// On containers: that the value of the worker's credential is in a file. It is removed from reported output of the worker.
pub const CREDENTIAL_FILE: &str = "poolkeeper.dev/credential-file";
/// On containers: which directory is the worker's credential, as hashes of it and of those around it. Others with the same do not start.
pub const DIRECTORY: &str = "poolkeeper.dev/directory";
/// On containers of a local run: `<boot id>/<pid>/<start time of pid in clock ticks>` of the process that owns them, and
/// its pid namespace if that is known.
pub const OWNER_PROCESS: &str = "poolkeeper.dev/owner-process";

/// Finalizer of Workers. It is removed when the runtime has confirmed that the instance is gone.
pub const WORKER_FINALIZER: &str = "poolkeeper.dev/instance";
/// Finalizer of pools. It is removed when no pending Dispatch and no Worker is left.
pub const POOL_FINALIZER: &str = "poolkeeper.dev/pool";

/// On Dispatches and Leases of `poolkeeper run`: the first eight characters of the run's id.
pub const RUN: &str = "poolkeeper.dev/run";

/// The name under which Poolkeeper records Events and owns fields.
pub const MANAGER: &str = "poolkeeper";

/// Maximum length of a pool's name: `<pool>-<ordinal>-<uid8>` must fit the 63 characters of a label and a host name.
pub const MAX_POOL_NAME: usize = 50;

/// Name of the Worker at `ordinal` of `pool`.
pub fn worker(pool: &str, ordinal: i32) -> String {
    format!("{pool}-{ordinal}")
}

/// The ordinal in a Worker's name, if the Worker belongs to `pool`.
pub fn ordinal(pool: &str, worker: &str) -> Option<i32> {
    let n = worker.strip_prefix(pool)?.strip_prefix('-')?;
    let parsed: i32 = n.parse().ok()?;
    (parsed >= 0 && parsed.to_string() == n).then_some(parsed)
}

/// Name of the PodDisruptionBudget of a pool. The uid is in it, since that of an earlier pool may still be there.
pub fn budget(pool: &str, pool_uid: &str) -> String {
    format!("poolkeeper-{}", instance(pool, pool_uid))
}

/// Name of the instance of a Worker: its name and the first eight characters of its uid.
pub fn instance(worker: &str, uid: &str) -> String {
    let short: String = uid.chars().filter(|c| *c != '-').take(8).collect();
    format!("{worker}-{short}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_read_back_and_nothing_else_is_one() {
        assert_eq!(ordinal("a-b", &worker("a-b", 12)), Some(12));
        for (pool, name) in [("a", "a-01"), ("a", "a-+1"), ("a", "a--1"), ("a", "b-1"), ("a", "a-"), ("a", "a-b-1")] {
            assert_eq!(ordinal(pool, name), None, "{name}");
        }
    }
}
