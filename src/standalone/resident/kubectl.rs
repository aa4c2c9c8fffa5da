//! Answers to kubectl about what the local server does not have: Pods.
//!
//! `kubectl logs`, `exec` and `port-forward` look for Pods in the list of kinds first. So the list names them, with no verb but
//! `get`, and each request for one is refused with the commands to use instead.

use serde_json::{Value, json};

use super::refusal::Refusal;

/// The list of the kinds in which Pods are.
pub(super) const KINDS: &str = "/api/v1";

const PODS: &str = "the local server has no Pods: its workers are containers or processes. Use `poolkeeper get workers` and \
                    `poolkeeper exec worker/NAME -- COMMAND` instead, and `poolkeeper local logs` for the log of the server";

/// The list of kinds, with Pods.
pub(super) fn with_pods(mut kinds: Value) -> Value {
    if let Some(list) = kinds["resources"].as_array_mut() {
        list.push(json!({
            "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "shortNames": ["po"], "verbs": ["get"],
        }));
    }
    kinds
}

/// Why a request for Pods is refused. None: it is for something else.
pub(super) fn refusal(path: &str) -> Option<Refusal> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let pods = matches!(parts.as_slice(), ["api", "v1", "pods", ..] | ["api", "v1", "namespaces", _, "pods", ..]);
    pods.then(|| Refusal { code: 501, message: PODS.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_for_pods_are_refused() {
        for path in ["/api/v1/pods", "/api/v1/namespaces/default/pods/agents-0", "/api/v1/namespaces/a/pods/b/exec"] {
            assert!(refusal(path).is_some(), "{path}");
        }
        for path in
            ["/api/v1/namespaces/pods", "/api/v1/namespaces/a/secrets/pods", "/apis/x/v1/namespaces/a/pods", "/"]
        {
            assert!(refusal(path).is_none(), "{path}");
        }
    }
}
