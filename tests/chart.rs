//! The Helm chart as it renders: rights, security contexts, the uninstall hook, and what values are refused.
//!
//! Needs helm, on the PATH or of `scripts/cluster`. Without it all but two tests skip, loudly; with
//! POOLKEEPER_REQUIRE_HELM=1 they fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/poolkeeper");

/// Flags of `helm template` that change what is made; the rights must hold in each.
const COMBINATIONS: [&[&str]; 5] = [
    &[],
    &["--set=watchNamespace=team"],
    &["--set=replicas=2,rbac.aggregate=true,metrics.serviceMonitor.enabled=true,networkPolicy.enabled=true"],
    &["--set=crds.install=false,uninstall.hook=false,rbac.dispatcher=false,replicas=0"],
    &["--set=rbac.create=false,serviceAccount.create=false,serviceAccount.name=other,metrics.service=true"],
];

fn helm() -> Option<PathBuf> {
    let home = std::env::var("CLUSTER_HOME").map(PathBuf::from).or_else(|_| {
        let cache = std::env::var("XDG_CACHE_HOME").or_else(|_| std::env::var("HOME").map(|h| h + "/.cache"));
        cache.map(|c| Path::new(&c).join("poolkeeper-cluster"))
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain(home.map(|h| h.join("bin"))).map(|dir| dir.join("helm"));
    let found = found.into_iter().find(|helm| helm.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("POOLKEEPER_REQUIRE_HELM").is_none(),
            "helm is missing: scripts/cluster/cluster build helm"
        );
        eprintln!("SKIPPED: helm is missing. `scripts/cluster/cluster build helm` makes one.");
    }
    found
}

/// `helm template` with these flags: stdout, or what it says is wrong.
fn template(flags: &[&str]) -> Option<Result<String, String>> {
    let out = Command::new(helm()?)
        .args(["template", "pk", CHART, "--namespace=sys", "--kube-version=1.33.0"])
        .args(flags)
        .output()
        .unwrap();
    Some(if out.status.success() {
        Ok(String::from_utf8(out.stdout).unwrap())
    } else {
        Err(String::from_utf8(out.stderr).unwrap())
    })
}

fn render(flags: &[&str]) -> Option<Vec<Value>> {
    let text = template(flags)?.unwrap();
    let all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    Some(all.into_iter().filter(|object| !object.is_null()).collect())
}

fn kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |o| o["kind"] == kind)
}

fn one<'a>(objects: &'a [Value], of: &str, name: &str) -> &'a Value {
    let mut found = objects.iter().filter(|o| o["kind"] == of && o["metadata"]["name"] == name);
    let first = found.next().unwrap_or_else(|| panic!("no {of} {name}"));
    assert!(found.next().is_none(), "two {of} {name}");
    first
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|v| v.as_str().unwrap()).collect()
}

/// `group/resource[name]` → verbs, of one role.
fn rights(role: &Value) -> BTreeMap<String, BTreeSet<&str>> {
    let mut all: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for rule in role["rules"].as_array().unwrap() {
        let only = texts(&rule["resourceNames"]).join(",");
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let name = if only.is_empty() { String::new() } else { format!("[{only}]") };
                all.entry(format!("{group}/{resource}{name}")).or_default().extend(texts(&rule["verbs"]));
            }
        }
    }
    all
}

fn table(lines: &[(&str, &'static str)]) -> BTreeMap<String, BTreeSet<&'static str>> {
    lines.iter().map(|(what, verbs)| ((*what).to_owned(), verbs.split(' ').collect())).collect()
}

/// What `src/controller` and `src/runtime/pod` ask for, by reading them: a right that is missing fails
/// scripts/ci/cluster.d/50-kubernetes.sh, one too many fails nothing but a reader of this table.
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
        ("events.k8s.io/events", "create"),
    ])
}

/// The pod template of a Deployment or Job.
fn pod(workload: &Value) -> &Value {
    &workload["spec"]["template"]
}

fn container(workload: &Value) -> &Value {
    let all = pod(workload)["spec"]["containers"].as_array().unwrap();
    assert_eq!(all.len(), 1);
    &all[0]
}

/// Whether a label selector takes this pod.
fn selects(selector: &Value, workload: &Value) -> bool {
    let labels = &pod(workload)["metadata"]["labels"];
    selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
}

