//! Directories of hosts that workers have as their credential: which workers, over all pools and namespaces.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::worker::WorkerSpec;
use crate::core::object::ObjectKey;

/// A host, and a path on it that ends in `/`: the paths inside it follow it in the order of strings.
type Place = (String, String);

/// Every directory that a worker has.
#[derive(Default)]
pub(in crate::core) struct Directories {
    workers: BTreeMap<Place, BTreeSet<ObjectKey>>,
    /// Pools that cannot create a worker because others have the directory.
    waiting: BTreeSet<ObjectKey>,
}

fn place(host: &str, path: &str) -> Place {
    (host.to_owned(), format!("{}/", path.trim_end_matches('/')))
}

fn of(spec: &WorkerSpec) -> Option<Place> {
    Some(place(spec.host.as_deref()?, spec.directory.as_deref()?))
}

impl Directories {
    /// A worker exists, or is being created.
    pub fn add(&mut self, worker: &ObjectKey, spec: &WorkerSpec) {
        if let Some(place) = of(spec) {
            self.workers.entry(place).or_default().insert(worker.clone());
        }
    }

    /// A worker is gone, or was not created. Returns the pools that waited for a directory.
    pub fn remove(&mut self, worker: &ObjectKey, spec: &WorkerSpec) -> BTreeSet<ObjectKey> {
        let Some(place) = of(spec) else { return BTreeSet::new() };
        let Some(workers) = self.workers.get_mut(&place) else { return BTreeSet::new() };
        if !workers.remove(worker) {
            return BTreeSet::new();
        }
        if workers.is_empty() {
            self.workers.remove(&place);
        }
        std::mem::take(&mut self.waiting)
    }

    /// The workers that have a directory, one that is inside it, or one that it is inside of.
    pub fn workers_on(&self, host: &str, path: &str) -> impl Iterator<Item = &ObjectKey> {
        let (host, path) = place(host, path);
        let above = path.match_indices('/').map(|(at, _)| path[..=at].to_owned()).filter(|above| *above != path);
        let above: Vec<&ObjectKey> =
            above.filter_map(|above| self.workers.get(&(host.clone(), above))).flatten().collect();
        let inside = self.workers.range((host.clone(), path.clone())..);
        let inside = inside.take_while(move |((h, p), _)| *h == host && p.starts_with(&path)).flat_map(|(_, w)| w);
        above.into_iter().chain(inside)
    }

    /// A pool waits for a directory.
    pub fn wait(&mut self, pool: &ObjectKey) {
        self.waiting.insert(pool.clone());
    }

    /// Entries of all its tables.
    pub fn entries(&self) -> usize {
        self.waiting.len() + self.workers.values().map(BTreeSet::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::RuntimeKind;

    fn spec(host: &str, directory: &str) -> WorkerSpec {
        WorkerSpec {
            pool: "p".to_owned(),
            pool_generation: 1,
            runtime: RuntimeKind::Docker,
            credential: Some("a".to_owned()),
            host: Some(host.to_owned()),
            directory: Some(directory.into()),
            template_hash: String::new(),
            cordoned: false,
        }
    }

    #[test]
    fn paths_inside_each_other_are_the_same_directory_and_others_are_not() {
        let mut directories = Directories::default();
        let key = ObjectKey::new("team", "p-0");
        directories.add(&key, &spec("local", "/logins/a"));
        let on = |host: &str, path: &str| directories.workers_on(host, path).count();
        assert_eq!([on("local", "/logins/a"), on("local", "/logins"), on("local", "/logins/a/claude")], [1, 1, 1]);
        assert_eq!([on("local", "/logins/ab"), on("local", "/login"), on("gpu1", "/logins/a")], [0, 0, 0]);
        assert_eq!([on("local", "/"), on("local", "/logins/a/")], [1, 1]);
    }

    #[test]
    fn pools_wait_until_a_worker_is_gone() {
        let mut directories = Directories::default();
        let (one, two) = (ObjectKey::new("team", "p-0"), ObjectKey::new("other", "q-0"));
        let on_a = spec("local", "/logins/a");
        directories.add(&one, &on_a);
        directories.add(&one, &on_a);
        directories.wait(&ObjectKey::new("other", "q"));
        assert!(directories.remove(&two, &on_a).is_empty(), "it has none");
        assert_eq!(directories.remove(&one, &on_a).len(), 1);
        assert_eq!(directories.workers_on("local", "/logins/a").count(), 0);
        assert!(directories.remove(&one, &on_a).is_empty());
    }
}
