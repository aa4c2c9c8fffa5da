//! What runs, and what is around it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::stage::{COMBINATIONS, container, kind, one, pod, render, rights, selects, table, texts};

#[test]
fn pods_are_hardened() {
    for flags in COMBINATIONS {
        let Some(objects) = render(flags) else { return };
        for workload in kind(&objects, "Deployment").chain(kind(&objects, "Job")) {
            let spec = &pod(workload)["spec"];
            assert_eq!(
                spec["securityContext"],
                json!({
                    "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                })
            );
            let container = container(workload);
            assert_eq!(
                container["securityContext"],
                json!({
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                })
            );
            assert!(spec["volumes"].is_null() && spec["hostNetwork"].is_null() && spec["hostPID"].is_null());
            assert!(container["resources"]["limits"]["memory"].is_string());
            assert_ne!(container["image"].as_str().unwrap().rsplit_once(':').unwrap().1, "latest");
        }
        // Only the two pods that talk to the API server hold a token.
        for account in kind(&objects, "ServiceAccount") {
            assert_eq!(account["automountServiceAccountToken"], false);
        }
        let args = texts(&container(one(&objects, "Deployment", "pk-poolkeeper"))["args"]);
        assert!(args.contains(&"--runtimes=Pod"), "{args:?}");
        let image = container(one(&objects, "Deployment", "pk-poolkeeper"))["image"].as_str().unwrap().to_owned();
        let helper = format!("--helper-image={image}");
        assert!(args.contains(&&*helper), "{args:?}");
    }
}

#[test]
fn uninstall_is_a_hook_with_an_account_of_its_own() {
    let Some(objects) = render(&["--set=uninstall.timeoutSeconds=100"]) else { return };
    let hooks: Vec<_> = objects.iter().filter(|o| o["metadata"]["name"] == "pk-poolkeeper-uninstall").collect();
    let kinds: BTreeSet<_> = hooks.iter().map(|o| o["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job"]));
    let weight =
        |o: &Value| o["metadata"]["annotations"]["helm.sh/hook-weight"].as_str().unwrap().parse::<i32>().unwrap();
    let job = one(&objects, "Job", "pk-poolkeeper-uninstall");
    for hook in &hooks {
        let notes = &hook["metadata"]["annotations"];
        assert_eq!(notes["helm.sh/hook"], "pre-delete");
        assert_eq!(notes["helm.sh/hook-delete-policy"], "before-hook-creation,hook-succeeded");
        assert!(hook["kind"] == "Job" || weight(hook) < weight(job), "the Job comes last");
    }
    assert_eq!(
        rights(one(&objects, "ClusterRole", "pk-poolkeeper-uninstall")),
        table(&[("poolkeeper.dev/containerpools", "list delete"), ("poolkeeper.dev/workers", "list"),])
    );
    assert_eq!(pod(job)["spec"]["serviceAccountName"], "pk-poolkeeper-uninstall");
    assert_eq!(texts(&container(job)["args"]), ["uninstall", "--wait-timeout=100s", "--keep-crds"]);
    // The program ends first and says why; then the Job; then, with the default of 240 s, `helm uninstall` (5 min).
    assert_eq!(job["spec"]["activeDeadlineSeconds"], 150);
    let Some(default) = render(&[]) else { return };
    let deadline = &one(&default, "Job", "pk-poolkeeper-uninstall")["spec"]["activeDeadlineSeconds"];
    assert!((241..300).contains(&deadline.as_i64().unwrap()));

    let Some(without) = render(&["--set=uninstall.hook=false"]) else { return };
    assert!(!without.iter().any(|o| o.to_string().contains("uninstall")));
}

#[test]
fn selectors_find_the_controllers_and_not_the_hook() {
    let Some(objects) = render(&["--set=replicas=2,metrics.serviceMonitor.enabled=true,networkPolicy.enabled=true"])
    else {
        return;
    };
    let deployment = one(&objects, "Deployment", "pk-poolkeeper");
    let job = one(&objects, "Job", "pk-poolkeeper-uninstall");
    let service = one(&objects, "Service", "pk-poolkeeper-metrics");
    let spread = pod(deployment)["spec"]["topologySpreadConstraints"].as_array().unwrap();
    assert_eq!(spread.len(), 1);
    for selector in [
        &deployment["spec"]["selector"]["matchLabels"],
        &service["spec"]["selector"],
        &one(&objects, "PodDisruptionBudget", "pk-poolkeeper")["spec"]["selector"]["matchLabels"],
        &spread[0]["labelSelector"]["matchLabels"],
    ] {
        assert!(selects(selector, deployment) && !selects(selector, job), "{selector}");
    }
    let policy = &one(&objects, "NetworkPolicy", "pk-poolkeeper")["spec"]["podSelector"]["matchLabels"];
    assert!(selects(policy, deployment) && selects(policy, job));
    // The ServiceMonitor finds the Service, and its port.
    let monitor = one(&objects, "ServiceMonitor", "pk-poolkeeper");
    for (key, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(service["metadata"]["labels"][key], *value);
    }
    assert_eq!(service["spec"]["ports"][0]["name"], monitor["spec"]["endpoints"][0]["port"]);

    let Some(alone) = render(&[]) else { return };
    for of in ["PodDisruptionBudget", "Service", "ServiceMonitor", "NetworkPolicy"] {
        assert_eq!(kind(&alone, of).count(), 0, "{of}");
    }
    assert!(pod(one(&alone, "Deployment", "pk-poolkeeper"))["spec"]["topologySpreadConstraints"].is_null());
}

#[test]
fn a_network_policy_names_the_api_server_where_it_is_told() {
    let Some(objects) = render(&["--set=networkPolicy.enabled=true"]) else { return };
    let egress = &one(&objects, "NetworkPolicy", "pk-poolkeeper")["spec"]["egress"];
    assert_eq!(egress[1], json!({"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]}));
    let cidrs = "networkPolicy.enabled=true,networkPolicy.apiServerCidrs={10.0.0.1/32,fd00::1/128}";
    let Some(objects) = render(&["--set", cidrs]) else { return };
    let egress = &one(&objects, "NetworkPolicy", "pk-poolkeeper")["spec"]["egress"];
    assert_eq!(egress[1]["to"], json!([{"ipBlock": {"cidr": "10.0.0.1/32"}}, {"ipBlock": {"cidr": "fd00::1/128"}}]));
    assert_eq!(egress[1]["ports"].as_array().unwrap().len(), 2);
    assert!(egress[0]["to"].is_null(), "DNS may be anywhere");
}
