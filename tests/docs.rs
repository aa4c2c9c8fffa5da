//! `docs/architecture.md` names only what exists, so a rename cannot leave it behind.
//!
//! A path in backticks is that of a file or a directory, from the root or from `src/`. A name in backticks is defined in the
//! sources. Names in brackets after a path, as in `core/mod.rs` (`apply`, `decide`), are defined in that file.
//! Pages that refer to tests by name are checked too: those tests exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use poolkeeper_testkit::files;
use regex::Regex;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where a path of a page leads. Pages may leave out `src/`, and the model's page `src/core/`.
fn locate(path: &str) -> Option<PathBuf> {
    [root().join(path), root().join("src").join(path), root().join("src/core").join(path)]
        .into_iter()
        .find(|p| p.exists())
}

/// The names that a source defines: items, and variants and fields that stand at the beginning of a line.
fn defined(text: &str, names: &mut BTreeSet<String>) {
    let item = Regex::new(r"\b(?:fn|struct|enum|trait|const|static|type|mod|macro_rules!)\s+([A-Za-z_][A-Za-z0-9_]*)")
        .unwrap();
    let variant = Regex::new(r"(?m)^\s+([A-Z][A-Za-z0-9_]*)\s*(?:[,({=]|$)").unwrap();
    let field = Regex::new(r"(?m)^\s+(?:pub(?:\([a-z: ]+\))? )?([a-z_][a-z0-9_]*):\s").unwrap();
    let code: String = text.lines().filter(|l| !l.trim_start().starts_with("//")).flat_map(|l| [l, "\n"]).collect();
    for pattern in [item, variant, field] {
        names.extend(pattern.captures_iter(&code).map(|c| c[1].to_owned()));
    }
}

fn is_path(span: &str) -> bool {
    let plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "_-./*".contains(c));
    // A name such as that of an annotation begins with a domain.
    let domain = span.split_once('/').is_some_and(|(first, _)| first.trim_start_matches('.').contains('.'));
    plain
        && !domain
        && !span.starts_with('-')
        && (span.contains('/') || [".rs", ".md", ".toml", ".sh"].iter().any(|e| span.ends_with(e)))
}

/// The last part of `name`, `Type::name` or `name()`, if that is what the span is.
fn name(span: &str) -> Option<&str> {
    let path = span.strip_suffix("()").unwrap_or(span);
    let word = |p: &str| !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    path.split("::").all(word).then(|| path.rsplit("::").next().unwrap_or(path))
}

/// The spans in backticks, outside of fenced blocks, with their lines.
fn spans(page: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (n, line) in page.lines().enumerate() {
        fenced ^= line.starts_with("```");
        if !fenced {
            found.extend(line.split('`').skip(1).step_by(2).map(|span| (n + 1, span.to_owned())));
        }
    }
    found
}

/// True if the path exists; a `*` stands for any characters within one name.
fn is_there(path: &str) -> bool {
    let Some((before, after)) = path.split_once('*') else { return locate(path).is_some() };
    let (dir, start) = before.rsplit_once('/').unwrap_or(("", before));
    let matches = |name: &str| name.starts_with(start) && name.ends_with(after);
    locate(dir)
        .is_some_and(|dir| std::fs::read_dir(dir).unwrap().any(|e| matches(&e.unwrap().file_name().to_string_lossy())))
}

/// What a page names that does not exist.
fn missing(page: &str, everything: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (line, span) in spans(page) {
        if is_path(&span) {
            if !is_there(&span) {
                wrong.push(format!("line {line}: there is no file `{span}`"));
            }
        } else if name(&span).is_some_and(|name| !everything.contains(name)) {
            wrong.push(format!("line {line}: nothing is named `{span}`"));
        }
    }
    let bracket = Regex::new(r"`([a-z_/]+\.rs)` \(([^)]*)\)").unwrap();
    for found in bracket.captures_iter(page) {
        let Some(file) = locate(&found[1]) else { continue };
        let mut here = BTreeSet::new();
        defined(&std::fs::read_to_string(file).unwrap(), &mut here);
        for span in found[2].split('`').skip(1).step_by(2) {
            if name(span).is_some_and(|name| !here.contains(name)) {
                wrong.push(format!("`{span}` is not defined in `{}`", &found[1]));
            }
        }
    }
    wrong
}

