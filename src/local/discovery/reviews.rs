//! What a client may do: everything. There is no authorization here; the token lets a client in or not.
use serde_json::{Value, json};

/// The group, and its version.
pub(super) const GROUP: (&str, &str) = ("authorization.k8s.io", "v1");

/// What a client may ask: the plural name, the kind, and the answer.
fn answers() -> [(&'static str, &'static str, Value); 2] {
    let all = |of: &str| json!([{"verbs": ["*"], of: ["*"]}]);
    let mut rules = all("resources");
    rules[0]["apiGroups"] = json!(["*"]);
    let rules = json!({"resourceRules": rules, "nonResourceRules": all("nonResourceURLs"), "incomplete": false});
    [
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview", json!({"allowed": true})),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview", rules),
    ]
}

/// The kinds, as clients list them. None: this is another group.
pub(super) fn entries(group: &str, version: &str) -> Option<Vec<Value>> {
    let entry = |(plural, kind, _): (&str, &str, Value)| {
        let singular = kind.to_lowercase();
        json!({"name": plural, "singularName": singular, "namespaced": false, "kind": kind, "verbs": ["create"]})
    };
    ((group, version) == GROUP).then(|| answers().into_iter().map(entry).collect())
}

/// The answer to a POST. None: the path is another one.
pub(crate) fn answer<E>(path: &str, body: impl FnOnce() -> Result<Value, E>) -> Option<Result<Value, E>> {
    let plural = path.strip_prefix("/apis/authorization.k8s.io/v1/")?;
    let (_, kind, status) = answers().into_iter().find(|(found, ..)| *found == plural)?;
    Some(body().map(|asked| {
        json!({
            "kind": kind, "apiVersion": format!("{}/{}", GROUP.0, GROUP.1), "metadata": {}, "spec": asked["spec"],
            "status": status,
        })
    }))
}
