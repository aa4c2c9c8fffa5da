//! Rules for the shell scripts that a machine can check.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use poolkeeper_testkit::files;
use regex::Regex;

/// Every shell script of the repository, by its first line or its name.
fn scripts() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for path in [".ci", "scripts", "examples", "charts"].iter().flat_map(|dir| files::below(&root.join(dir))) {
        // What is not text is no script.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let first = text.lines().next().unwrap_or_default();
        if path.extension().is_some_and(|e| e == "sh") || first.starts_with("#!") && first.ends_with("sh") {
            found.push((path.strip_prefix(root).unwrap().to_owned(), text));
        }
    }
    found
}

/// A reader that stops before the end of its input ends the writer by SIGPIPE, if the writer still has something to say. With
/// `pipefail` the pipeline has failed then, now and then, although the line was found.
#[test]
fn no_reader_ends_its_pipeline_before_the_writer_is_done() {
    let early = Regex::new(r"\|\s*(head\b|grep( -[A-Za-z]+)* (-[A-Za-z]*q|--quiet|-m))").unwrap();
    let scripts = scripts();
    assert!(scripts.len() > 40, "only {} scripts were found", scripts.len());
    let found: Vec<String> = scripts
        .iter()
        .flat_map(|(path, text)| text.lines().enumerate().map(move |(n, line)| (path, n + 1, line)))
        .filter(|(_, _, line)| !line.trim_start().starts_with('#') && early.is_match(line))
        .map(|(path, n, line)| format!("{}:{n}: {}", path.display(), line.trim()))
        .collect();
    assert!(
        found.is_empty(),
        "use `grep -q WORDS <<<\"$(COMMAND)\"` in the place of `COMMAND | grep -q WORDS`, and `sed -n 1p` in that of `head -1`:\n{}",
        found.join("\n")
    );
}
