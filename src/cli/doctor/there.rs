//! What the server that commands talk to has, and what its user may do there.

use std::collections::BTreeSet;

use http::Request;
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::check::Check;
use crate::api::{crd, names};
use crate::causes::with_causes;
use crate::cli::server::Server;

const INSTALL: &str = "install the chart, or run `poolkeeper crd | kubectl apply -f -`";
/// How many names are shown.
const NAMED: usize = 3;

/// The version of the server.
pub(super) async fn version(server: &Server) -> Check {
    const WHAT: &str = "server";
    match server.client.apiserver_version().await {
        Ok(version) => Check::ok(WHAT, format!("{}, Kubernetes {}", server.title, version.git_version)),
        Err(error) => {
            let failure = server.failed(&error);
            Check::fail(WHAT, failure.message, "look at the kubeconfig, the context and the network")
        }
    }
}

/// Whether the server has the kinds.
pub(super) async fn kinds(server: &Server) -> Check {
    const WHAT: &str = "kinds";
    let request = Request::get("/apis/poolkeeper.dev/v1alpha1").body(Vec::new());
    let Ok(request) = request else { return Check::fail(WHAT, "no request can be made", INSTALL) };
    match server.client.request::<Value>(request).await {
        Ok(_) => Check::ok(WHAT, "poolkeeper.dev/v1alpha1 is served"),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            Check::fail(WHAT, "poolkeeper.dev/v1alpha1 is not served", INSTALL)
        }
        Err(error) => Check::fail(WHAT, server.failed(&error).message, "look at what the server says"),
    }
}

/// Whether the definitions of a cluster are those of this program.
pub(super) async fn schema(server: &Server) -> Check {
    const WHAT: &str = "definitions";
    let definitions: Api<CustomResourceDefinition> = Api::all(server.client.clone());
    let mut differ = Vec::new();
    for own in crd::all() {
        let name = own.name_any();
        match definitions.get(&name).await {
            Ok(there) => differ.extend(differences(&own, &there)),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return Check::ok(WHAT, "this user may not read them, so they are not compared");
            }
            Err(error) => return Check::fail(WHAT, with_causes(&error), INSTALL),
        }
    }
    if differ.is_empty() {
        return Check::ok(WHAT, "they are those of this program");
    }
    let more = differ.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let words =
        format!("they differ from those of this program: {}{more}", differ[..differ.len().min(NAMED)].join(", "));
    Check::warn(WHAT, words, "use the same version here and there: upgrade the chart, or this program")
}

/// Fields that only one of two definitions has.
fn differences(own: &CustomResourceDefinition, there: &CustomResourceDefinition) -> Vec<String> {
    let (own_fields, there_fields) = (fields_of(own), fields_of(there));
    let kind = &own.spec.names.kind;
    let missing = own_fields.difference(&there_fields).map(|field| format!("{kind}{field} is missing there"));
    let unknown = there_fields.difference(&own_fields).map(|field| format!("{kind}{field} is unknown here"));
    missing.chain(unknown).collect()
}

/// The paths of all fields in a definition.
fn fields_of(definition: &CustomResourceDefinition) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    let versions = definition.spec.versions.iter().filter(|version| version.name == crate::api::VERSION);
    for schema in versions.filter_map(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref()) {
        // A schema that was read can be written.
        walk(&serde_json::to_value(schema).unwrap_or_default(), "", &mut fields);
    }
    fields
}

fn walk(schema: &Value, path: &str, fields: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        walk(property, &path, fields);
        fields.insert(path);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            walk(&schema[inner], &format!("{path}[]"), fields);
        }
    }
}

/// Whether a controller works on a cluster.
pub(super) async fn controller(server: &Server, now: Timestamp) -> Check {
    const WHAT: &str = "controller";
    let leases: Api<Lease> = Api::all(server.client.clone());
    let leases = match leases.list(&ListParams::default()).await {
        Ok(leases) => leases,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Check::ok(WHAT, "this user may not list Leases, so it is not known whether one runs");
        }
        Err(error) => return Check::warn(WHAT, with_causes(&error), "look at the Lease of the controller"),
    };
    let own = leases.iter().filter(|lease| lease.annotations().contains_key(names::INSTALLATION));
    // A namespace may have a controller of its own.
    let newest = own.max_by_key(|lease| renewed(lease));
    let Some(lease) = newest else {
        return Check::fail(
            WHAT,
            "no Lease of a controller is there, so nothing happens to pools",
            "install the chart",
        );
    };
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty()).unwrap_or_else(|| "nothing".to_owned());
    let name = format!("Lease {}/{}", lease.namespace().unwrap_or_default(), lease.name_any());
    let seconds = i64::from(spec.lease_duration_seconds.unwrap_or_default());
    match renewed(lease) {
        Some(at) if now.as_second() - at.as_second() <= seconds => Check::ok(WHAT, format!("{holder} holds {name}")),
        at => {
            let at = at.map_or("never".to_owned(), |at| at.to_string());
            let remedy = "look at its Pods: `kubectl get pods -A -l app.kubernetes.io/name=poolkeeper`";
            Check::fail(WHAT, format!("{name} was last renewed by {holder}: {at}"), remedy)
        }
    }
}

