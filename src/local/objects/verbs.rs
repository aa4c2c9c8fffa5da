//! Reading and writing objects, one at a time.
use std::sync::Arc;

use serde_json::Value;

use crate::local::objects::api::Api;
use crate::local::objects::change::{NAMESPACE_DIFFERS, check_identity, check_name, prepare};
use crate::local::record::Change;
use crate::local::request::decode::decode;
use crate::local::request::options::{DeleteOptions, Part, Source, WriteOptions};
use crate::local::response::status::ApiError;
use crate::local::schema::field_error::{FieldError, FieldErrorKind};
use crate::local::schema::kind::Kind;
use crate::local::schema::meta;
use crate::local::schema::validate::validate;
use crate::local::store::object::{ObjectKey, Stored};
use crate::local::store::transaction::{Transaction, Version};

/// The result of a write.
pub(crate) struct Written {
    pub stored: Arc<Stored>,
    pub created: bool,
    pub warnings: Vec<String>,
}

/// The result of a delete.
pub(crate) enum Deleted {
    Gone(Arc<Stored>),
    /// The object is being deleted and waits for its finalizers.
    Pending(Arc<Stored>),
}

const RULES_SKIPPED: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

impl Api {
    /// # Errors
    /// 400 and 422 for an invalid object, 409 if the name is taken.
    pub async fn create(
        self: &Arc<Self>,
        kind: &Kind,
        namespace: &str,
        mut object: Value,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        let warnings = decode(kind, &mut object, Source::Body, options)?;
        self.write(|transaction| self.create_in(transaction, kind, namespace, object, warnings, options)).await
    }

    fn create_in(
        &self,
        transaction: &mut Transaction<'_>,
        kind: &Kind,
        namespace: &str,
        mut object: Value,
        warnings: Vec<String>,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        match meta::text(&object, "namespace") {
            "" if !namespace.is_empty() => _ = meta::of(&mut object).insert("namespace".into(), namespace.into()),
            ns if ns == namespace => {}
            _ => return Err(ApiError::bad_request(NAMESPACE_DIFFERS)),
        }
        if kind.status
            && let Some(map) = object.as_object_mut()
        {
            map.remove("status");
        }
        let (now, uid) = (self.clock.now(), self.ids.uid());
        let metadata = meta::of(&mut object);
        metadata.remove("deletionTimestamp");
        metadata.remove("deletionGracePeriodSeconds");
        let has_version = metadata.contains_key("resourceVersion");
        metadata.insert("uid".into(), uid.into());
        metadata.insert("creationTimestamp".into(), meta::time(now).into());
        metadata.remove("generation");
        if kind.traits.generation {
            metadata.insert("generation".into(), 1.into());
        }
        let key_of = |o: &Value| ObjectKey {
            store: kind.store,
            namespace: namespace.into(),
            name: meta::text(o, "name").into(),
        };
        if meta::text(&object, "name").is_empty() && !meta::text(&object, "generateName").is_empty() {
            self.generate_name(&mut object, |o| transaction.get(&key_of(o)).is_some());
        }
        let mut errors = meta::validate_new(&object, kind);
        errors.append(&mut validate(&kind.schema, &object, None, ""));
        errors.extend(kind.traits.content.iter().flat_map(|content| (content.validate)(&object, None)));
        if kind.traits.typed
            && let Some(e) = errors.iter().find(|e| e.kind == FieldErrorKind::TypeInvalid)
        {
            // The value does not fit Go's type, so the real server fails while it reads the body.
            return Err(ApiError::bad_request(format!("{} cannot be handled as a {0}: {e}", kind.kind)));
        }
        self.check_rules(kind, &object, None, &mut errors);
        let name = meta::text(&object, "name").to_owned();
        if !errors.is_empty() {
            return Err(ApiError::invalid(kind, &name, &errors));
        }
        if has_version {
            return Err(ApiError::unset_on_create());
        }
        self.check_namespace(transaction, kind, namespace, &name)?;
        let key = key_of(&object);
        if let Some(taken) = transaction.get(&key) {
            return Err(ApiError::already_exists(kind, &name, meta::is_deleting(&taken.object)));
        }
        // After validation, because the real server applies the status's default when it reads the stored object.
        let unsettled = kind.schema.apply_defaults(&mut object);
        let object = self.kinds.to_stored(kind, object);
        let stored = if options.dry_run {
            Arc::new(Stored::new(transaction.revision(), object))
        } else {
            let version = Version { object, unsettled };
            let stored =
                transaction.change(self.kinds.stored(kind.store), key.clone(), Change::Added, version, None, now);
            self.collect(transaction, &key);
            stored
        };
        Ok(Written { stored, created: true, warnings })
    }

