//! Every compare-and-swap.
//!
//! A write names the version that it was decided on, as `metadata.resourceVersion` and `metadata.uid` in a merge patch or
//! as preconditions of a delete. It takes effect on that version or not at all. A merge patch names only what changes, so
//! fields of a newer version, unknown here, do not change. Only finalizers are removed by an update. If an answer leaves it
//! open whether a write took effect, the object is read before anything else is decided about it.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::trim::Trim;
use crate::api::{ContainerPool, Dispatch, Worker, names};
use crate::causes::with_causes;
use crate::core::{Fetched, Object, ObjectKey, Settled, Verb};

/// A request without an answer within this time counts as lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The waits before each try to read an object after a write that may or may not have taken effect.
const REREAD: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// A kind that is written here.
trait Kind: Object + Trim + Serialize {
    fn fetched(object: Option<Arc<Self>>) -> Fetched;
}

impl Kind for ContainerPool {
    fn fetched(object: Option<Arc<Self>>) -> Fetched {
        Fetched::Pool(object)
    }
}
impl Kind for Worker {
    fn fetched(object: Option<Arc<Self>>) -> Fetched {
        Fetched::Worker(object)
    }
}
impl Kind for Dispatch {
    fn fetched(object: Option<Arc<Self>>) -> Fetched {
        Fetched::Dispatch(object)
    }
}

/// Carries out one verb.
pub(super) async fn carry_out(client: Client, verb: Verb) -> Settled {
    match verb {
        Verb::CreateWorker(w) => create(&client, *w).await,
        Verb::CreateDispatch(d) => create(&client, *d).await,
        Verb::PoolStatus(base, next) => status(&client, &*base, base.status.as_ref(), &*next).await,
        Verb::WorkerStatus(base, next) => status(&client, &*base, base.status.as_ref(), &*next).await,
        Verb::DispatchStatus(base, next) => status(&client, &*base, base.status.as_ref(), &*next).await,
        Verb::DispatchResult(base, result) => {
            let change = difference(&to_value(&base.spec.result), &to_value(&*result)).unwrap_or_else(|| json!({}));
            patch(&client, &*base, json!({"spec": {"result": change}}), false).await
        }
        Verb::AddPoolFinalizer(base) => {
            let mut list = base.metadata.finalizers.clone().unwrap_or_default();
            list.push(names::POOL_FINALIZER.to_owned());
            patch(&client, &*base, json!({"metadata": {"finalizers": list}}), false).await
        }
        Verb::RemovePoolFinalizer(base) => remove_finalizer(&client, &*base, names::POOL_FINALIZER).await,
        Verb::RemoveWorkerFinalizer(base) => remove_finalizer(&client, &*base, names::WORKER_FINALIZER).await,
        Verb::RemovePoolAnnotations(base, done) => remove_annotations(&client, &base, &done).await,
        Verb::DeleteWorker(base, _) => delete(&client, &*base).await,
        Verb::DeleteDispatch(base) => delete(&client, &*base).await,
        Verb::GetWorker(key) => get::<Worker>(&client, &key).await,
        Verb::GetDispatch(key) => get::<Dispatch>(&client, &key).await,
        Verb::GetPool(key) => get::<ContainerPool>(&client, &key).await,
    }
}

fn api<K: Kind>(client: &Client, key: &ObjectKey) -> Api<K> {
    Api::namespaced(client.clone(), &key.namespace)
}

fn to_value<T: Serialize>(value: &T) -> Value {
    // The API types have string keys only, and no value that JSON cannot hold.
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// The merge patch (RFC 7386) that turns `old` into `new`. None: they are equal.
fn difference(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut change = Map::new();
            for key in old.keys().filter(|k| !new.contains_key(*k)) {
                change.insert(key.clone(), Value::Null);
            }
            for (key, value) in new {
                match old.get(key) {
                    Some(before) => {
                        if let Some(d) = difference(before, value) {
                            change.insert(key.clone(), d);
                        }
                    }
                    None => {
                        change.insert(key.clone(), value.clone());
                    }
                }
            }
            (!change.is_empty()).then_some(Value::Object(change))
        }
        _ => (old != new).then(|| new.clone()),
    }
}

async fn status<K: Kind, S: Serialize>(client: &Client, base: &K, old: Option<&S>, next: &S) -> Settled {
    match difference(&to_value(&old), &to_value(next)) {
        Some(change) => patch(client, base, json!({"status": change}), true).await,
        None => Settled::Done(None),
    }
}

