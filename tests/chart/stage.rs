//! helm, and what is found in what it renders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/poolkeeper");

/// Flags of `helm template` that change what is made; the rights must hold in each.
pub const COMBINATIONS: [&[&str]; 5] = [
    &[],
    &["--set=watchNamespace=team"],
    &[
        "--set=replicas=2,rbac.aggregate=true,metrics.serviceMonitor.enabled=true,networkPolicy.enabled=true",
        "--set=metrics.prometheusRule.enabled=true,metrics.dashboard.enabled=true",
    ],
    &["--set=crds.install=false,uninstall.hook=false,rbac.dispatcher=false,replicas=0"],
    &["--set=rbac.create=false,serviceAccount.create=false,serviceAccount.name=other,metrics.service=true"],
];

pub fn helm() -> Option<PathBuf> {
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
pub fn template(flags: &[&str]) -> Option<Result<String, String>> {
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

pub fn render(flags: &[&str]) -> Option<Vec<Value>> {
    let text = template(flags)?.unwrap();
    let all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    Some(all.into_iter().filter(|object| !object.is_null()).collect())
}

pub fn kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |o| o["kind"] == kind)
}

pub fn one<'a>(objects: &'a [Value], of: &str, name: &str) -> &'a Value {
    let mut found = objects.iter().filter(|o| o["kind"] == of && o["metadata"]["name"] == name);
    let first = found.next().unwrap_or_else(|| panic!("no {of} {name}"));
    assert!(found.next().is_none(), "two {of} {name}");
    first
}

pub fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|v| v.as_str().unwrap()).collect()
}

/// `group/resource[name]` → verbs, of one role.
pub fn rights(role: &Value) -> BTreeMap<String, BTreeSet<&str>> {
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

pub fn table(lines: &[(&str, &'static str)]) -> BTreeMap<String, BTreeSet<&'static str>> {
    lines.iter().map(|(what, verbs)| ((*what).to_owned(), verbs.split(' ').collect())).collect()
}

/// The pod template of a Deployment or Job.
pub fn pod(workload: &Value) -> &Value {
    &workload["spec"]["template"]
}

pub fn container(workload: &Value) -> &Value {
    let all = pod(workload)["spec"]["containers"].as_array().unwrap();
    assert_eq!(all.len(), 1);
    &all[0]
}

/// Whether a label selector takes this pod.
pub fn selects(selector: &Value, workload: &Value) -> bool {
    let labels = &pod(workload)["metadata"]["labels"];
    selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
}
