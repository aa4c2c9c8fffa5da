//! Types docs/quickstart.md into one shell, with a real Docker Engine, and docs/kubectl.md, with kubectl, and compares what is
//! printed.
//!
//! A block in `sh` is typed. A block in `text` after it has lines that must be printed, in this order; `…` stands for anything.
//! What is said on standard error counts too: a reader sees both.
//! `<!-- until: N WORDS -->` before a block waits until its output has N lines with the last word; `until: only N`: no more than N.
//!
//! Skipped, loudly, without an engine that has the image poolkeeper-test:1; POOLKEEPER_REQUIRE_DOCKER makes that a failure.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use regex::Regex;

struct Block {
    line: usize,
    script: String,
    /// How many lines with which word must be printed, before the page goes on: the comparison of `[`, the number, the word.
    until: Option<(&'static str, usize, String)>,
    expected: Vec<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let until = Regex::new(r"^<!-- until: (only )?(\d+) .* (\S+) -->$").unwrap();
    let (mut blocks, mut open, mut wait): (Vec<Block>, Option<String>, _) = (Vec::new(), None, None);
    let mut text = Vec::new();
    for (n, line) in page.lines().enumerate() {
        if let Some(found) = until.captures(line) {
            let comparison = if found.get(1).is_some() { "-eq" } else { "-ge" };
            wait = Some((comparison, found[2].parse().unwrap(), found[3].to_owned()));
        }
        match (&open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some(language.to_owned()),
            (Some(language), Some(_)) => {
                let lines = std::mem::take(&mut text);
                match language.as_str() {
                    "sh" => blocks.push(Block {
                        line: n + 1,
                        script: lines.join("\n"),
                        until: wait.take(),
                        expected: Vec::new(),
                    }),
                    _ => blocks.last_mut().unwrap().expected = lines,
                }
                open = None;
            }
            (Some(_), None) => text.push(line.to_owned()),
            (None, None) => {}
        }
    }
    blocks
}

/// True if the lines are printed in this order.
fn prints(said: &str, expected: &[String]) -> Result<(), String> {
    let columns = Regex::new(" {2,}").unwrap();
    let mut lines = said.lines();
    for wanted in expected {
        let parts: Vec<String> = wanted.split('…').map(|part| regex::escape(part.trim_end())).collect();
        // Columns are as wide as what is in them.
        let pattern = columns.replace_all(&parts.join(".*"), r"\s+").into_owned();
        let pattern = Regex::new(&format!("^{pattern}$")).unwrap();
        if !lines.any(|line| pattern.is_match(line.trim_end())) {
            return Err(wanted.clone());
        }
    }
    Ok(())
}

/// True if the engine has the image of the page. It then has the second one too, under which the page updates the pool.
fn has_docker() -> bool {
    let mut command = Command::new("docker");
    command.args(["tag", "poolkeeper-test:1", "poolkeeper-test:2"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn the_page_is_typed() {
    if !has_docker() {
        assert!(std::env::var_os("POOLKEEPER_REQUIRE_DOCKER").is_none(), "there is no engine with poolkeeper-test:1");
        eprintln!("SKIPPED: there is no Docker Engine with the image poolkeeper-test:1");
        return;
    }
    typed("docs/quickstart.md", None);
}

#[test]
fn the_page_of_kubectl_is_typed() {
    if let Some(kubectl) = poolkeeper_testkit::program::kubectl_of("v1.33") {
        typed("docs/kubectl.md", kubectl.parent());
    }
}

/// Types a page; `dir` is searched for programs first.
fn typed(name: &str, dir: Option<&Path>) {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let blocks = blocks(&page);
    // One shell for the whole page: each block says where its output begins.
    let mut script = "exec 2>&1\n".to_owned();
    for (n, block) in blocks.iter().enumerate() {
        writeln!(script, "echo '@@@ {n}'").unwrap();
        if let Some((comparison, count, word)) = &block.until {
            let lines = block.script.replace('\n', "; ");
            writeln!(script, "for _ in $(seq 600); do [ \"$({{ {lines}; }} | grep -cE ' {word}( |$)')\" {comparison} {count} ] && break; sleep 0.1; done").unwrap();
        }
        script.push_str(&block.script);
        script.push('\n');
    }
    let scratch = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_poolkeeper"));
    let mut dirs: Vec<_> = [dir, binary.parent()].into_iter().flatten().map(Path::to_owned).collect();
    dirs.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let path = std::env::join_paths(dirs).unwrap();
    let mut command = Command::new("timeout");
    command.args(["-k", "10", "300", "bash", "-euo", "pipefail", "-c", &script]).env("PATH", path);
    command
        .env("POOLKEEPER_HOME", scratch.path().join("home"))
        .env("KUBECACHEDIR", scratch.path())
        .stdin(Stdio::null())
        .current_dir(&scratch);
    for variable in ["KUBECONFIG", "POOLKEEPER_CONTEXT"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut clean = Command::new(binary);
    clean.args(["local", "down", "--force", "--purge"]).env("POOLKEEPER_HOME", scratch.path().join("home"));
    let _ = clean.output();
    assert!(output.status.success(), "{}\n{said}\n--- stderr\n{errors}", output.status);
    let parts: Vec<&str> = said.split("@@@ ").skip(1).collect();
    assert_eq!(parts.len(), blocks.len());
    for (block, part) in blocks.iter().zip(parts) {
        let part = part.split_once('\n').unwrap().1;
        if let Err(wanted) = prints(part, &block.expected) {
            panic!("{name}:{}: {wanted:?} is not printed:\n{part}\n--- stderr\n{errors}", block.line);
        }
    }
}
