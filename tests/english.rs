//! The rules of `docs/style.md` that a machine can check: constructions that a reader stumbles over, and names that only
//! we understood. Each has the words to use instead, which the failure prints with the file and the line.
//!
//! Checked are prose files, CRDs, the chart, `--help`, and in Rust sources the comments and strings. Code in backticks and
//! fenced blocks is skipped, so a name or a bad example can be quoted.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

struct Rule {
    pattern: &'static str,
    /// What may stand before the match and makes it right.
    unless_after: Option<&'static str>,
    /// What may follow the match and makes it right.
    unless_before: Option<&'static str>,
    instead: &'static str,
    bad: &'static str,
    good: &'static str,
}

/// Nouns after which "who" is right: people.
const PEOPLE: &str = r"\b(person|people|users?|developers?|readers?|authors?|owners?|operators?|maintainers?|newcomers?|strangers?|reviewers?|admins?|administrators?|colleagues?|someone|anyone|everyone|no one),?\s+$";

const RULES: &[Rule] = &[
    Rule {
        pattern: r"\bwho\b",
        unless_after: Some(PEOPLE),
        unless_before: None,
        instead: "people are \"who\", directly after the noun (\"a user who\"); things are \"that\" or \"which\": name the thing",
        bad: "Who is idle leaves first.",
        good: "Idle workers are removed first. A user who deletes a pool, or anyone who cancels.",
    },
    Rule {
        pattern: r"\bwho(so|m)?ever\b",
        unless_after: None,
        unless_before: None,
        instead: "name the person or the thing: \"the user that\", \"any client that\"",
        bad: "Credentials are for whoever limits them.",
        good: "Credentials are for the service that limits them.",
    },
    Rule {
        pattern: r"\bwhom\b",
        unless_after: None,
        unless_before: None,
        instead: "\"which\", or turn the sentence so that it names the thing",
        bad: "It picks whom the queue takes.",
        good: "It picks which dispatch the queue takes.",
    },
    Rule {
        pattern: r"\b(every|some|any|no)body\b",
        unless_after: None,
        unless_before: None,
        instead: "things: \"every worker\", \"another program\", \"nothing\"; people: \"everyone\", \"someone\", \"no one\"",
        bad: "Everybody on the same credential rests.",
        good: "Every worker on the same credential rests.",
    },
    Rule {
        pattern: r"\btold\b",
        unless_after: None,
        unless_before: None,
        instead: "\"reported\", \"recorded\", \"sent\", \"notified\", \"asked to\"",
        bad: "The end is told to the controller.",
        good: "The end is reported to the controller.",
    },
    Rule {
        pattern: r"\bbeside\b",
        unless_after: None,
        unless_before: None,
        instead: "\"next to\", \"besides\", \"as well as\", \"compared with\", \"in parallel with\"",
        bad: "A sidecar beside the worker.",
        good: "A sidecar next to the worker. Besides that, nothing changes.",
    },
    Rule {
        pattern: r"\bbut\s+for\b",
        unless_after: None,
        unless_before: None,
        instead: "\"except\", \"except for\"",
        bad: "All fields but for one.",
        good: "All fields except one.",
    },
    Rule {
        pattern: r"\b(is|are|was|were|be|been|gets?|got)\s+through\b",
        unless_after: None,
        unless_before: None,
        instead: "\"succeeds\", \"ends\", \"is done\"",
        bad: "It is retried until it is through.",
        good: "It is retried until it succeeds. The request goes through a proxy.",
    },
    Rule {
        pattern: r"\btexts\b|\b(a|an|each|every|this|that|one|no)\s+text\b",
        unless_after: None,
        unless_before: None,
        instead: "\"string\", \"message\", \"words\", \"content\"",
        bad: "Labels that are a text.",
        good: "Labels that are a string. The text of a message.",
    },
    Rule {
        pattern: r"\bthat\s+which\b",
        unless_after: None,
        unless_before: None,
        instead: "\"the one that\", \"what\", or name the thing",
        bad: "With that which it has here.",
        good: "With the value that it has here.",
    },
    Rule {
        pattern: r",\s+so\s+that\b",
        unless_after: None,
        unless_before: None,
        instead: "a result: \", so\" or \"which means\"; a purpose: \"so that\" without the comma",
        bad: "All rest, so that the queue grows.",
        good: "All rest, so the queue grows. It waits so that the server can recover.",
    },
    Rule {
        pattern: r"\blet(s|ting)?\s+go\b",
        unless_after: None,
        unless_before: None,
        instead: "\"release\", \"remove\", \"remove the finalizer\"",
        bad: "The controller lets go of its workers.",
        good: "The controller removes the finalizers of its workers.",
    },
    Rule {
        pattern: r"\btr(y|ies|ied)\s+again\b",
        // kube-apiserver says so.
        unless_after: Some(r"latest version and\s+$"),
        unless_before: None,
        instead: "\"retry\", \"retries\", \"retried\"",
        bad: "A task is tried again.",
        good: "A task is retried.",
    },
    Rule {
        pattern: r"\bagain\s+and\s+again\b",
        unless_after: None,
        unless_before: None,
        instead: "\"repeatedly\"",
        bad: "It fails again and again.",
        good: "It fails repeatedly.",
    },
    Rule {
        pattern: r"\bdoors?\b",
        unless_after: None,
        unless_before: None,
        instead: "\"request\", \"annotation\"; the two ways to ask for a worker",
        bad: "The door of annotations.",
        good: "Requests by annotation.",
    },
    Rule {
        pattern: r"\bcarriers?\b",
        unless_after: None,
        unless_before: None,
        instead: "\"control loop\"",
        bad: "The carrier owns the core.",
        good: "The control loop owns the core.",
    },
    Rule {
        pattern: r"\blanes?\b",
        unless_after: None,
        // The label of a metric.
        unless_before: Some(r"^="),
        instead: "\"write queue\"; in CI \"group\"",
        bad: "The lane of writes.",
        good: "The write queue.",
    },
    Rule {
        pattern: r"\btaps?\b",
        unless_after: None,
        unless_before: None,
        instead: "say what it is: \"connection counter\", \"reader\"",
        bad: "A tap on the stream.",
        good: "A reader of the stream.",
    },
    Rule {
        pattern: r"\bkept\b",
        unless_after: None,
        unless_before: None,
        instead: "\"stored\", \"retained\", \"remains\", \"held\", \"preserved\"; fields that survive a trim: \"retained\"",
        bad: "What is kept of an object.",
        good: "The fields of an object that are retained.",
    },
    Rule {
        pattern: r"\bnews\b",
        unless_after: None,
        unless_before: None,
        instead: "\"pending events\", \"changes\"",
        bad: "The news of a round.",
        good: "The pending events of a round.",
    },
    Rule {
        pattern: r"\bstor(y|ies)\b",
        unless_after: None,
        unless_before: None,
        instead: "\"scenario\", \"history\", \"explanation\"",
        bad: "The story of a failed start.",
        good: "The explanation of a failed start.",
    },
    Rule {
        pattern: r"\bepitaphs?\b",
        unless_after: None,
        unless_before: None,
        instead: "\"last words\", \"final message\"",
        bad: "The epitaph of a worker.",
        good: "The last output of a worker.",
    },
    Rule {
        pattern: r"\b(wind(s|ing)?|wound)[\s_]up\b",
        unless_after: None,
        unless_before: None,
        instead: "\"finish\", \"clean up\", \"shut down\"",
        bad: "It winds up its attempts.",
        good: "It finishes its attempts.",
    },
    Rule {
        pattern: r"\bwent\b",
        unless_after: None,
        unless_before: Some(r"^\s+wrong\b"),
        instead: "\"was removed\", \"ended\", \"left\", \"disappeared\"",
        bad: "Its Lease went.",
        good: "Its Lease was removed. What went wrong.",
    },
    Rule {
        pattern: r"\b(lay|lays|laid|laying)[\s_]over\b",
        unless_after: None,
        unless_before: None,
        instead: "\"merge\", \"merged into\"",
        bad: "The template is laid over the Pod.",
        good: "The template is merged into the Pod.",
    },
    Rule {
        pattern: r"\btroubles?\b",
        unless_after: None,
        unless_before: None,
        instead: "\"problem\", \"failure\", \"error\", or the reason itself",
        bad: "The trouble is shown in the status.",
        good: "The error is shown in the status.",
    },
];