fn renewed(lease: &Lease) -> Option<Timestamp> {
    Some(lease.spec.as_ref()?.renew_time.as_ref()?.0)
}

/// A verb, a group and a kind.
type Right = (&'static str, &'static str, &'static str);

/// What commands need: what for, and the rights.
const NEEDS: [(&str, &[Right]); 4] = [
    (
        "seeing pools, workers and dispatches",
        &[
            ("list", "poolkeeper.dev", "containerpools"),
            ("watch", "poolkeeper.dev", "containerpools"),
            ("list", "poolkeeper.dev", "workers"),
            ("list", "poolkeeper.dev", "dispatches"),
        ],
    ),
    (
        "running tasks",
        &[
            ("create", "poolkeeper.dev", "dispatches"),
            ("patch", "poolkeeper.dev", "dispatches"),
            ("create", "coordination.k8s.io", "leases"),
        ],
    ),
    (
        "changing pools",
        &[
            ("create", "poolkeeper.dev", "containerpools"),
            ("patch", "poolkeeper.dev", "containerpools"),
            ("delete", "poolkeeper.dev", "containerpools"),
        ],
    ),
    ("deleting workers", &[("delete", "poolkeeper.dev", "workers")]),
];

/// Whether the user may do what commands do. The first need is that of all of them.
pub(super) async fn rights(server: &Server) -> Vec<Check> {
    const WHAT: &str = "rights";
    let reviews: Api<SelfSubjectAccessReview> = Api::all(server.client.clone());
    let mut checks = Vec::new();
    for (n, (need, rights)) in NEEDS.into_iter().enumerate() {
        let mut denied = Vec::new();
        for (verb, group, resource) in rights {
            match allowed(&reviews, server, (verb, group, resource)).await {
                Ok(true) => {}
                Ok(false) => denied.push(format!("{verb} {resource}.{group}")),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 501) => {
                    let words = format!("{} has no rights of its own: its token allows everything", server.title);
                    return vec![Check::ok(WHAT, words)];
                }
                Err(error) => return vec![Check::warn(WHAT, with_causes(&error), "they could not be asked for")],
            }
        }
        let place = format!("{need} in namespace {}", server.namespace);
        checks.push(if denied.is_empty() {
            Check::ok(WHAT, place)
        } else {
            let words = format!("{place} is not allowed: {}", denied.join(", "));
            let remedy = "ask an administrator for them; `rbac.dispatcher` of the chart makes a role for supervisors";
            if n == 0 { Check::fail(WHAT, words, remedy) } else { Check::warn(WHAT, words, remedy) }
        });
    }
    checks
}

async fn allowed(
    reviews: &Api<SelfSubjectAccessReview>,
    server: &Server,
    (verb, group, resource): (&str, &str, &str),
) -> kube::Result<bool> {
    let attributes = ResourceAttributes {
        namespace: Some(server.namespace.clone()),
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec =
        SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_only_one_side_has_are_named() {
        let own = crd::all().remove(0);
        assert!(differences(&own, &own).is_empty());
        let mut older = own.clone();
        let schema = older.spec.versions[0].schema.as_mut().unwrap().open_api_v3_schema.as_mut().unwrap();
        let spec = schema.properties.as_mut().unwrap().get_mut("spec").unwrap();
        let warm = spec.properties.as_mut().unwrap().remove("warm").unwrap();
        assert_eq!(differences(&own, &older), ["ContainerPool.spec.warm is missing there"]);
        assert_eq!(differences(&older, &own), ["ContainerPool.spec.warm is unknown here"]);
        drop(warm);
        assert!(fields_of(&own).contains(".spec.credentials[].name"), "{:?}", fields_of(&own));
    }
}
