use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::*;

/// Where other vocabularies stand: the words of Kubernetes' Pods, those of its API server, and the words in the tables of `top`.
const OTHERS: [&str; 4] = ["runtime/pod", "local/", "https", "cli/top/rows.rs"];

/// Word, meaning and remedy of every entry of the tables.
fn entries() -> Vec<(&'static str, &'static str, &'static str)> {
    let mut all = Vec::new();
    for condition in CONDITIONS {
        all.push((condition.type_, condition.meaning, condition.meaning));
        all.extend(condition.reasons.iter().map(|r| (r.reason, r.meaning, r.remedy)));
    }
    all.extend(Outcome::ALL.iter().map(|w| (w.as_str(), w.meaning(), w.remedy())));
    all.extend(NotReadyReason::ALL.iter().map(|w| (w.as_str(), w.meaning(), w.remedy())));
    all.extend(RequestReason::ALL.iter().map(|w| (w.as_str(), w.meaning(), w.remedy())));
    all.extend(EventReason::ALL.iter().map(|w| (w.as_str(), w.meaning(), w.remedy())));
    all
}

#[test]
fn every_word_has_a_meaning_and_a_remedy() {
    for (word, meaning, remedy) in entries() {
        for text in [meaning, remedy] {
            assert!(text.ends_with('.') && !text.contains("  "), "{word}: {text:?} is not a sentence");
        }
    }
}

#[test]
fn each_condition_has_each_reason_once() {
    let mut conditions = BTreeSet::new();
    for condition in CONDITIONS {
        assert!(conditions.insert((condition.kind, condition.type_)), "{} twice", condition.type_);
        let reasons: BTreeSet<_> = condition.reasons.iter().map(|r| r.reason).collect();
        assert_eq!(reasons.len(), condition.reasons.len(), "{}", condition.type_);
        let outcomes: Vec<_> = condition.outcomes.iter().flat_map(|_| Outcome::ALL).map(|o| o.as_str()).collect();
        assert!(outcomes.iter().all(|o| !reasons.contains(o)), "{}: an outcome is listed as a reason", condition.type_);
        let shared: Vec<_> = condition.shared().map(|r| r.reason).collect();
        assert_eq!(condition.shared_with.is_none(), shared.is_empty(), "{}", condition.type_);
        let twice = shared.iter().find(|word| reasons.contains(*word) || outcomes.contains(word));
        assert_eq!(twice, None, "{}: a shared reason is listed twice", condition.type_);
    }
}

/// The names of outcomes in objects come from serde, those in conditions from the table.
#[test]
fn outcomes_have_one_name() {
    for outcome in Outcome::ALL {
        assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
    }
}

#[test]
fn no_literal_of_the_vocabulary_stands_elsewhere() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let words: BTreeSet<&str> = entries().into_iter().map(|(word, ..)| word).collect();
    let (mut found, mut files) = (Vec::new(), 0);
    for path in sources(&src) {
        let name = path.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
        if name.starts_with("api/vocabulary") || OTHERS.iter().any(|o| name.starts_with(o)) {
            continue;
        }
        files += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        found.extend(uses(&text, &words).into_iter().map(|(line, word)| format!("src/{name}:{line}: \"{word}\"")));
    }
    assert!(files > 100, "only {files} files were read");
    assert!(found.is_empty(), "use the enums of api/vocabulary.rs instead:\n{}", found.join("\n"));
}

/// The suites on a node record each reason that an object or an Event had, and require its section in `docs/conditions.md`. The
/// list of what they produce has every reason of the page once: produced, or with a note why no suite produces it.
#[test]
fn every_reason_is_produced_by_a_suite_or_says_why_not() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/ci/cluster.d/produced.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let (mut listed, mut wrong) = (BTreeSet::new(), Vec::new());
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (word, why) = line.split_once(" # ").unwrap_or((line, "produced"));
        if why.trim().is_empty() || !listed.insert(word.to_owned()) {
            wrong.push(format!("no reason, or twice: {line}"));
        }
    }
    let mut words = BTreeSet::new();
    for c in CONDITIONS {
        let (kind, type_) = (c.kind, c.type_);
        let of = |status, reason: &str| format!("{kind} {type_}={} {reason}", Condition::status_word(status));
        words.extend(c.reasons.iter().map(|r| of(r.status, r.reason)));
        words.extend(c.shared().map(|r| of(false, r.reason)));
        if let Some(status) = c.outcomes {
            words.extend(Outcome::ALL.iter().map(|o| of(status, o.as_str())));
        }
    }
    for e in EventReason::ALL {
        words.extend(e.kinds().split(", ").map(|kind| format!("{kind} Event {e}")));
    }
    wrong.extend(words.difference(&listed).map(|w| format!("not in produced.txt: {w}")));
    wrong.extend(listed.difference(&words).map(|w| format!("not in the vocabulary: {w}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_search_for_literals_can_fail() {
    let words = BTreeSet::from(["Paused", "QueueFull"]);
    let text = "// \"Paused\"\nlet a = \"Paused\"; let b = '\"'; let c = 'a';\nlet d = \"not \\\" Paused\";\nlet e = r#\"Paused\"#;\n\
                format!(\"QueueFull: {n}\");\n#[cfg(test)]\nmod tests {let f = \"Paused\";";
    assert_eq!(uses(text, &words), [(2, "Paused"), (4, "Paused"), (5, "QueueFull")]);
}

/// All source files of the program, without those of tests, which spell the words out on purpose.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    let texts: Vec<String> = found.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let tests: BTreeSet<String> = texts.iter().flat_map(|text| test_modules(text)).collect();
    found.retain(|path| !tests.contains(&*path.file_stem().unwrap().to_string_lossy()));
    found
}

/// Names of the modules with files of their own that are compiled for tests only.
fn test_modules(text: &str) -> Vec<String> {
    let after = text.split("#[cfg(test)]").skip(1).filter_map(|t| t.lines().nth(1));
    after.filter_map(|line| Some(line.split_once("mod ")?.1.strip_suffix(';')?.to_owned())).collect()
}

/// Line and word of each string literal that is a word, or begins with one and a colon. Names of columns are no words.
fn uses<'a>(text: &str, words: &BTreeSet<&'a str>) -> Vec<(usize, &'a str)> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    for (at, literal) in literals(code) {
        let line = code[..at].lines().next_back().unwrap_or_default();
        let word = literal.split_once(": ").map_or(literal, |(word, _)| word);
        if let Some(word) = words.get(word).filter(|_| !line.ends_with(" name = \"") && !line.ends_with("(name = \"")) {
            found.push((code[..at].lines().count(), *word));
        }
    }
    found
}

