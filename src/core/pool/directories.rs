//! How many workers may have the same directory of a host as their credential.

use super::size::{Counts, want};
use crate::api::ContainerPool;
use crate::api::pool::{ContainerPoolSpec, Credential};
use crate::core::{Core, Now, ObjectKey};

/// Most workers at a time that have a directory, if its credential says no number.
const MOST: i32 = 1;

/// True if a worker that replaces another one has to wait until that one is gone: two would have one directory.
pub(in crate::core) fn are_used(spec: &ContainerPoolSpec) -> bool {
    spec.credentials.iter().any(|credential| credential.directory.is_some())
}

impl Core {
    /// True if as many workers as may have it have the directory of a credential, in any pools and namespaces.
    pub(in crate::core) fn directory_is_full(&mut self, credential: &Credential, host: &str) -> bool {
        let Some(directory) = &credential.directory else { return false };
        let used = self.directories.workers_on(host, &directory.plain_path()).count();
        self.visits.0 += used as u64;
        used >= usize::try_from(credential.max_concurrent.unwrap_or(MOST)).unwrap_or(0)
    }

    /// Why a pool that wants more workers can create none, if it is because other workers have the directories of its
    /// credentials.
    pub(super) fn limited_by_directory(
        &mut self,
        key: &ObjectKey,
        obj: &ContainerPool,
        counts: Counts,
        now: Now,
    ) -> Option<String> {
        let p = self.pools.get(key)?;
        let exist = i32::try_from(p.members.len() + p.members.creating()).unwrap_or(i32::MAX);
        if !are_used(&obj.spec) || want(&obj.spec, counts) <= exist || exist >= obj.spec.max {
            return None;
        }
        let host = self.next_host(key, obj)?.host;
        if self.next_credential(key, obj, &host, now).is_some() {
            return None;
        }
        let full = obj.spec.credentials.iter().find(|c| self.directory_is_full(c, &host))?;
        let path = full.directory.as_ref()?.plain_path();
        let others = self.directories.workers_on(&host, &path);
        let names: Vec<String> = others.map(ToString::to_string).collect();
        let verb = if names.len() == 1 { "has" } else { "have" };
        Some(format!(
            "credential {}: {} {verb} the directory {path}",
            full.name,
            super::explain::few(&names, names.len())
        ))
    }
}
