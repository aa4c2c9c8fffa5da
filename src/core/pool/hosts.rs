//! The hosts of a pool, and which of them cannot be reached.

use crate::api::ContainerPool;
use crate::api::pool::PoolHostStatus;
use crate::core::{Core, HostKey, ObjectKey};
use crate::runtime::LOCAL_HOST;

/// How a host is described that has neither been listed nor failed.
const SILENT: &str = "it has not answered yet";

impl Core {
    /// The hosts that new workers of a pool may get.
    fn hosts_for(&self, obj: &ContainerPool) -> Vec<HostKey> {
        let runtime = self.runtime_of(obj);
        let of = |host: &str| HostKey { runtime, host: host.to_owned() };
        if obj.spec.hosts.is_empty() {
            return vec![of(self.cfg.hosts_of(runtime).first().map_or(LOCAL_HOST, String::as_str))];
        }
        obj.spec.hosts.iter().map(|host| of(&host.name)).collect()
    }

    /// A host of a pool that is not listed, and why, if none of its hosts is. Otherwise the others have its workers.
    pub(super) fn unlisted(&self, obj: &ContainerPool) -> Option<(HostKey, &str)> {
        let mut first = None;
        for host in self.hosts_for(obj) {
            let why = self.instances.why_unlisted(&host)?;
            first.get_or_insert((host, why));
        }
        first
    }

    /// What the status says of the hosts that the spec names.
    pub(super) fn hosts(&self, key: &ObjectKey, obj: &ContainerPool) -> Vec<PoolHostStatus> {
        if obj.spec.hosts.is_empty() {
            return Vec::new();
        }
        let one = |host: HostKey| PoolHostStatus {
            workers: self
                .pools
                .get(key)
                .map_or(0, |p| i32::try_from(p.members.on_host(&host.host)).unwrap_or(i32::MAX)),
            unreachable: self
                .instances
                .why_unlisted(&host)
                .map(|why| if why.is_empty() { SILENT } else { why }.to_owned()),
            name: host.host,
        };
        self.hosts_for(obj).into_iter().map(one).collect()
    }
}
