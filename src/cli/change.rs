//! Reading objects, changing them while others change them too, and waiting for what comes of it.

use std::fmt::Debug;
use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::exit::Failure;
use super::server::{Server, is_conflict, is_not_found};
use crate::api::Period;

/// The pause between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// One of Poolkeeper's kinds, as commands read and write it.
pub trait Namespaced:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned
{
}

impl<K> Namespaced for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned
{
}

/// A name that can be part of an address.
///
/// # Errors
/// It is none: the server is not asked, since the address would be that of something else.
pub fn check_name(name: &str) -> Result<(), Failure> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if !name.is_empty() && name.chars().all(fits) && !name.contains("..") {
        return Ok(());
    }
    Err(Failure::usage(format!("{name:?} is no name: names have lower case letters, digits, hyphens and dots")))
}

/// Reads an object. None: it is not there.
///
/// # Errors
/// The name is none, or the server refuses.
pub async fn find<K: Namespaced>(server: &Server, name: &str) -> Result<Option<K>, Failure> {
    check_name(name)?;
    match server.api::<K>().get(name).await {
        Err(error) if is_not_found(&error) => Ok(None),
        answer => answer.map(Some).map_err(|e| server.failed(&e)),
    }
}

/// Reads an object.
///
/// # Errors
/// As [`find`]; it is not there.
pub async fn read<K: Namespaced>(server: &Server, name: &str) -> Result<K, Failure> {
    check_name(name)?;
    server.api::<K>().get(name).await.map_err(|e| server.failed(&e))
}

/// Reads an object, lets `change` make a merge patch for it, and writes that; again, if the object was changed meanwhile. None:
/// there is nothing to write. Answers with the object as it is then.
///
/// # Errors
/// The object is not there, the server refuses, or `change` does.
pub async fn patch<K: Namespaced>(
    server: &Server,
    name: &str,
    mut change: impl FnMut(&K) -> Result<Option<Value>, Failure>,
) -> Result<K, Failure> {
    loop {
        let now = read::<K>(server, name).await?;
        let Some(mut patch) = change(&now)? else { return Ok(now) };
        patch["metadata"]["resourceVersion"] = json!(now.resource_version());
        match server.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(error) if is_conflict(&error) => {}
            answer => return answer.map_err(|e| server.failed(&e)),
        }
    }
}

/// The result of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted, or will be when its finalizers are removed.
    Accepted,
    /// It was changed since it was read: look at it again.
    Changed,
    /// It is not there any more.
    Gone,
}

/// Deletes exactly this object. With `as_read` only if nothing changed in it since it was read.
///
/// # Errors
/// The server refuses.
pub async fn delete<K: Namespaced>(server: &Server, object: &K, as_read: bool) -> Result<Deletion, Failure> {
    let resource_version = object.resource_version().filter(|_| as_read);
    let params = DeleteParams::default().preconditions(Preconditions { uid: object.uid(), resource_version });
    match server.api::<K>().delete(&object.name_any(), &params).await {
        Ok(_) => Ok(Deletion::Accepted),
        Err(error) if is_not_found(&error) => Ok(Deletion::Gone),
        Err(error) if is_conflict(&error) => Ok(Deletion::Changed),
        Err(error) => Err(server.failed(&error)),
    }
}

/// Looks every 200 ms until there is an answer, for at most `limit`; `0s`: without a limit. None: it did not come.
///
/// # Errors
/// Those of `look`.
pub async fn until<T>(
    limit: Period,
    mut look: impl AsyncFnMut() -> Result<Option<T>, Failure>,
) -> Result<Option<T>, Failure> {
    let looks = async {
        loop {
            if let Some(found) = look().await? {
                return Ok(Some(found));
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    if limit.is_zero() {
        return looks.await;
    }
    tokio::time::timeout(limit.get(), looks).await.unwrap_or(Ok(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_lead_elsewhere() {
        for good in ["a", "agents-0", "a.b-1"] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in ["", "a/b", "../a", "..", "A", "a?b", "a b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
