//! The Helm chart as it renders: rights, security contexts, the uninstall hook, and what values are refused.
//!
//! Needs helm, on the PATH or of `scripts/cluster`. Without it all but two tests skip, loudly; with
//! POOLKEEPER_REQUIRE_HELM=1 they fail.
#![allow(clippy::unwrap_used, clippy::panic)]

mod monitoring;
mod pods;
mod rights;
mod stage;
mod values;

use std::path::Path;

use serde_json::{Value, json};

use crate::stage::{CHART, kind, one, render};

#[test]
fn versions_are_those_of_the_program() {
    let chart: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(format!("{CHART}/Chart.yaml")).unwrap()).unwrap();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));

    let read = |name| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = \"")).unwrap().trim_end_matches('"');
    let msrv = channel.rsplit_once('.').unwrap().0;
    assert!(
        read("Cargo.toml").contains(&format!("\nrust-version = \"{msrv}\"\n")),
        "the oldest Rust that Cargo.toml promises is not the one that everything is tested with"
    );
    assert!(
        read("Dockerfile").contains(&format!("FROM rust:{channel}-slim-bookworm AS build\n")),
        "the Dockerfile builds with another Rust"
    );
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
