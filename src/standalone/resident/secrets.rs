//! The Secrets that pools name, read in the server's own API at each start of a worker.

use std::fmt;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use secrecy::zeroize::Zeroizing;

use crate::api::pool::SecretKeyRef;
use crate::runtime::credentials::Secrets;

/// The Secrets of an API.
pub(super) struct SecretsOf(pub Client);

impl fmt::Debug for SecretsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretsOf")
    }
}

#[async_trait]
impl Secrets for SecretsOf {
    async fn value(&self, namespace: &str, at: &SecretKeyRef) -> Result<Zeroizing<Vec<u8>>, String> {
        let secrets: Api<Secret> = Api::namespaced(self.0.clone(), namespace);
        let found = secrets.get_opt(&at.name).await.map_err(|error| format!("Secret {}: {error}", at.name))?;
        let missing = || {
            format!(
                "there is no Secret {} in namespace {namespace}: create it with the key {}, for example with kubectl apply",
                at.name, at.key
            )
        };
        let data = found.ok_or_else(missing)?.data.unwrap_or_default();
        let keys: Vec<String> = data.keys().cloned().collect();
        let value = data.into_iter().find(|(key, _)| *key == at.key);
        value.map(|(_, value)| Zeroizing::new(value.0)).ok_or_else(|| match keys.as_slice() {
            [] => format!("Secret {} is empty: add the key {}", at.name, at.key),
            keys => format!("Secret {} has no key {}; it has {}", at.name, at.key, keys.join(", ")),
        })
    }
}
