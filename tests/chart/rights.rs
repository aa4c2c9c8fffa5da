//! The rights that the chart gives.

use std::collections::{BTreeMap, BTreeSet};

use crate::stage::{COMBINATIONS, container, kind, one, render, rights, table, texts};

/// What `src/controller` and `src/runtime/pod` ask for, written by hand: so no right comes unseen. One that is missing fails
/// scripts/ci/cluster.d/50-kubernetes.sh; that none is too many only a reader of the sources can tell.
fn controller() -> BTreeMap<String, BTreeSet<&'static str>> {
    table(&[
        ("poolkeeper.dev/containerpools", "get list watch update patch"),
        ("poolkeeper.dev/workers", "get list watch create update delete"),
        ("poolkeeper.dev/dispatches", "get list watch create patch delete"),
        ("poolkeeper.dev/containerpools/status", "patch"),
        ("poolkeeper.dev/workers/status", "patch"),
        ("poolkeeper.dev/dispatches/status", "patch"),
        ("/pods", "get list watch create delete"),
        ("coordination.k8s.io/leases", "get"),
        ("events.k8s.io/events", "create patch"),
    ])
}

/// The same, where workers are protected from eviction.
fn protecting() -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut all = controller();
    for (what, verbs) in
        table(&[("/nodes", "list watch"), ("policy/poddisruptionbudgets", "create"), ("/pods", "patch")])
    {
        all.entry(what).or_default().extend(verbs);
    }
    all
}

#[test]
fn without_drain_protection_no_node_is_read_and_no_pod_patched() {
    let Some(objects) = render(&["--set=drainProtection=false"]) else { return };
    assert_eq!(rights(one(&objects, "ClusterRole", "pk-poolkeeper")), controller());
    let deployment = one(&objects, "Deployment", "pk-poolkeeper");
    assert!(texts(&container(deployment)["args"]).contains(&"--drain-protection=false"));
}

#[test]
fn the_controller_may_do_what_it_does_and_no_more() {
    let Some(objects) = render(&[]) else { return };
    assert_eq!(rights(one(&objects, "ClusterRole", "pk-poolkeeper")), protecting());
    let election = one(&objects, "Role", "pk-poolkeeper-election");
    assert_eq!(election["metadata"]["namespace"], "sys");
    assert_eq!(
        rights(election),
        table(
            &[("coordination.k8s.io/leases[pk-poolkeeper]", "get update"), ("coordination.k8s.io/leases", "create"),]
        )
    );
    assert!(
        texts(&container(one(&objects, "Deployment", "pk-poolkeeper"))["args"]).contains(&"--lease-name=pk-poolkeeper")
    );

    // And nothing gives it more: every binding of its account refers to these two.
    for binding in kind(&objects, "ClusterRoleBinding").chain(kind(&objects, "RoleBinding")) {
        let account = binding["subjects"][0]["name"].as_str().unwrap();
        let role = binding["roleRef"]["name"].as_str().unwrap();
        let of_the_hook = (account, role) == ("pk-poolkeeper-uninstall", "pk-poolkeeper-uninstall");
        let own = account == "pk-poolkeeper" && ["pk-poolkeeper", "pk-poolkeeper-election"].contains(&role);
        assert!(own || of_the_hook, "{binding:#}");
        assert_eq!(binding["subjects"][0]["namespace"], "sys");
    }
}

#[test]
fn nobody_gets_secrets_exec_or_everything() {
    for flags in COMBINATIONS {
        let Some(objects) = render(flags) else { return };
        for role in kind(&objects, "ClusterRole").chain(kind(&objects, "Role")) {
            for (what, verbs) in rights(role) {
                let (group, resource) = what.split_once('/').unwrap();
                let known = ["poolkeeper.dev", "coordination.k8s.io", "events.k8s.io"].contains(&group);
                let others = ["/pods", "/nodes", "policy/poddisruptionbudgets"].contains(&what.as_str());
                assert!(known || others, "{flags:?}: {what} in {role:#}");
                for word in verbs.iter().chain([&resource]) {
                    assert!(!["*", "escalate", "bind", "impersonate"].contains(word), "{flags:?}: {role:#}");
                }
            }
        }
    }
}

#[test]
fn one_namespace_needs_no_rights_over_the_cluster() {
    let Some(objects) = render(&["--set=watchNamespace=team"]) else { return };
    let over_all: BTreeSet<_> =
        objects.iter().filter(|o| o["metadata"]["namespace"].is_null()).map(|o| o["kind"].as_str().unwrap()).collect();
    assert_eq!(over_all, BTreeSet::from(["CustomResourceDefinition"]));
    for name in ["pk-poolkeeper", "pk-poolkeeper-uninstall"] {
        for of in ["Role", "RoleBinding"] {
            assert_eq!(one(&objects, of, name)["metadata"]["namespace"], "team", "{of} {name}");
        }
        assert_eq!(one(&objects, "RoleBinding", name)["roleRef"]["kind"], "Role");
    }
    assert_eq!(rights(one(&objects, "Role", "pk-poolkeeper")), controller());
    assert_eq!(one(&objects, "Role", "pk-poolkeeper-dispatcher")["metadata"]["namespace"], "team");
    for workload in [one(&objects, "Deployment", "pk-poolkeeper"), one(&objects, "Job", "pk-poolkeeper-uninstall")] {
        assert!(texts(&container(workload)["args"]).contains(&"--namespace=team"));
    }
}

#[test]
fn a_runner_is_made_only_when_asked_for_and_may_exec_in_pods() {
    let Some(objects) = render(&[]) else { return };
    assert!(!objects.iter().any(|o| o["metadata"]["name"] == "pk-poolkeeper-runner"));
    let Some(objects) = render(&["--set=rbac.runner=true"]) else { return };
    assert_eq!(
        rights(one(&objects, "ClusterRole", "pk-poolkeeper-runner")),
        table(&[("/pods", "get"), ("/pods/exec", "get create"), ("/pods/log", "get")])
    );
}

#[test]
fn a_dispatcher_changes_no_pool() {
    let Some(objects) = render(&["--set=rbac.aggregate=true"]) else { return };
    assert_eq!(
        rights(one(&objects, "ClusterRole", "pk-poolkeeper-dispatcher")),
        table(&[
            ("poolkeeper.dev/dispatches", "get list watch create patch delete"),
            ("poolkeeper.dev/containerpools", "get list watch"),
            ("poolkeeper.dev/workers", "get list watch"),
            ("coordination.k8s.io/leases", "get list create update patch delete"),
        ])
    );
    // A viewer changes nothing, and no user writes the controller's status.
    let to = |name: &str| {
        let labels = one(&objects, "ClusterRole", name)["metadata"]["labels"].as_object().unwrap();
        let to = labels.keys().filter_map(|k| k.strip_prefix("rbac.authorization.k8s.io/aggregate-to-"));
        to.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(to("pk-poolkeeper-view"), "admin edit view");
    assert_eq!(to("pk-poolkeeper-edit"), "admin edit");
    for verbs in rights(one(&objects, "ClusterRole", "pk-poolkeeper-view")).values() {
        assert_eq!(*verbs, BTreeSet::from(["get", "list", "watch"]));
    }
    assert!(!rights(one(&objects, "ClusterRole", "pk-poolkeeper-edit")).keys().any(|what| what.ends_with("/status")));
    let Some(plain) = render(&[]) else { return };
    assert!(!plain.iter().any(|o| o.to_string().contains("aggregate-to-")));
}