/// The string literals of a file, each with the place of its first character.
fn literals(code: &str) -> Vec<(usize, &str)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(rest) = code.get(at..).filter(|rest| !rest.is_empty()) {
        let end_of = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |n| from + n);
        at += if rest.starts_with("//") {
            end_of("\n", 0)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("r#\"") {
            let end = end_of("\"#", 3);
            found.push((at + 3, &rest[3..end]));
            end + 2
        } else if rest.starts_with('"') {
            let (mut end, mut escaped) = (1, false);
            while let Some(c) = rest[end..].chars().next().filter(|c| escaped || *c != '"') {
                escaped = c == '\\' && !escaped;
                end += c.len_utf8();
            }
            found.push((at + 1, &rest[1..end]));
            end + 1
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
    }
    found
}

/// With POOLKEEPER_GENERATE=1 the page is written anew.
#[test]
fn the_page_of_conditions_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conditions.md");
    let page = page();
    if std::env::var_os("POOLKEEPER_GENERATE").is_some() {
        std::fs::write(path, &page).unwrap();
        return;
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == page, "docs/conditions.md is stale: just generate");
}

/// A section for each condition and each of its reasons, and for each other word.
fn page() -> String {
    let mut page = String::from(
        "<!-- Generated: POOLKEEPER_GENERATE=1 cargo test --lib the_page_of. Do not edit. -->\n# Conditions, reasons and Events\n\n\
         Each word in the statuses and Events of pools, workers and dispatches, and what to do about it. Types, statuses and reasons are \
         part of the API and do not change; messages may. [Operations](operations.md) says where to look.\n",
    );
    for condition in CONDITIONS {
        let (kind, type_) = (condition.kind, condition.type_);
        write!(page, "\n## {kind}: condition {type_}\n\n{}\n", condition.meaning).unwrap();
        for r in condition.reasons {
            let status = Condition::status_word(r.status);
            section(&mut page, &format!("{type_}={status}, {}", r.reason), r.meaning, r.remedy);
        }
        if let Some(status) = condition.outcomes.map(Condition::status_word) {
            let meaning = "An attempt ended, and the reason is its [outcome](#outcomes).";
            section(&mut page, &format!("{type_}={status}, an outcome"), meaning, "See the outcome.");
        }
        if let Some((kind, other)) = condition.shared_with {
            let status = Condition::status_word(false);
            let title = format!("{type_}={status}, a reason of {other}={status} of a {kind}");
            let words: Vec<String> = condition.shared().map(|r| format!("`{}`", r.reason)).collect();
            let meaning = format!(
                "It waits, for a reason that the condition {other} of the {kind} has too: {}. The message says more.",
                words.join(", ")
            );
            section(&mut page, &title, &meaning, &format!("See the condition {other} of the {kind}."));
        }
    }
    page.push_str("\n## Outcomes\n\nHow an attempt ended: `status.lastResult.outcome` of a Dispatch.\n");
    for w in Outcome::ALL {
        section(&mut page, w.as_str(), w.meaning(), w.remedy());
    }
    page.push_str(
        "\n## Workers that are not ready\n\nReasons in `status.notReady` of a pool. A worker that is starting can have the \
         first word of its runtime's message instead, such as `ErrImagePull`.\n\n| reason | meaning | what to do |\n|---|---|---|\n",
    );
    for w in NotReadyReason::ALL {
        writeln!(page, "| {w} | {} | {} |", w.meaning(), w.remedy()).unwrap();
    }
    page.push_str(
        "\n## Requests that wait\n\nThe first word of a message of RequestsAccepted, where it is one of these.\n\n\
         | word | meaning | what to do |\n|---|---|---|\n",
    );
    for w in RequestReason::ALL {
        writeln!(page, "| {w} | {} | {} |", w.meaning(), w.remedy()).unwrap();
    }
    page.push_str("\n## Events\n\n| reason | recorded on | meaning | what to do |\n|---|---|---|---|\n");
    for w in EventReason::ALL {
        writeln!(page, "| {w} | {} | {} | {} |", w.kinds(), w.meaning(), w.remedy()).unwrap();
    }
    page
}

fn section(page: &mut String, title: &str, meaning: &str, remedy: &str) {
    write!(page, "\n### {title}\n\n{meaning}\n").unwrap();
    if remedy != "Nothing." {
        write!(page, "\nWhat to do: {remedy}\n").unwrap();
    }
}
