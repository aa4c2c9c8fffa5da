//! The README says what is true: its commands run, its pool is one that the API takes, its links lead somewhere.
//!
//! A block in `sh` is run, in a scratch directory with a copy of `examples/`, unless the comment on the line before it is
//! `<!-- not run: why -->`. With `<!-- needs docker -->` it is skipped, loudly, where there is no Docker Engine with the
//! image of `scripts/docker-image.sh`. `cargo run --` stands for the binary under test.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use kube::api::{Api, PostParams};
use poolkeeper::api::{ContainerPool, crd};
use poolkeeper::clock::{Ids, SystemClock};
use poolkeeper::local::{History, LocalApi, Options};
use poolkeeper_testkit::files;

struct Block {
    line: usize,
    language: String,
    /// The comment before it, without its brackets.
    mark: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The fenced blocks of a page.
fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut open, mut before) = (Vec::new(), None::<Block>, "");
    for (n, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                let mark = before.strip_prefix("<!--").and_then(|c| c.strip_suffix("-->")).unwrap_or_default();
                let (language, mark) = (language.to_owned(), mark.trim().to_owned());
                open = Some(Block { line: n + 1, language, mark, text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
        before = line;
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn has_docker() -> bool {
    let mut command = Command::new("docker");
    command.args(["image", "inspect", "poolkeeper-test:1"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|s| s.success())
}

/// Runs a block; what it left in its directory is an error too.
fn run(block: &Block) {
    let scratch = tempfile::tempdir().unwrap();
    let (work, tmp) = (scratch.path().join("work"), scratch.path().join("tmp"));
    copy(&root().join("examples"), &work.join("examples"));
    std::fs::create_dir(&tmp).unwrap();
    let before = files::below(scratch.path());
    let binary = env!("CARGO_BIN_EXE_poolkeeper");
    let script = block.text.replace("cargo run --", binary);
    let mut command = Command::new("timeout");
    command
        .args(["120", "bash", "-euo", "pipefail", "-c", &script])
        .current_dir(&work)
        .env("TMPDIR", &tmp)
        .env("XDG_STATE_HOME", &tmp);
    let path = format!("{}:{}", Path::new(binary).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = command.env("PATH", path).stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    assert!(output.status.success(), "README.md:{}: {}\n{}{said}", block.line, output.status, block.text);
    assert_eq!(files::below(scratch.path()), before, "README.md:{} left files behind:\n{}", block.line, block.text);
}

#[test]
fn every_command_runs() {
    let page = readme();
    let shell: Vec<Block> =
        blocks(&page).into_iter().filter(|b| b.language == "sh" || b.language == "console").collect();
    let first = "cargo run -- run --local --workers 3 ";
    assert!(shell[0].text.starts_with(first), "the first command is {}", shell[0].text);
    assert_eq!(shell[1].text, "cargo test\n", "the second command runs the tests");
    for block in &shell {
        match block.mark.as_str() {
            "" => run(block),
            "needs docker" if has_docker() => run(block),
            "needs docker" => {
                let why = "no Docker Engine with the image poolkeeper-test:1 (scripts/docker-up.sh, docker-image.sh)";
                assert!(
                    std::env::var_os("POOLKEEPER_REQUIRE_DOCKER").is_none(),
                    "POOLKEEPER_REQUIRE_DOCKER is set: {why}"
                );
                // Past the test harness, which keeps the output of tests that pass to itself.
                writeln!(std::io::stderr(), "SKIPPED: README.md:{}: {why}", block.line).unwrap();
            }
            mark => assert!(mark.starts_with("not run: "), "README.md:{}: unknown mark {mark:?}", block.line),
        }
    }
}

#[tokio::test]
async fn the_pool_is_one_that_the_api_takes() {
    let (clock, ids) = (Arc::new(SystemClock::new()), Ids::seeded(1));
    let api = LocalApi::new(Options { crds: crd::all(), clock, ids, history: History::Full }).unwrap();
    let pools: Api<ContainerPool> = Api::default_namespaced(api.client("default"));
    let yaml: Vec<Block> = blocks(&readme()).into_iter().filter(|b| b.language == "yaml").collect();
    assert!(!yaml.is_empty());
    for block in yaml {
        let written: serde_json::Value = serde_saphyr::from_str(&block.text).unwrap();
        let pool: ContainerPool = serde_json::from_value(written.clone()).unwrap();
        let kept = serde_json::to_value(&pool).unwrap();
        assert!(contains(&kept, &written), "README.md:{}: a field is not known: {kept}", block.line);
        pools.create(&PostParams::default(), &pool).await.unwrap();
    }
}

/// True if all that is in `part` is in `whole`.
fn contains(whole: &serde_json::Value, part: &serde_json::Value) -> bool {
    match (whole, part) {
        (serde_json::Value::Object(w), serde_json::Value::Object(p)) => {
            p.iter().all(|(k, v)| w.get(k).is_some_and(|w| contains(w, v)))
        }
        (serde_json::Value::Array(w), serde_json::Value::Array(p)) => {
            w.len() == p.len() && w.iter().zip(p).all(|(w, p)| contains(w, p))
        }
        _ => whole == part,
    }
}

/// The anchor that a heading gets on GitHub.
fn heading_anchor(line: &str) -> String {
    let words = line.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let docs = files::below(&root().join("docs")).into_iter().filter(|p| p.extension().is_some_and(|e| e == "md"));
    let pages = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "model/README.md",
        "charts/poolkeeper/README.md",
    ]
    .map(|p| root().join(p));
    for page in docs.chain(pages) {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") {
                continue;
            }
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if target.is_empty() { page.clone() } else { page.parent().unwrap().join(target) };
            assert!(target.exists(), "{}: no {link}", page.display());
            if !anchor.is_empty() {
                let headings = std::fs::read_to_string(&target).unwrap();
                let mut found = headings.lines().filter(|line| line.starts_with('#')).map(heading_anchor);
                assert!(found.any(|a| a == anchor), "{}: no heading for {link}", page.display());
            }
        }
    }
}
