//! The values of credentials that are on this machine, stored as a Secret for a server that has another environment.

use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};

use crate::api::pool::Credential;
use crate::api::{ContainerPool, GROUP, VERSION, names};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::say;
use crate::cli::pool_flags::flags::{Surroundings, credentials};
use crate::cli::server::{Server, is_conflict};
use crate::runtime::stored_credentials::read_here;

/// Reads `--credential`. Variables and files become keys of the Secret that comes with the entries of `spec.credentials`.
pub(super) async fn read(
    pool: &str,
    flags: &[String],
    current_dir: &Path,
) -> Result<(Vec<Value>, Option<Secret>), Failure> {
    let around = Surroundings { var: &|name| std::env::var(name), current_dir, are_here: true };
    let mut entries = Vec::new();
    for entry in credentials(flags, &around)? {
        let entry: Credential =
            serde_json::from_value(entry).map_err(|e| Failure::poolkeeper("an entry of spec.credentials", e))?;
        entries.push(entry);
    }
    let secret = read_here(pool, &mut entries).await.map_err(|e| Failure::usage(e.to_string()))?;
    Ok((entries.iter().map(|entry| json!(entry)).collect(), secret))
}

/// Stores the Secret. One that is left of an earlier pool of the same name is replaced; any other is left alone.
pub(super) async fn store(server: &Server, pool: &str, mut secret: Secret) -> Result<Secret, Failure> {
    let api = server.api::<Secret>();
    let name = secret.name_any();
    let keys = secret.data.iter().flat_map(|data| data.keys()).cloned().collect::<Vec<_>>().join(", ");
    if let Some(old) = api.get_opt(&name).await.map_err(|e| server.failed(&e))? {
        if old.labels().get(names::POOL).map(String::as_str) != Some(pool) {
            let message = format!(
                "Secret {name} exists, and was not made for pool {pool}: delete it, or name its keys with --credential NAME=VAR:secret:{name}/KEY"
            );
            return Err(Failure::new(Exit::Conflict, message));
        }
        let exactly = Preconditions { uid: old.uid(), resource_version: None };
        let deleted = api.delete(&name, &DeleteParams::default().preconditions(exactly)).await;
        deleted.map_err(|e| server.failed(&e))?;
    }
    secret.metadata.namespace = Some(server.namespace.clone());
    let stored = api.create(&PostParams::default(), &secret).await.map_err(|error| {
        if is_conflict(&error) {
            Failure::new(
                Exit::Conflict,
                format!("Secret {name} was made by another program just now: run the command once more"),
            )
        } else {
            server.failed(&error)
        }
    })?;
    say(&format!("the values of {keys} are stored in Secret {name}, not in the pool"));
    Ok(stored)
}

/// Makes the pool the owner of its Secret: it goes with the pool.
pub(super) async fn belongs_to(server: &Server, secret: &Secret, pool: &ContainerPool) -> Result<(), Failure> {
    let owner = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "ContainerPool", "name": pool.name_any(), "uid": pool.uid(),
    });
    let patch = Patch::Merge(json!({"metadata": {"ownerReferences": [owner]}}));
    let owned = server.api::<Secret>().patch(&secret.name_any(), &PatchParams::default(), &patch).await;
    owned.map(drop).map_err(|e| server.failed(&e))
}

/// Removes a Secret whose pool was not made.
pub(super) async fn remove(server: &Server, secret: &Secret) {
    let exactly = Preconditions { uid: secret.uid(), resource_version: None };
    let deleted =
        server.api::<Secret>().delete(&secret.name_any(), &DeleteParams::default().preconditions(exactly)).await;
    if let Err(error) = deleted {
        say(&format!("Secret {} stays: {}", secret.name_any(), server.failed(&error)));
    }
}
