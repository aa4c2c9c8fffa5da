//! Everything that the embedded server answers otherwise than a real one, and why.

/// A command of a transcript, words that the embedded server prints instead, and the reason. If a command no longer differs,
/// its entry is an error.
pub const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("k version | sed 's/v1.33.[0-9]*/V/'", "V+poolkeeper", "The version says what it is."),
    ("k cluster-info", "doesn't have a resource type \"services\"", NO_SUCH_KIND),
    ("k auth can-i get pods --subresource=log", "the server doesn't have a resource type 'pods'", NO_SUCH_KIND),
    ("k get nodes --no-headers | wc -l", "the server doesn't have a resource type \"nodes\"", NO_SUCH_KIND),
    ("k logs absent", "the server doesn't have a resource type \"pods\"", NO_SUCH_KIND),
    ("k exec absent -- true", "the server doesn't have a resource type \"pods\"", NO_SUCH_KIND),
    ("k get all", "the server doesn't have a resource type \"all\"", NO_SUCH_KIND),
    ("k describe ns $NS-a", "Status:  Active", "There are no quotas and limits, so kubectl does not speak of them."),
    (
        "k auth can-i --list",
        "*.*  []  []  [*]",
        "There is one rule: everything is allowed. A cluster has others as well.",
    ),
    (
        "k auth whoami",
        "the selfsubjectreviews API is not enabled",
        "There are no users: the token lets a client in or not.",
    ),
    (
        "k explain events --api-version=events.k8s.io/v1 | fields",
        "eventTime\t<string>\n",
        "The schema of the library k8s-openapi does not call eventTime required.",
    ),
    (
        "k get --raw /openapi/v2 | head -c 9; echo",
        "could not find the requested resource",
        "kubectl 1.27 and newer reads OpenAPI v3.",
    ),
    (
        "k apply --server-side -f pool.yaml",
        "use `kubectl apply` without --server-side",
        "There are no managed fields: decision 65.",
    ),
    (
        "sed s/min:/mini:/ pool.yaml | k apply -f -",
        "strict decoding error: unknown field \"spec.mini\"",
        "The answer shows the whole object, which has no managed fields here.",
    ),
    (
        "k -n $NS-a apply -f pool.yaml # in a namespace that there is not",
        "created",
        "A namespace need not be created before it is used. A namespace that is being deleted takes nothing on either server.",
    ),
    (
        "k get gadgets -l 'size in ('",
        "unable to parse requirement: found \"size in (\"",
        "What cannot be read is described in the words of the parser.",
    ),
    ("k get cpool agents --subresource=scale", "agents  AGE", "A Scale has no columns here."),
    (
        "k create secret docker-registry registry --docker-username=u --docker-password=p",
        "does not support a Secret of the type kubernetes.io/dockerconfigjson",
        NO_REGISTRIES,
    ),
    ("k get secrets", "files  Opaque  2", NO_REGISTRIES),
];

const NO_SUCH_KIND: &str = "The kinds are those that pools need.";
const NO_REGISTRIES: &str = "No worker reads Secrets of this type, and their content is not checked.";
