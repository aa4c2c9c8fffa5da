//! What an instance is made from, as a hash. A worker with another hash than its pool's is replaced. A worker with another
//! credential than its pool names takes no work.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::Worker;
use crate::api::pool::{ContainerPoolSpec, Credential};

/// Separates the part of a hash that all workers of a pool share from the part of the credential.
const PART: char = '-';

/// Hash of the fields that shape an instance, as they were written: an upgrade of Poolkeeper changes none.
pub fn template_hash(spec: &ContainerPoolSpec, credential: Option<&Credential>) -> String {
    let shape = hash(serde_json::json!({
        "image": spec.image,
        "runtime": spec.runtime,
        "command": spec.command,
        "args": spec.args,
        "env": spec.env,
        "workingDir": spec.working_dir,
        "resources": spec.resources,
        "mounts": spec.mounts,
        "terminationGracePeriod": spec.termination_grace_period,
        "podTemplate": spec.pod_template,
    }));
    match credential {
        None => shape,
        Some(c) => {
            // How many attempts may use it at a time does not shape an instance.
            let c = Credential { max_concurrent: None, ..c.clone() };
            // It cannot fail: all keys are strings, and JSON can hold every value.
            format!("{shape}{PART}{}", hash(serde_json::to_value(c).unwrap_or_default()))
        }
    }
}

fn hash(mut shape: Value) -> String {
    // A field that is not written does not count, so a field that a later version adds changes no hash.
    if let Some(fields) = shape.as_object_mut() {
        fields.retain(|_, v| !v.is_null() && v.as_array().is_none_or(|a| !a.is_empty()));
    }
    hex::encode(&Sha256::digest(shape.to_string().as_bytes())[..5])
}

fn credential_part(hash: &str) -> Option<&str> {
    hash.split_once(PART).map(|(_, credential)| credential)
}

/// The hashes of a pool's workers, by the name of their credential. `None`: the pool has no credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Templates(BTreeMap<Option<String>, String>);

impl Templates {
    pub fn of(spec: &ContainerPoolSpec) -> Self {
        if spec.credentials.is_empty() {
            return Self([(None, template_hash(spec, None))].into());
        }
        Self(spec.credentials.iter().map(|c| (Some(c.name.clone()), template_hash(spec, Some(c)))).collect())
    }

    pub fn hashes(&self) -> impl Iterator<Item = &String> {
        self.0.values()
    }

    /// True if a worker is what the pool would create now.
    pub fn matches(&self, worker: &Worker) -> bool {
        self.0.get(&worker.spec.credential) == Some(&worker.spec.template_hash)
    }

    /// True if a worker has the credential that the pool would give it now.
    pub fn credential_matches(&self, worker: &Worker) -> bool {
        let now = self.0.get(&worker.spec.credential);
        now.is_some_and(|now| credential_part(now) == credential_part(&worker.spec.template_hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_follows_what_shapes_an_instance_and_nothing_else() {
        let a = ContainerPoolSpec { image: Some("a".into()), ..ContainerPoolSpec::default() };
        let scaled = ContainerPoolSpec { min: 3, max: 9, ..a.clone() };
        let other = ContainerPoolSpec { image: Some("b".into()), ..a.clone() };
        assert_eq!(template_hash(&a, None), template_hash(&scaled, None));
        assert_ne!(template_hash(&a, None), template_hash(&other, None));
        let token =
            Credential { name: "t".into(), env: "TOKEN".into(), from_env: Some("A".into()), ..Credential::default() };
        let fewer = Credential { max_concurrent: Some(1), ..token.clone() };
        let moved = Credential { from_env: Some("B".into()), ..token.clone() };
        assert_eq!(template_hash(&a, Some(&token)), template_hash(&a, Some(&fewer)));
        assert_ne!(template_hash(&a, Some(&token)), template_hash(&a, Some(&moved)));
        // Stored in Workers: a release that changes them would roll every pool.
        assert_eq!(template_hash(&a, None), "a4db6e5b12");
        assert_eq!(template_hash(&a, Some(&token)), "a4db6e5b12-e8f342944f");
    }
}
