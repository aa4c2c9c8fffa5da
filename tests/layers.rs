//! The layers that `src/lib.rs` draws hold: which layer may name which.

use std::path::{Path, PathBuf};

use poolkeeper_testkit::files;
use poolkeeper_testkit::source::Source;

/// A layer, the others that it may name, and what no line of it may contain.
const LAYERS: [(&str, &[&str], &[&str]); 13] = [
    ("causes.rs", &[], &["kube::"]),
    ("clock.rs", &[], &["kube::"]),
    ("api", &[], &["tokio", "async ", "bollard"]),
    (
        "core",
        &["api", "runtime"],
        &["kube::", "tokio", "futures::", "async ", "runtime::process", "runtime::docker", "runtime::pod"],
    ),
    ("runtime", &["api", "clock"], &[]),
    ("runtime/docker", &["api", "clock", "runtime"], &["kube::"]),
    ("runtime/process", &["api", "clock", "runtime"], &["kube::"]),
    ("local", &["clock"], &["poolkeeper.dev", "ContainerPool", "Dispatch"]),
    ("https", &[], &["poolkeeper.dev", "ContainerPool", "Dispatch", "LocalApi"]),
    (
        "controller",
        &["api", "clock", "core", "runtime"],
        &["runtime::process", "runtime::docker", "runtime::pod", "impl Runtime for"],
    ),
    (
        "supervisor",
        &["api", "clock", "runtime"],
        &["runtime::process", "runtime::docker", "runtime::pod", "NAMESPACE", "io::stdout", "io::stderr"],
    ),
    (
        "dashboard",
        &["api", "core", "supervisor"],
        &["kube::", "tokio", "futures::", "async ", "std::fs", "io::stdout", "io::stderr", "supervisor::batch"],
    ),
    (
        "standalone",
        &["api", "clock", "controller", "core", "https", "local", "runtime", "supervisor"],
        &["io::stdout", "io::stderr"],
    ),
];

/// What is wrong with one file of a layer. Comments may name everything.
fn wrongs(layer: &str, uses: &[&str], never: &[&str], text: &str) -> Vec<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|l| [l, "\n"]).collect();
    let paths = Source::read(text).paths;
    let others = [
        "api",
        "cli",
        "clock",
        "controller",
        "core",
        "dashboard",
        "https",
        "local",
        "runtime",
        "standalone",
        "supervisor",
    ]
    .into_iter()
    .filter(|other| *other != layer.trim_end_matches(".rs") && !uses.contains(other))
    .filter(|other| {
        let crate_path = |p: &Vec<String>| p[0] == "crate" && p.get(1).is_some_and(|name| name == other);
        let super_path = |p: &Vec<String>| p.windows(3).any(|p| p[0] == "super" && p[1] == *other);
        paths.iter().any(|p| crate_path(p) || super_path(p))
    })
    .map(|other| format!("names crate::{other}"));
    others.chain(never.iter().filter(|word| code.contains(**word)).map(|word| format!("contains `{word}`"))).collect()
}

/// Path and content of the sources below a directory of the repository. One file is left out: its tests need an API.
fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    let all = files::sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory));
    let looked_at = all.into_iter().filter(|path| !path.ends_with("supervisor/attempt/tests.rs"));
    looked_at.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn no_layer_names_what_it_must_not() {
    let mut found = Vec::new();
    for (layer, uses, never) in LAYERS {
        let sources = sources(&format!("src/{layer}"));
        assert!(!sources.is_empty(), "no file of the layer {layer}");
        for (path, text) in &sources {
            found.extend(wrongs(layer, uses, never, text).into_iter().map(|w| format!("{}: {w}", path.display())));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A file has one subject. Most have 100 to 400 lines.
#[test]
fn no_file_is_longer_than_500_lines() {
    let mut long = Vec::new();
    for directory in ["src", "crates", "tests", "benches", "model/src"] {
        for (path, text) in sources(directory) {
            let lines = text.lines().count();
            if lines > 500 {
                long.push(format!("{}: {lines}", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "split them by subject:\n{}", long.join("\n"));
}

#[test]
fn this_test_can_fail() {
    let wrongs = |text| wrongs("core", &["api"], &["tokio"], text);
    assert_eq!(
        wrongs("use crate::api::Worker;\nuse crate::core::ObjectKey;\n// crate::local, tokio"),
        Vec::<String>::new()
    );
    assert_eq!(wrongs("use crate::local::Server;"), ["names crate::local"]);
    assert_eq!(wrongs("use crate::{api::{Worker, local}, cli};"), ["names crate::cli"]);
    assert_eq!(wrongs("use crate::{\n    cli::{a, b},\n    local\n};"), ["names crate::cli", "names crate::local"]);
    assert_eq!(wrongs("tokio::spawn(crate::runtime::start())"), ["names crate::runtime", "contains `tokio`"]);
}