/// How many are allowed.
const PAGES: usize = 0;
const HELP: usize = 0;
const CRDS_AND_CHART: usize = 0;
const SOURCES: usize = 0;
const TESTS: usize = 0;

/// Stands for what is not prose: no pattern crosses it.
const CODE: char = '\u{1}';

struct Fault {
    file: String,
    line: usize,
    excerpt: String,
    instead: &'static str,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a directory, or the file itself, sorted.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut found: Vec<PathBuf> = entries.flat_map(|e| files(&e.unwrap().path())).collect();
    found.sort();
    found
}

/// Replaces a range by something that no pattern crosses; lines stay lines.
fn blank(prose: &mut [char], range: std::ops::Range<usize>) {
    for c in &mut prose[range] {
        if *c != '\n' {
            *c = CODE;
        }
    }
}

/// Blanks code in backticks. A span ends in its own paragraph, or it is none.
fn without_inline_code(prose: &mut [char]) {
    let mut at = 0;
    while at < prose.len() {
        if prose[at] != '`' {
            at += 1;
            continue;
        }
        let ticks = prose[at..].iter().take_while(|c| **c == '`').count();
        let (start, mut end, mut newlines) = (at, at + ticks, 0);
        at += ticks;
        while end + ticks <= prose.len() && newlines < 3 {
            newlines += usize::from(prose[end] == '\n');
            if prose[end..end + ticks].iter().all(|c| *c == '`') && prose.get(end + ticks) != Some(&'`') {
                blank(prose, start..end + ticks);
                at = end + ticks;
                break;
            }
            end += 1;
        }
    }
}

