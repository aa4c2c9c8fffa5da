//! Namespaces: they are deleted with everything in them.
use std::sync::Arc;

use crate::local::objects::api::Api;
use crate::local::objects::verbs::Deleted;
use crate::local::record::Change;
use crate::local::response::status::ApiError;
use crate::local::schema::kind::Kind;
use crate::local::schema::meta;
use crate::local::store::object::{ObjectKey, Stored};
use crate::local::store::transaction::Transaction;

/// Those that cannot be deleted, as in a cluster.
const LASTING: [&str; 3] = ["default", "kube-public", "kube-system"];

impl Api {
    /// Deletes a namespace and everything in it, in one commit: so a crash leaves no half of it. It stays, and takes nothing
    /// new, while objects in it wait for their finalizers.
    ///
    /// # Errors
    /// 403 for a namespace that cannot be deleted.
    pub(crate) fn delete_namespace(
        &self,
        transaction: &mut Transaction<'_>,
        kind: &Kind,
        key: &ObjectKey,
        stored: Arc<Stored>,
        dry_run: bool,
    ) -> Result<Deleted, ApiError> {
        if LASTING.contains(&&*key.name) {
            return Err(ApiError::forbidden(kind, &key.name, "this namespace may not be deleted"));
        }
        let mut object = (*self.marked(&stored).object).clone();
        meta::of(&mut object).remove("deletionGracePeriodSeconds");
        object["status"]["phase"] = "Terminating".into();
        if dry_run {
            return Ok(Deleted::Pending(Arc::new(Stored::new(stored.revision, object))));
        }
        // It is marked last: each object that is removed from a marked one looks for others.
        for key in transaction.in_namespace(&key.name) {
            self.remove(transaction, self.kinds.stored(key.store), &key);
        }
        let marked = if meta::is_deleting(&stored.object) {
            stored
        } else {
            transaction.change(kind, key.clone(), Change::Modified, object, Some(stored), self.clock.now())
        };
        self.release_namespace(transaction, &key.name);
        Ok(Deleted::Pending(marked))
    }

    /// Removes a namespace that is being deleted and has nothing in it any more.
    pub(crate) fn release_namespace(&self, transaction: &mut Transaction<'_>, namespace: &str) {
        let Some((kind, key, stored)) = self.namespace(transaction, namespace) else { return };
        let held = !meta::list(&stored.object, "finalizers").is_empty();
        if meta::is_deleting(&stored.object) && !held && transaction.in_namespace(namespace).is_empty() {
            self.erase(transaction, kind, &key, stored);
        }
    }

    /// Checks that something may be created in a namespace. A namespace need not exist.
    ///
    /// # Errors
    /// 403 if it is being deleted.
    pub(crate) fn check_namespace(
        &self,
        transaction: &Transaction<'_>,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<(), ApiError> {
        let found = self.namespace(transaction, namespace);
        match found.filter(|(.., stored)| meta::is_deleting(&stored.object)) {
            Some(_) => Err(ApiError::terminating(kind, name, namespace)),
            None => Ok(()),
        }
    }

    fn namespace(&self, transaction: &Transaction<'_>, name: &str) -> Option<(&Kind, ObjectKey, Arc<Stored>)> {
        let kind = self.kinds.of_reference("", "Namespace").filter(|_| !name.is_empty())?;
        let key = ObjectKey { store: kind.store, namespace: String::new(), name: name.into() };
        let stored = transaction.get(&key)?;
        Some((kind, key, stored))
    }
}
