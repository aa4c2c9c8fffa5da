//! Values that a command reads on its own machine, and keeps as a Secret for a server that has another environment.
//!
//! `create pool --credential a=env:NAME` means the variable of the shell in which it is typed, not that of the server.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;

use super::credentials::{CredentialError, resolve};
use crate::api::names;
use crate::api::pool::{Credential, SecretKeyRef};

/// The name of the Secret in which commands keep the values of a pool's credentials. Its keys are the names of the credentials.
pub fn secret_name(pool: &str) -> String {
    format!("{pool}-credentials")
}

/// Reads the values of the credentials that name a variable or a file of this machine, and makes each of them a
/// `secretKeyRef`. Answers with the Secret to create before the pool; None: no credential named a variable or a file. A
/// `fromCommand` stays as it is, for the server to run at each start of a worker. `pool` is the pool's name; the caller
/// sets the namespace. The Secret holds the values: do not print it.
///
/// # Errors
/// A source has no usable value. Nothing that was read shows in an error.
pub async fn read_here(pool: &str, credentials: &mut [Credential]) -> Result<Option<Secret>, CredentialError> {
    let mut data = BTreeMap::new();
    for credential in credentials {
        if credential.from_env.is_none() && credential.from_file.is_none() {
            continue;
        }
        let value = resolve(credential).await?;
        data.insert(credential.name.clone(), ByteString(value.expose().as_bytes().to_vec()));
        credential.from_env = None;
        credential.from_file = None;
        credential.secret_key_ref = Some(SecretKeyRef { name: secret_name(pool), key: credential.name.clone() });
    }
    if data.is_empty() {
        return Ok(None);
    }
    let labels = BTreeMap::from([(names::POOL.to_owned(), pool.to_owned())]);
    let metadata = ObjectMeta { name: Some(secret_name(pool)), labels: Some(labels), ..ObjectMeta::default() };
    Ok(Some(Secret { metadata, data: Some(data), ..Secret::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn variables_and_files_of_this_machine_become_keys_of_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "sesame\n").unwrap();
        let named = |name: &str| Credential { name: name.into(), env: "TOKEN".into(), ..Credential::default() };
        let mut credentials = [
            Credential { from_env: Some("PATH".into()), ..named("a") },
            Credential { from_file: Some(file.display().to_string()), max_concurrent: Some(2), ..named("b") },
            Credential { from_command: vec!["true".into()], ..named("c") },
        ];
        let secret = read_here("agents", &mut credentials).await.unwrap().unwrap();
        let [a, b, c] = credentials;
        let key = |key: &str| Some(SecretKeyRef { name: "agents-credentials".into(), key: key.into() });
        assert_eq!(a, Credential { secret_key_ref: key("a"), ..named("a") });
        assert_eq!(b, Credential { secret_key_ref: key("b"), max_concurrent: Some(2), ..named("b") });
        assert_eq!(c.from_command, ["true"]);
        assert_eq!(secret.metadata.name.as_deref(), Some("agents-credentials"));
        let data = secret.data.unwrap();
        assert_eq!(data["b"].0, b"sesame");
        assert_eq!(data["a"].0, std::env::var("PATH").unwrap().as_bytes());
        assert_eq!(data.len(), 2);
    }

    #[tokio::test]
    async fn what_is_in_a_secret_already_is_left_alone() {
        let at = Some(SecretKeyRef { name: "tokens".into(), key: "a".into() });
        let mut credentials = [Credential { name: "a".into(), secret_key_ref: at, ..Credential::default() }];
        let before = credentials.clone();
        assert_eq!(read_here("agents", &mut credentials).await.unwrap(), None);
        assert_eq!(credentials, before);
    }
}
