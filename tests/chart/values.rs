//! What values do, what is said of them, and which are refused.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::stage::{CHART, container, helm, one, render, rights, selects, template, texts};

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
        ("extraArgs[0]=--x", format!("{first}/args/7"), json!("--x")),
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
        (
            "replicas=2,leaderElection.enabled=false",
            &["replicas: more than one replica needs leaderElection.enabled=true"],
        ),
        ("watchNamespace=a,rbac.aggregate=true", &["rbac.aggregate adds rules to ClusterRoles"]),
    ] {
        let Some(answer) = template(&["--set", set]) else { return };
        let error = answer.expect_err(set);
        for word in said {
            assert!(error.contains(word), "{set}: {word} is not in: {error}");
        }
    }
}