/// A merge patch on exactly the version that it was decided on.
async fn patch<K: Kind>(client: &Client, base: &K, mut body: Value, status: bool) -> Settled {
    let key = ObjectKey::of(base);
    let version = json!({"resourceVersion": base.object_meta().resource_version, "uid": base.object_meta().uid});
    match body.get_mut("metadata") {
        Some(Value::Object(meta)) => meta.extend(version.as_object().cloned().unwrap_or_default()),
        _ => body["metadata"] = version,
    }
    let (api, params, body) = (api::<K>(client, &key), PatchParams::default(), Patch::Merge(body));
    let answer = if status {
        answered(api.patch_status(&key.name, &params, &body)).await
    } else {
        answered(api.patch(&key.name, &params, &body)).await
    };
    match answer {
        Ok(object) => Settled::Done(Some(K::fetched(Some(object.trimmed())))),
        Err(e) => recover::<K>(client, &key, e).await,
    }
}

async fn create<K: Kind>(client: &Client, object: K) -> Settled {
    let key = ObjectKey::of(&object);
    match answered(api::<K>(client, &key).create(&PostParams::default(), &object)).await {
        Ok(object) => Settled::Done(Some(K::fetched(Some(object.trimmed())))),
        Err(e) => recover::<K>(client, &key, e).await,
    }
}

/// Removes a finalizer by an update of the whole object as it is on the server. A patch would need one request less. But
/// with the last finalizer the server removes the object that has the name at that moment, and it compares the uid of a
/// patch earlier than that, the uid of an update together with it (Store.Update and DefaultUpdatedObjectInfo in
/// k8s.io/apiserver 0.33). Two controllers that patch the same worker could so remove its successor.
async fn remove_finalizer<K: Kind>(client: &Client, base: &K, finalizer: &str) -> Settled {
    let key = ObjectKey::of(base);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &key.namespace, &ApiResource::erase::<K>(&()));
    let mut object = match answered(api.get_opt(&key.name)).await {
        Ok(Some(object)) => object,
        Ok(None) => return Settled::Refreshed(K::fetched(None)),
        Err(e) => return Settled::Failed(None, with_causes(&e)),
    };
    // The version that was decided on: if the object has changed since, the server refuses the update.
    let meta = &mut object.metadata;
    (meta.uid, meta.resource_version) = (base.object_meta().uid.clone(), base.object_meta().resource_version.clone());
    let mut left = meta.finalizers.take().unwrap_or_default();
    left.retain(|f| f != finalizer);
    let last = left.is_empty() && base.is_deleting();
    meta.finalizers = (!left.is_empty()).then_some(left);
    match answered(api.replace(&key.name, &PostParams::default(), &object)).await {
        // The server removes an object with its last finalizer, and answers with what it was.
        Ok(_) if last => Settled::Done(Some(K::fetched(None))),
        Ok(object) => Settled::Done(object.try_parse::<K>().ok().map(|o| K::fetched(Some(o.trimmed())))),
        Err(e) => recover::<K>(client, &key, e).await,
    }
}

/// Removes annotations that still have these values. All go in one patch: a watch of the pool shows one change.
async fn remove_annotations(client: &Client, base: &ContainerPool, done: &[(String, String)]) -> Settled {
    let key = ObjectKey::of(base);
    let operations = done.iter().flat_map(|(annotation, value)| {
        let path = format!("/metadata/annotations/{}", annotation.replace('~', "~0").replace('/', "~1"));
        [json!({"op": "test", "path": path, "value": value}), json!({"op": "remove", "path": path})]
    });
    // Operations that do not parse would be a mistake in the lines above, which a test runs.
    let Ok(ops) = serde_json::from_value::<json_patch::Patch>(operations.collect()) else { return Settled::Done(None) };
    let patch = Patch::Json::<()>(ops);
    match answered(api::<ContainerPool>(client, &key).patch(&key.name, &PatchParams::default(), &patch)).await {
        Ok(object) => Settled::Done(Some(Fetched::Pool(Some(object.trimmed())))),
        // A test operation failed: its annotation is gone or has another value now. None was removed.
        Err(RequestError::Api(s)) if s.code == 422 => get::<ContainerPool>(client, &key).await,
        Err(e) => recover::<ContainerPool>(client, &key, e).await,
    }
}

async fn delete<K: Kind>(client: &Client, base: &K) -> Settled {
    let key = ObjectKey::of(base);
    let preconditions = Preconditions {
        uid: base.object_meta().uid.clone(),
        resource_version: base.object_meta().resource_version.clone(),
    };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match answered(api::<K>(client, &key).delete(&key.name, &params)).await {
        Ok(either) => Settled::Done(Some(K::fetched(either.left().filter(Object::is_deleting).map(K::trimmed)))),
        Err(e) => recover::<K>(client, &key, e).await,
    }
}

