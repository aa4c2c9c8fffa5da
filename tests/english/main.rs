//! The rules of `docs/style.md` that a machine can check: constructions that a reader stumbles over, and names that only
//! we understood. Each has the words to use instead, which the failure prints with the file and the line.
//!
//! Checked are prose files, CRDs, the chart, `--help`, and in Rust sources the comments and strings. Code in backticks and
//! fenced blocks is skipped, so a name or a bad example can be quoted.

mod prose;
mod rules;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use poolkeeper_testkit::files;
use regex::Regex;

use prose::{CODE, markdown, rust};
use rules::{NAMES, RULES};

/// How many are allowed.
const PAGES: usize = 0;
const HELP: usize = 0;
const CRDS_AND_CHART: usize = 0;
const SOURCES: usize = 0;
const TESTS: usize = 0;

struct Fault {
    file: String,
    line: usize,
    excerpt: String,
    instead: &'static str,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A rule's pattern, and what it may not follow or precede.
type Compiled = (Regex, Option<Regex>, Option<Regex>, &'static str);

/// In the order of [`RULES`]. Compiled once: hundreds of texts are read.
static COMPILED: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    let regex = |pattern: &str| Regex::new(&format!("(?i){pattern}")).unwrap();
    RULES.iter().map(|r| (regex(r.pattern), r.unless_after.map(regex), r.unless_before.map(regex), r.instead)).collect()
});

/// The faults of one piece of prose.
fn faults(file: &str, prose: &[char]) -> Vec<Fault> {
    let prose: String = prose.iter().collect();
    let mut found = Vec::new();
    for (pattern, after, before, instead) in &*COMPILED {
        for hit in pattern.find_iter(&prose) {
            let mut near = hit.start().saturating_sub(40);
            while !prose.is_char_boundary(near) {
                near += 1;
            }
            let mut end = (hit.end() + 40).min(prose.len());
            while !prose.is_char_boundary(end) {
                end -= 1;
            }
            if after.as_ref().is_some_and(|u| u.is_match(&prose[near..hit.start()]))
                || before.as_ref().is_some_and(|u| u.is_match(&prose[hit.end()..end]))
            {
                continue;
            }
            let line = prose[..hit.start()].matches('\n').count() + 1;
            let words = prose[near..end].replace(CODE, " ");
            let excerpt = words.split_whitespace().collect::<Vec<_>>().join(" ");
            found.push(Fault { file: file.to_owned(), line, excerpt, instead });
        }
    }
    found.sort_by_key(|f| f.line);
    found
}

fn faults_below(paths: &[&str], read: fn(&str) -> Vec<char>, extensions: &[&str]) -> Vec<Fault> {
    let all = paths.iter().map(|p| root().join(p)).filter(|p| p.exists()).flat_map(|p| files::below(&p));
    let mut found = Vec::new();
    for path in all.filter(|p| p.extension().is_some_and(|e| extensions.iter().any(|x| e == *x))) {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        found.extend(faults(&name, &read(&text)));
    }
    found
}

/// What the program prints for `--help`, of itself and of each command below it.
fn help(arguments: &[&str], pages: &mut Vec<(String, String)>) {
    let output = Command::new(env!("CARGO_BIN_EXE_poolkeeper")).args(arguments).arg("--help").output().unwrap();
    let name = format!("poolkeeper {}", [arguments, &["--help"]].concat().join(" "));
    assert!(output.status.success(), "{name}: {}", output.status);
    let page = String::from_utf8(output.stdout).unwrap();
    let commands: Vec<String> = page
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|command| command != "help")
        .collect();
    pages.push((name, page));
    for command in commands {
        help(&[arguments, &[command.as_str()]].concat(), pages);
    }
}

fn at_most(ceiling: usize, found: &[Fault]) {
    let mut message = String::new();
    for f in found {
        writeln!(message, "{}:{}: {}\n    instead: {}", f.file, f.line, f.excerpt, f.instead).unwrap();
    }
    let count = found.len();
    assert!(count <= ceiling, "{message}{count} constructions that docs/style.md rules out; {ceiling} are allowed");
}

#[test]
fn the_pages_are_in_plain_english() {
    let pages = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "model/README.md"];
    let mut found = faults_below(&pages, markdown, &["md"]);
    found.extend(faults_below(&["examples"], |text| text.chars().collect(), &["yaml", "sh"]));
    at_most(PAGES, &found);
}

#[test]
fn the_help_is_in_plain_english() {
    let mut pages = Vec::new();
    help(&[], &mut pages);
    assert!(pages.len() > 4, "the help of only {} commands was found", pages.len());
    let found: Vec<Fault> =
        pages.iter().flat_map(|(name, page)| faults(name, &page.chars().collect::<Vec<_>>())).collect();
    at_most(HELP, &found);
}

#[test]
fn the_crds_and_the_chart_are_in_plain_english() {
    // Queries of the dashboard are code.
    let prose = |text: &str| -> Vec<char> {
        let query = |line: &str| ["\"expr\"", "\"legendFormat\""].iter().any(|field| line.contains(field));
        text.lines().flat_map(|line| if query(line) { "" } else { line }.chars().chain(['\n'])).collect()
    };
    let mut found = faults_below(&["crds", "charts"], prose, &["yaml", "tpl", "txt", "json"]);
    found.extend(faults_below(&["charts"], markdown, &["md"]));
    at_most(CRDS_AND_CHART, &found);
}