#[test]
fn versions_are_those_of_the_program() {
    let chart: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(format!("{CHART}/Chart.yaml")).unwrap()).unwrap();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));

    let read = |name| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = \"")).unwrap().trim_end_matches('"');
    assert!(
        read("Dockerfile").contains(&format!("FROM rust:{channel}-slim-bookworm AS build\n")),
        "the Dockerfile builds with another Rust"
    );
}

/// A comment for each value, a place in the schema, and none in the README that is not there.
#[test]
fn every_value_is_explained_and_in_the_schema() {
    let text = std::fs::read_to_string(format!("{CHART}/values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{CHART}/values.schema.json")).unwrap()).unwrap();
    let mut paths = BTreeSet::new();
    let comments = text.lines().filter(|line| line.trim_start().starts_with("# -- ")).count();
    walk(&values, &schema, "", &mut paths);
    let leaves = paths.iter().filter(|p| !p.ends_with('.')).count();
    assert_eq!(comments, leaves, "one comment `# -- …` for each of {paths:#?}");

    let readme = std::fs::read_to_string(format!("{CHART}/README.md")).unwrap();
    for row in readme.lines().filter(|line| line.starts_with("| `")) {
        let named = row.split('|').nth(1).unwrap();
        for path in named.split('`').skip(1).step_by(2) {
            assert!(paths.contains(path) || paths.contains(&format!("{path}.")), "README: no value {path}");
        }
    }

    /// Objects whose fields the schema lists have comments inside; others are one value.
    fn walk(value: &Value, schema: &Value, path: &str, paths: &mut BTreeSet<String>) {
        for (key, value) in value.as_object().unwrap() {
            let path = format!("{path}{key}");
            let known = &schema["properties"][key];
            assert!(known.is_object(), "{path} is not in the schema");
            if known["properties"].is_object() {
                paths.insert(format!("{path}."));
                walk(value, known, &format!("{path}."), paths);
            } else {
                paths.insert(path);
            }
        }
    }
}

/// With all numbers as Helm has them: 1.0 is 1.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(n) => json!(n.as_f64()),
        Value::Array(list) => list.into_iter().map(plain).collect(),
        Value::Object(fields) => fields.into_iter().map(|(k, v)| (k, plain(v))).collect(),
        other => other,
    }
}

#[test]
fn definitions_are_those_of_the_program_and_stay() {
    let Some(kept) = render(&[]) else { return };
    let Some(going) = render(&["--set=crds.keep=false"]) else { return };
    let Some(none) = render(&["--set=crds.install=false"]) else { return };
    const CRD: &str = "CustomResourceDefinition";
    for crd in poolkeeper::api::crd::all() {
        let name = crd.metadata.name.clone().unwrap();
        let want = plain(serde_json::to_value(crd).unwrap());
        assert_eq!(plain(one(&kept, CRD, &name)["spec"].clone()), want["spec"]);
        assert_eq!(plain(one(&going, CRD, &name)["spec"].clone()), want["spec"]);
        assert_eq!(one(&kept, CRD, &name)["metadata"]["annotations"], json!({"helm.sh/resource-policy": "keep"}));
        assert_eq!(one(&going, CRD, &name)["metadata"]["annotations"], Value::Null);
    }
    assert_eq!(kind(&kept, CRD).count(), 3);
    assert_eq!(kind(&none, CRD).count(), 0);
}