    fn generate_name(&self, object: &mut Value, taken: impl Fn(&Value) -> bool) {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        const TRIES: usize = 8;
        let base: String = meta::text(object, "generateName").chars().take(58).collect();
        for _ in 0..TRIES {
            let suffix: String = (0..5)
                .map(|_| {
                    let i = (self.ids.unit() * LETTERS.len() as f64) as usize;
                    char::from(LETTERS[i.min(LETTERS.len() - 1)])
                })
                .collect();
            meta::of(object).insert("name".into(), format!("{base}{suffix}").into());
            if !taken(object) {
                return;
            }
        }
    }

    /// # Errors
    /// 404.
    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Arc<Stored>, ApiError> {
        let key = ObjectKey { store: kind.store, namespace: namespace.into(), name: name.into() };
        self.lock().get(&key).ok_or_else(|| ApiError::not_found(kind, name))
    }

    /// Replaces an object, or its status, by the result of `change`.
    ///
    /// # Errors
    /// 404, 409 for another resourceVersion or uid, 422 for an invalid result, and those of `change`.
    pub async fn update(
        self: &Arc<Self>,
        kind: &Kind,
        namespace: &str,
        name: &str,
        (part, source): (Part, Source),
        options: WriteOptions,
        change: impl FnOnce(&Value) -> Result<Value, ApiError>,
    ) -> Result<Written, ApiError> {
        let place = (namespace, name);
        self.write(|transaction| self.update_in(transaction, kind, place, (part, source), options, change)).await
    }

    fn update_in(
        &self,
        transaction: &mut Transaction<'_>,
        kind: &Kind,
        (namespace, name): (&str, &str),
        (part, source): (Part, Source),
        options: WriteOptions,
        change: impl FnOnce(&Value) -> Result<Value, ApiError>,
    ) -> Result<Written, ApiError> {
        let key = ObjectKey { store: kind.store, namespace: namespace.into(), name: name.into() };
        let Some(stored) = transaction.get(&key) else {
            if !(source == Source::Body && kind.traits.create_on_update) {
                return Err(ApiError::not_found(kind, name));
            }
            let mut object = change(&Value::Null)?;
            let warnings = decode(kind, &mut object, source, options)?;
            check_name(&object, namespace, name)?;
            return self.create_in(transaction, kind, namespace, object, warnings, options);
        };
        let old = kind.view(&stored.object);
        let mut new = change(&old)?;
        let mut warnings = decode(kind, &mut new, source, options)?;
        for finalizer in meta::list(&old, "finalizers") {
            warnings.retain(|w| !w.starts_with(&format!("metadata.finalizers: {finalizer:?}:")));
        }
        check_name(&new, namespace, name)?;
        check_identity(kind, &key, &new, &old, source)?;
        prepare(kind, &mut new, &old, part);
        let mut errors = meta::validate_change(&new, &old);
        match part {
            Part::Main => {
                errors.append(&mut validate(&kind.schema, &new, Some(&old), ""));
                errors.extend(kind.traits.content.iter().flat_map(|content| (content.validate)(&new, Some(&old))));
            }
            Part::Status => {
                if let (Some(schema), Some(status)) = (kind.schema.field("status"), new.get("status")) {
                    errors.append(&mut validate(schema, status, old.get("status"), "status"));
                }
            }
        }
        self.check_rules(kind, &new, Some(&old), &mut errors);
        if !errors.is_empty() {
            return Err(ApiError::invalid(kind, meta::text(&new, "name"), &errors));
        }
        let unsettled = kind.schema.apply_defaults(&mut new);
        let new = self.kinds.to_stored(kind, new);
        let released = meta::is_deleting(&stored.object) && meta::list(&new, "finalizers").is_empty();
        let result = if new == *stored.object && !stored.unsettled {
            stored
        } else if options.dry_run {
            Arc::new(Stored::new(stored.revision, new))
        } else if released {
            // The object is removed as it was, without the other changes of the request. The client gets them in the answer.
            self.erase(transaction, self.kinds.stored(kind.store), &key, stored);
            Arc::new(Stored::new(transaction.revision(), new))
        } else {
            let owners_changed = meta::owners(&new) != meta::owners(&stored.object);
            let (now, new) = (self.clock.now(), Version { object: new, unsettled });
            let result = transaction.change(
                self.kinds.stored(kind.store),
                key.clone(),
                Change::Modified,
                new,
                Some(Arc::clone(&stored)),
                now,
            );
            if owners_changed {
                self.collect(transaction, &key);
                self.release_owners(transaction, &old);
            }
            result
        };
        Ok(Written { stored: result, created: false, warnings })
    }