fn everything() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let dirs = ["src", "tests", "crates", "model/src", "benches"];
    for file in dirs.iter().flat_map(|dir| files::sources(&root().join(dir))) {
        defined(&std::fs::read_to_string(file).unwrap(), &mut names);
    }
    // Fields of the API are written as the user writes them.
    let key = Regex::new(r"(?m)^\s+([a-z][A-Za-z]*):").unwrap();
    for crd in std::fs::read_dir(root().join("crds")).unwrap() {
        let text = std::fs::read_to_string(crd.unwrap().path()).unwrap();
        names.extend(key.captures_iter(&text).map(|c| c[1].to_owned()));
    }
    names
}

#[test]
fn the_architecture_names_only_what_exists() {
    let page = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let wrong = missing(&page, &everything());
    assert!(spans(&page).len() > 100, "the page names little");
    assert!(wrong.is_empty(), "docs/architecture.md:\n{}", wrong.join("\n"));
}

/// The directories of the layers that the page does not show. A command is found by its name, and so are the parts of a file
/// with that name.
fn not_shown(page: &str, layers: &[PathBuf]) -> Vec<String> {
    let named: Vec<String> =
        spans(page).into_iter().map(|(_, span)| span.strip_prefix("src/").unwrap_or(&span).to_owned()).collect();
    let mut wrong = Vec::new();
    for layer in layers.iter().filter(|layer| layer.is_dir() && !layer.ends_with("cli")) {
        for part in std::fs::read_dir(layer).unwrap().map(|e| e.unwrap().path()).filter(|part| part.is_dir()) {
            let path = part.strip_prefix(root().join("src")).unwrap().to_str().unwrap();
            if !named.iter().any(|span| span.starts_with(&format!("{path}/")) || *span == format!("{path}.rs")) {
                wrong.push(path.to_owned());
            }
        }
    }
    wrong.sort();
    wrong
}

#[test]
fn the_architecture_shows_every_part_of_every_layer() {
    let page = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let layers: Vec<PathBuf> = std::fs::read_dir(root().join("src")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(not_shown(&page, &layers), Vec::<String>::new(), "docs/architecture.md does not name them");
    let runtime = [root().join("src/runtime")];
    assert_eq!(
        not_shown("`src/runtime/docker/`, `runtime/pod`, `runtime/process.rs`", &runtime),
        ["runtime/credentials", "runtime/pod"]
    );
}

#[test]
fn the_models_page_names_the_rules_where_they_are() {
    let page = std::fs::read_to_string(root().join("model/README.md")).unwrap();
    let rules = page.split("## The rules in `src/core`").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let wrong = missing(rules, &everything());
    assert!(wrong.is_empty(), "model/README.md:\n{}", wrong.join("\n"));
}

#[test]
fn decisions_name_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/decisions/README.md")).unwrap();
    let everything = everything();
    for (line, span) in spans(&page) {
        let is_test = span.matches('_').count() > 1 && !is_path(&span);
        assert!(!is_test || everything.contains(&span), "docs/decisions/README.md:{line}: no test `{span}`");
    }
}

#[test]
fn what_does_not_exist_is_found() {
    let everything = everything();
    let page = "`clock.rs` (`Clock`, `ABSENT`), `core/no_such.rs`, `no_such_function`, `Core::apply`, `docs/*.md`";
    let wrong = missing(page, &everything);
    let expected = [
        "line 1: nothing is named `ABSENT`",
        "line 1: there is no file `core/no_such.rs`",
        "line 1: nothing is named `no_such_function`",
        "`ABSENT` is not defined in `clock.rs`",
    ];
    assert_eq!(wrong, expected);
}