/// A Markdown page without its code. Targets of links go too: a file may have an old name.
fn markdown(text: &str) -> Vec<char> {
    let mut prose: Vec<char> = text.chars().collect();
    let (mut at, mut fenced) = (0, false);
    for line in text.split_inclusive('\n') {
        let length = line.chars().count();
        let fence = line.trim_start().starts_with("```");
        if fenced || fence {
            blank(&mut prose, at..at + length);
        }
        fenced ^= fence;
        at += length;
    }
    without_inline_code(&mut prose);
    let mut at = 0;
    while at + 1 < prose.len() {
        if prose[at] == ']' && prose[at + 1] == '(' {
            let end = prose[at..].iter().position(|c| *c == ')').map_or(prose.len(), |n| at + n);
            blank(&mut prose, at + 1..end);
        }
        at += 1;
    }
    prose
}

/// The comments and strings of a Rust source, everything else blanked. A comment of several lines is one run of prose.
fn rust(text: &str) -> Vec<char> {
    let source: Vec<char> = text.chars().collect();
    let mut prose: Vec<char> = source.iter().map(|c| if *c == '\n' { '\n' } else { CODE }).collect();
    let at = |n: usize| source.get(n).copied().unwrap_or('\0');
    let mut here = 0;
    while here < source.len() {
        match at(here) {
            '/' if at(here + 1) == '/' => {
                // The marker, and what indents it, become spaces so that a sentence may go over the end of a line.
                let first = (0..here).rev().take_while(|n| at(*n) == ' ').last().unwrap_or(here);
                let mut words = here + 2;
                while matches!(at(words), '/' | '!') {
                    words += 1;
                }
                prose[first..words].fill(' ');
                here = words;
                while here < source.len() && at(here) != '\n' {
                    prose[here] = at(here);
                    here += 1;
                }
            }
            'r' | 'b' if raw_string(&source, here).is_some() => {
                let (start, end) = raw_string(&source, here).unwrap();
                if is_prose(&source[start..end]) {
                    prose[start..end].copy_from_slice(&source[start..end]);
                }
                here = end + 1;
            }
            '"' => {
                here += 1;
                let start = here;
                while here < source.len() && at(here) != '"' {
                    let escaped = at(here) == '\\';
                    prose[here] = if escaped { ' ' } else { at(here) };
                    if escaped && at(here + 1) != '\n' {
                        here += 1;
                        prose[here] = ' ';
                    }
                    here += 1;
                }
                if !is_prose(&source[start..here.min(source.len())]) {
                    blank(&mut prose, start..here.min(source.len()));
                }
                here += 1;
            }
            // A character, not a lifetime.
            '\'' if at(here + 1) == '\\' => {
                here += 3;
                while here < source.len() && at(here) != '\'' {
                    here += 1;
                }
                here += 1;
            }
            '\'' if at(here + 2) == '\'' => here += 3,
            _ => here += 1,
        }
    }
    without_inline_code(&mut prose);
    // What a format string inserts.
    let mut open = None;
    for n in 0..prose.len() {
        match (prose[n], open) {
            ('{', _) => open = Some(n),
            ('}', Some(start)) => {
                blank(&mut prose, start..n + 1);
                open = None;
            }
            (c, Some(_)) if !(c.is_alphanumeric() || "_.:?#<>$".contains(c)) => open = None,
            _ => {}
        }
    }
    prose
}