async fn get<K: Kind>(client: &Client, key: &ObjectKey) -> Settled {
    match read::<K>(client, key).await {
        Ok(fetched) => Settled::Done(Some(fetched)),
        Err(e) => Settled::Failed(None, with_causes(&e)),
    }
}

async fn read<K: Kind>(client: &Client, key: &ObjectKey) -> Result<Fetched, RequestError> {
    answered(api::<K>(client, key).get_opt(&key.name)).await.map(|found| K::fetched(found.map(K::trimmed)))
}

/// Why a request has no result.
#[derive(thiserror::Error, Debug)]
enum RequestError {
    #[error("{}", .0.message)]
    Api(Box<kube::core::Status>),
    #[error(transparent)]
    Client(kube::Error),
    #[error("no answer within {}s", ANSWER_TIMEOUT.as_secs())]
    Silence,
}

async fn answered<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, RequestError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(RequestError::Api(status)),
        Ok(Err(other)) => Err(RequestError::Client(other)),
        Err(_) => Err(RequestError::Silence),
    }
}

/// Reads the object after a write that did not succeed.
async fn recover<K: Kind>(client: &Client, key: &ObjectKey, failure: RequestError) -> Settled {
    let code = match &failure {
        RequestError::Api(s) => s.code,
        _ => 0,
    };
    match code {
        // The server refuses the request itself, so a retry would not help soon.
        400 | 401 | 403 | 405 | 415 | 422 => return Settled::Refused(failure.to_string()),
        _ => {}
    }
    for pause in REREAD {
        tokio::time::sleep(pause).await;
        if let Ok(fetched) = read::<K>(client, key).await {
            return match code {
                404 | 409 => Settled::Refreshed(fetched),
                _ => Settled::Failed(Some(fetched), with_causes(&failure)),
            };
        }
    }
    Settled::Failed(None, with_causes(&failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client's own message is only "client error (Connect)".
    #[test]
    fn a_request_without_an_answer_says_what_is_behind_it() {
        #[derive(thiserror::Error, Debug)]
        #[error("client error (Connect)")]
        struct Connect(#[source] std::io::Error);
        let cause = std::io::Error::other("Connection refused");
        let error = RequestError::Client(kube::Error::Service(Box::new(Connect(cause))));
        assert_eq!(with_causes(&error), "ServiceError: client error (Connect): Connection refused");
    }

    #[test]
    fn a_difference_names_what_changes_and_nothing_else() {
        let old = json!({"a": 1, "b": {"c": 2, "d": [1]}, "gone": {"x": 1}, "unknown": 7});
        let new = json!({"a": 1, "b": {"c": 3, "d": [1]}, "new": {"y": 1}, "unknown": 7});
        assert_eq!(difference(&old, &new), Some(json!({"b": {"c": 3}, "gone": null, "new": {"y": 1}})));
        assert_eq!(difference(&old, &old), None);
        assert_eq!(difference(&Value::Null, &json!({"a": 1})), Some(json!({"a": 1})));
    }

    /// A worker that is being deleted, as a server has it: with a field that this version does not know.
    fn going() -> Value {
        json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Worker", "unknown": 7,
            "metadata": {"name": "p-0", "namespace": "ns", "uid": "u1", "resourceVersion": "5", "labels": {"a": "b"},
                "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [names::WORKER_FINALIZER, "other.dev/f"]},
            "spec": {"pool": "p", "runtime": "Pod", "host": "local", "poolGeneration": 1, "templateHash": ""}})
    }

    #[tokio::test]
    async fn a_finalizer_is_removed_by_an_update_of_the_version_that_was_decided_on() {
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = asked.clone();
        let server = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let seen = seen.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                seen.lock()
                    .unwrap()
                    .push((head.method.to_string(), serde_json::from_slice(&body).unwrap_or(Value::Null)));
                // The object has changed since, which the server has to notice.
                let mut now = going();
                now["metadata"]["resourceVersion"] = json!("6");
                let answer = kube::client::Body::from(now.to_string().into_bytes());
                Ok::<_, std::io::Error>(http::Response::new(answer))
            }
        });
        let base: Worker = serde_json::from_value(going()).unwrap();
        remove_finalizer(&Client::new(server, "ns"), &base, names::WORKER_FINALIZER).await;
        let mut put = going();
        put["metadata"]["finalizers"] = json!(["other.dev/f"]);
        assert_eq!(*asked.lock().unwrap(), [("GET".to_owned(), Value::Null), ("PUT".to_owned(), put)]);
    }
}