#[test]
fn the_sources_are_in_plain_english() {
    at_most(SOURCES, &faults_below(&["src"], rust, &["rs"]));
}

#[test]
fn the_tests_get_no_worse() {
    let mut found = faults_below(&["tests", "benches", "crates", "model/src"], rust, &["rs"]);
    found.retain(|f| !f.file.starts_with("tests/english/"));
    at_most(TESTS, &found);
}

/// Each name in the code of a source with a word that only we understood, and its line.
fn private_names(text: &str) -> Vec<(usize, String)> {
    static SUSPICIOUS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(&format!("(?i){}", NAMES.join("|").replace('_', "_?"))).unwrap());
    let suspicious = &*SUSPICIOUS;
    if !suspicious.is_match(text) {
        return Vec::new();
    }
    let prose: String = rust(text).iter().collect();
    let name = Regex::new(r"[A-Za-z_][A-Za-z0-9_]*").unwrap();
    let word = Regex::new(r"[A-Z]+(?:[^A-Za-z]|$)|[A-Z]?[a-z0-9]+|[A-Z]+").unwrap();
    let string = Regex::new(r#""[^"]*""#).unwrap();
    let mut found = Vec::new();
    let lines = text.lines().zip(prose.lines()).enumerate();
    for (n, (line, prose)) in lines.filter(|(_, (line, _))| suspicious.is_match(line)) {
        // What is prose is left to the rules, and what stands in quotation marks is data.
        let code: String = line.chars().zip(prose.chars()).map(|(c, p)| if p == CODE { c } else { ' ' }).collect();
        let code = string.replace_all(&code, "");
        for name in name.find_iter(&code) {
            let words: Vec<String> =
                word.find_iter(name.as_str()).map(|w| w.as_str().trim_end_matches('_').to_lowercase()).collect();
            let is_private = |words: &[String]| NAMES.contains(&&*words.join("_"));
            if words.windows(1).chain(words.windows(2)).any(is_private) {
                found.push((n + 1, name.as_str().to_owned()));
            }
        }
    }
    found
}

#[test]
fn no_name_in_the_sources_is_private_language() {
    let mut found = Vec::new();
    for path in files::below(&root().join("src")) {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        let text = match path.extension().and_then(|e| e.to_str()) {
            Some("rs" | "js") => std::fs::read_to_string(&path).unwrap(),
            _ => continue,
        };
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        found.extend(private_names(&stem).into_iter().map(|(_, name)| format!("{shown}: the file {name}")));
        found.extend(private_names(&text).into_iter().map(|(line, name)| format!("{shown}:{line}: {name}")));
    }
    assert!(found.is_empty(), "say what it is or does:\n{}", found.join("\n"));
    let text = "let is_kept = isTold(KEPT, KeptTask, \"kept\"); // kept\nlay_over(); let lanes = skept(plane);";
    let names: Vec<(usize, String)> = private_names(text);
    let expected = [(1, "is_kept"), (1, "isTold"), (1, "KEPT"), (1, "KeptTask"), (2, "lay_over"), (2, "lanes")];
    assert_eq!(names, expected.map(|(line, name)| (line, name.to_owned())));
}

/// `docs/style.md`: an Event is a Kubernetes Event, a Failure is an error of the command line, and a key says which.
#[test]
fn words_with_one_meaning_have_one_definition() {
    let definition = Regex::new(r"\b(?:struct|enum|type) (Event|Failure|Key)\b").unwrap();
    let mut found = Vec::new();
    for path in files::sources(&root().join("src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root()).unwrap().display().to_string();
        found.extend(definition.captures_iter(&text).map(|word| (word[1].to_owned(), path.clone())));
    }
    found.sort();
    let expected = [("Event", "src/core/input.rs"), ("Failure", "src/cli/exit.rs")];
    assert_eq!(found, expected.map(|(word, path)| (word.to_owned(), path.to_owned())));
}

#[test]
fn each_rule_finds_its_construction_and_not_what_replaces_it() {
    for rule in RULES {
        let bad = faults("bad", &markdown(rule.bad));
        assert!(bad.iter().any(|f| f.instead == rule.instead), "not found: {}", rule.bad);
        let good: Vec<String> = faults("good", &markdown(rule.good)).into_iter().map(|f| f.excerpt).collect();
        assert!(good.is_empty(), "found in what is right: {good:?}");
    }
}

#[test]
fn prose_is_found_over_the_ends_of_lines_and_code_is_not_read() {
    let source = "/// A worker\n/// `told` who\n/// waits.\nfn told() { let who = 'a'; say(\"it was \\\n  told: {told}\", r#\"it is beside\"#) }\n";
    let found: Vec<(usize, String)> =
        faults("a.rs", &rust(source)).into_iter().map(|f| (f.line, f.instead[..8].to_owned())).collect();
    let expected = [(2, "people a"), (5, "\"reporte"), (5, "\"next to")];
    assert_eq!(found, expected.map(|(line, instead)| (line, instead.to_owned())));
    assert_eq!(faults("a.md", &markdown("All but\nfor one; `beside`, [x](doors.md).\n```sh\ntold\n```\n")).len(), 1);
}