/// A string without a space is a name or other data.
fn is_prose(string: &[char]) -> bool {
    string.iter().any(|c| c.is_whitespace())
}

/// Where the content of a raw string begins and ends, if one begins here.
fn raw_string(source: &[char], here: usize) -> Option<(usize, usize)> {
    if here > 0 && (source[here - 1].is_alphanumeric() || source[here - 1] == '_') {
        return None;
    }
    let after = here + usize::from(source[here] == 'b');
    if source.get(after) != Some(&'r') {
        return None;
    }
    let hashes = source[after + 1..].iter().take_while(|c| **c == '#').count();
    let start = after + 1 + hashes;
    if source.get(start) != Some(&'"') {
        return None;
    }
    let closes = |n: usize| source[n] == '"' && source[n + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    let end = (start + 1..source.len()).find(|n| closes(*n))?;
    Some((start + 1, end))
}

/// The faults of one piece of prose.
fn faults(file: &str, prose: &[char]) -> Vec<Fault> {
    let prose: String = prose.iter().collect();
    let mut found = Vec::new();
    for rule in RULES {
        let pattern = Regex::new(&format!("(?i){}", rule.pattern)).unwrap();
        let [after, before] =
            [rule.unless_after, rule.unless_before].map(|u| u.map(|u| Regex::new(&format!("(?i){u}")).unwrap()));
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
            found.push(Fault { file: file.to_owned(), line, excerpt, instead: rule.instead });
        }
    }
    found.sort_by_key(|f| f.line);
    found
}

fn faults_below(paths: &[&str], read: fn(&str) -> Vec<char>, extensions: &[&str]) -> Vec<Fault> {
    let all = paths.iter().map(|p| root().join(p)).filter(|p| p.exists()).flat_map(|p| files(&p));
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
    let mut found = faults_below(&["crds", "charts"], |text| text.chars().collect(), &["yaml", "tpl", "txt", "json"]);
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
    found.retain(|f| f.file != "tests/english.rs");
    at_most(TESTS, &found);
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