#[test]
fn the_controller_may_do_what_it_does_and_no_more() {
    let Some(objects) = render(&[]) else { return };
    assert_eq!(rights(one(&objects, "ClusterRole", "pk-poolkeeper")), controller());
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

    // And nobody gives it more: whoever is bound to its account is bound to these two.
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
                assert!(known || (group.is_empty() && resource == "pods"), "{flags:?}: {what} in {role:#}");
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
fn a_dispatcher_changes_no_pool() {
    let Some(objects) = render(&["--set=rbac.aggregate=true"]) else { return };
    assert_eq!(
        rights(one(&objects, "ClusterRole", "pk-poolkeeper-dispatcher")),
        table(&[
            ("poolkeeper.dev/dispatches", "get list watch create patch delete"),
            ("poolkeeper.dev/containerpools", "get list watch"),
            ("poolkeeper.dev/workers", "get list watch"),
            ("coordination.k8s.io/leases", "get create update patch"),
        ])
    );
    // Whoever views changes nothing, and nobody writes what the controller says.
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

/// `helm template` leaves NOTES.txt out, and a dry run wants a cluster: here they are part of a ConfigMap, in a copy.
fn notes(flags: &[&str]) -> Option<String> {
    let helm = helm()?;
    let dir = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").args(["-r", CHART]).arg(dir.path()).status().unwrap();
    assert!(copied.success());
    let chart = dir.path().join("poolkeeper");
    let text = std::fs::read_to_string(chart.join("templates/NOTES.txt")).unwrap();
    let text = format!("{{{{- define \"notes\" -}}}}\n{text}{{{{- end }}}}\n");
    std::fs::write(chart.join("templates/_notes.tpl"), text).unwrap();
    let map =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata: {text: {{ include \"notes\" . | toJson }}}\n";
    std::fs::write(chart.join("templates/notes.yaml"), map).unwrap();
    let out = Command::new(helm)
        .args(["template", "pk", "--namespace=sys", "--kube-version=1.33.0", "--show-only=templates/notes.yaml"])
        .arg(&chart)
        .args(flags)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let map: Value = serde_saphyr::from_str(&String::from_utf8(out.stdout).unwrap()).unwrap();
    Some(map["data"]["text"].as_str().unwrap().to_owned())
}

#[test]
fn notes_warn_of_what_is_special() {
    const ELECTION: &str = "Warning: pools and the controller share namespace sys";
    const NAMESPACE: &str = "before you delete namespace team";
    let Some(all) = notes(&[]) else { return };
    assert!(!all.contains(ELECTION) && !all.contains("before you delete"), "{all}");
    let Some(team) = notes(&["--set=watchNamespace=team"]) else { return };
    assert!(team.contains(NAMESPACE) && !team.contains(ELECTION), "{team}");
    let Some(own) = notes(&["--set=watchNamespace=sys"]) else { return };
    assert!(own.contains(ELECTION), "{own}");
    let Some(own) = notes(&["--set=watchNamespace=sys,rbac.dispatcher=false"]) else { return };
    assert!(!own.contains(ELECTION), "{own}");
}

/// Values and where they show in the Deployment.
#[test]
fn values_are_honoured() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let pinned = format!("image.digest={digest}");
    let (template, first) = ("/spec/template", "/spec/template/spec/containers/0");
    let cases: [(&str, String, Value); 17] = [
        ("image.repository=r/p,image.tag=t", format!("{first}/image"), json!("r/p:t")),
        (&pinned, format!("{first}/image"), json!(format!("ghcr.io/poolkeeper/poolkeeper@{digest}"))),
        ("image.pullPolicy=Never", format!("{first}/imagePullPolicy"), json!("Never")),
        ("imagePullSecrets[0].name=s", format!("{template}/spec/imagePullSecrets"), json!([{"name": "s"}])),
        ("replicas=3", "/spec/replicas".to_owned(), json!(3)),
        ("leaderElection.enabled=false", format!("{first}/args/2"), json!("--leader-elect=false")),
        ("extraArgs[0]=--x", format!("{first}/args/6"), json!("--x")),
        ("logLevel=debug", format!("{first}/env/1"), json!({"name": "POOLKEEPER_LOG", "value": "debug"})),
        ("extraEnv[0].name=A,extraEnv[0].value=b", format!("{first}/env/1"), json!({"name": "A", "value": "b"})),
        ("podAnnotations.a=b", format!("{template}/metadata/annotations/a"), json!("b")),
        ("podLabels.a=b", format!("{template}/metadata/labels/a"), json!("b")),
        ("commonLabels.a=b", "/metadata/labels/a".to_owned(), json!("b")),
        ("priorityClassName=p", format!("{template}/spec/priorityClassName"), json!("p")),
        ("tolerations[0].operator=Exists", format!("{template}/spec/tolerations"), json!([{"operator": "Exists"}])),
        ("terminationGracePeriodSeconds=5", format!("{template}/spec/terminationGracePeriodSeconds"), json!(5)),
        ("livenessProbe.periodSeconds=7", format!("{first}/livenessProbe/periodSeconds"), json!(7)),
        ("serviceAccount.name=n", format!("{template}/spec/serviceAccountName"), json!("n")),
    ];
    for (set, pointer, want) in cases {
        let Some(objects) = render(&["--set", set]) else { return };
        let deployment = one(&objects, "Deployment", "pk-poolkeeper");
        assert_eq!(deployment.pointer(&pointer), Some(&want), "{set}: {pointer} of {deployment:#}");
    }
    // What the program logs by itself is for the program to say.
    let Some(objects) = render(&[]) else { return };
    assert!(!objects.iter().any(|o| o.to_string().contains("POOLKEEPER_LOG")));
    let Some(objects) = render(&["--set=logLevel=debug"]) else { return };
    let job = one(&objects, "Job", "pk-poolkeeper-uninstall");
    assert_eq!(container(job)["env"], json!([{"name": "POOLKEEPER_LOG", "value": "debug"}]));
    // Names that YAML would take for a number or a truth value.
    let Some(objects) = render(&["--set-string=watchNamespace=1,serviceAccount.name=y,fullnameOverride=2"]) else {
        return;
    };
    for object in &objects {
        assert!(object["metadata"]["name"].is_string(), "{object:#}");
    }
    assert_eq!(one(&objects, "RoleBinding", "2")["subjects"][0]["name"], "y");
    assert_eq!(one(&objects, "Role", "2")["metadata"]["namespace"], "1");
    // Labels from outside change no selector.
    let Some(objects) =
        render(&["--set", "commonLabels.app\\.kubernetes\\.io/name=x,podLabels.app\\.kubernetes\\.io/name=y"])
    else {
        return;
    };
    let deployment = one(&objects, "Deployment", "pk-poolkeeper");
    assert!(selects(&deployment["spec"]["selector"]["matchLabels"], deployment));
    let Some(objects) = render(&["--set=fullnameOverride=other"]) else { return };
    assert!(texts(&container(one(&objects, "Deployment", "other"))["args"]).contains(&"--lease-name=other"));
    assert!(rights(one(&objects, "Role", "other-election")).contains_key("coordination.k8s.io/leases[other]"));
}

/// A chart may have this one as a dependency that its values switch on.
#[test]
fn it_can_be_an_optional_part_of_another_chart() {
    let Some(helm) = helm() else { return };
    let parent = tempfile::tempdir().unwrap();
    let chart = format!(
        "apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies:\n\
         - {{name: poolkeeper, version: {}, condition: poolkeeper.enabled}}\n",
        env!("CARGO_PKG_VERSION")
    );
    std::fs::write(parent.path().join("Chart.yaml"), chart).unwrap();
    std::fs::create_dir(parent.path().join("charts")).unwrap();
    std::os::unix::fs::symlink(CHART, parent.path().join("charts/poolkeeper")).unwrap();
    for on in [true, false] {
        let out = Command::new(&helm)
            .args(["template", "pk", "--kube-version=1.33.0", "--set", &format!("poolkeeper.enabled={on}")])
            .arg(parent.path())
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(String::from_utf8(out.stdout).unwrap().contains("kind: Deployment"), on);
    }
}

/// Each is refused with words that name the value and what is wrong.
#[test]
fn wrong_values_are_refused_by_name() {
    for (set, said) in [
        ("replica=2", &["'replica'", "not allowed"][..]),
        ("image.repo=x", &["/image", "'repo'", "not allowed"]),
        ("crds.instal=true", &["/crds", "'instal'", "not allowed"]),
        ("replicas=-1", &["/replicas", "minimum"]),
        ("replicas=two", &["/replicas", "want integer"]),
        ("image.pullPolicy=Sometimes", &["/image/pullPolicy", "'IfNotPresent'"]),
        ("image.digest=sha256:12", &["/image/digest", "pattern"]),
        ("watchNamespace=Not_A_Name", &["/watchNamespace", "pattern"]),
        ("uninstall.timeoutSeconds=5", &["/uninstall/timeoutSeconds", "minimum"]),
        ("uninstall.timeoutSeconds=5m", &["/uninstall/timeoutSeconds", "want integer"]),
        ("extraArgs=--x", &["/extraArgs", "want array"]),
        ("extraEnv[0].value=x", &["/extraEnv/0", "'name'"]),
        ("resources.limit.memory=1Gi", &["/resources", "'limit'", "not allowed"]),
        ("networkPolicy.apiServerCidrs[0]=10.0.0.1", &["/networkPolicy/apiServerCidrs/0", "pattern"]),
        ("networkPolicy.apiServerPorts[0]=70000", &["/networkPolicy/apiServerPorts/0", "maximum"]),
        ("livenessProbe.httpGet.path=/x", &["/livenessProbe", "'httpGet'", "not allowed"]),
        ("replicas=2,leaderElection.enabled=false", &["replicas: more than one needs leaderElection.enabled=true"]),
        ("watchNamespace=a,rbac.aggregate=true", &["rbac.aggregate adds to ClusterRoles"]),
    ] {
        let Some(answer) = template(&["--set", set]) else { return };
        let error = answer.expect_err(set);
        for word in said {
            assert!(error.contains(word), "{set}: {word} is not in: {error}");
        }
    }
}