    /// # Errors
    /// 404, 409 for a failed precondition.
    pub async fn delete(
        self: &Arc<Self>,
        kind: &Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        self.write(|transaction| self.delete_in(transaction, kind, namespace, name, options)).await
    }

    fn delete_in(
        &self,
        transaction: &mut Transaction<'_>,
        kind: &Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        let key = ObjectKey { store: kind.store, namespace: namespace.into(), name: name.into() };
        let stored = transaction.get(&key).ok_or_else(|| ApiError::not_found(kind, name))?;
        let (uid, version) = (meta::text(&stored.object, "uid"), meta::text(&stored.object, "resourceVersion"));
        if let Some(asked) = options.uid.as_deref().filter(|asked| *asked != uid) {
            return Err(ApiError::precondition(
                kind,
                name,
                &format!(
                    "the UID in the precondition ({asked}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
                ),
            ));
        }
        if let Some(asked) = options.resource_version.as_deref().filter(|asked| *asked != version) {
            return Err(ApiError::precondition(
                kind,
                name,
                &format!(
                    "the ResourceVersion in the precondition ({asked}) does not match the ResourceVersion in record ({version}). The object might have been modified"
                ),
            ));
        }
        if kind.is_namespace() {
            return self.delete_namespace(transaction, kind, &key, stored, options.dry_run);
        }
        if options.dry_run {
            let held = !meta::list(&stored.object, "finalizers").is_empty();
            return Ok(if held { Deleted::Pending(self.marked(&stored)) } else { Deleted::Gone(stored) });
        }
        let kind = self.kinds.stored(kind.store);
        Ok(self.remove_with(transaction, kind, &key, options.propagation).unwrap_or(Deleted::Gone(stored)))
    }

    /// Deletes an object, or marks it as being deleted if it has finalizers. `None` if it does not exist.
    pub(crate) fn remove(&self, transaction: &mut Transaction<'_>, kind: &Kind, key: &ObjectKey) -> Option<Deleted> {
        let stored = transaction.get(key)?;
        if meta::list(&stored.object, "finalizers").is_empty() {
            return Some(Deleted::Gone(self.erase(transaction, kind, key, stored)));
        }
        if meta::is_deleting(&stored.object) {
            return Some(Deleted::Pending(stored));
        }
        let marked = (*self.marked(&stored).object).clone();
        let now = self.clock.now();
        Some(Deleted::Pending(transaction.change(kind, key.clone(), Change::Modified, marked, Some(stored), now)))
    }

    /// The object as being deleted.
    pub(crate) fn marked(&self, stored: &Arc<Stored>) -> Arc<Stored> {
        if meta::is_deleting(&stored.object) {
            return Arc::clone(stored);
        }
        let mut object = (*stored.object).clone();
        let metadata = meta::of(&mut object);
        metadata.insert("deletionTimestamp".into(), meta::time(self.clock.now()).into());
        metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
        if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
            metadata.insert("generation".into(), (generation + 1).into());
        }
        Arc::new(Stored::new(stored.revision, object))
    }

    /// Removes an object, and does what its removal makes due.
    pub(crate) fn erase(
        &self,
        transaction: &mut Transaction<'_>,
        kind: &Kind,
        key: &ObjectKey,
        stored: Arc<Stored>,
    ) -> Arc<Stored> {
        let object = (*stored.object).clone();
        let uid = meta::text(&object, "uid").to_owned();
        let gone = transaction.change(kind, key.clone(), Change::Deleted, object, Some(stored), self.clock.now());
        self.collect_dependents(transaction, &uid);
        self.release_owners(transaction, &gone.object);
        self.release_namespace(transaction, &key.namespace);
        gone
    }

    /// Runs the validation rules, unless earlier errors show that the values have the wrong form.
    fn check_rules(&self, kind: &Kind, new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
        if !kind.schema.ruled {
            return;
        }
        if errors.iter().any(FieldError::blocks_rules) {
            errors.push(FieldError::invalid("", &Value::Null, RULES_SKIPPED));
        } else {
            errors.append(&mut self.rules.check(&kind.schema, new, old));
        }
    }
}
