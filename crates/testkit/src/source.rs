//! Reads Rust sources as far as tests of their structure need: which paths a file names, without comments, strings and
//! test modules.

use std::collections::BTreeSet;

/// The code of one file.
pub struct Source {
    /// Each path that the code names, segment by segment: `a::B` and `a::c` of `use a::{B, c as d};`. A single name is a
    /// path too.
    pub paths: Vec<Vec<String>>,
    /// (last name, path) of each `pub use`. The last name is `*` for a glob.
    pub exports: Vec<(String, Vec<String>)>,
    /// The names of the items that it defines.
    pub defines: BTreeSet<String>,
    /// The modules that only exist in tests, such as `tests` of `#[cfg(test)] mod tests;`.
    pub test_modules: BTreeSet<String>,
    /// The modules whose code is in this file.
    pub inline_modules: BTreeSet<String>,
}

impl Source {
    /// Reads the text of a file, all of it.
    pub fn read(text: &str) -> Self {
        Self::of(&tokens(text), BTreeSet::new())
    }

    /// Reads the text of a file, except what is under `#[cfg(test)]`.
    pub fn read_without_tests(text: &str) -> Self {
        let (tokens, test_modules) = without_tests(&tokens(text));
        Self::of(&tokens, test_modules)
    }

    fn of(tokens: &[String], test_modules: BTreeSet<String>) -> Self {
        let mut source = Self {
            paths: Vec::new(),
            exports: Vec::new(),
            defines: BTreeSet::new(),
            test_modules,
            inline_modules: BTreeSet::new(),
        };
        let mut at = 0;
        while at < tokens.len() {
            let word = tokens[at].as_str();
            let next = tokens.get(at + 1).map(String::as_str);
            match (word, next) {
                // A visibility such as `pub(in crate::a)` imports nothing.
                ("pub", Some("(")) => at = after_group(tokens, at + 1),
                ("pub", _) => at += 1,
                ("mod", Some(name)) => {
                    if tokens.get(at + 2).is_some_and(|t| t == "{") {
                        source.inline_modules.insert(name.into());
                    }
                    at += 2;
                }
                ("use", _) => {
                    let public = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
                    let (paths, end) = use_tree(tokens, at + 1, &[]);
                    for (name, path) in paths {
                        if public {
                            source.exports.push((name, path.clone()));
                        }
                        source.paths.push(path);
                    }
                    at = end;
                }
                ("struct" | "enum" | "fn" | "trait" | "const" | "type" | "static", Some(name)) if is_name(name) => {
                    source.defines.insert(name.into());
                    at += 2;
                }
                _ if is_name(word) => {
                    let mut path = vec![word.to_owned()];
                    at += 1;
                    while tokens.get(at).is_some_and(|t| t == "::") && tokens.get(at + 1).is_some_and(|t| is_name(t)) {
                        path.push(tokens[at + 1].clone());
                        at += 2;
                    }
                    source.paths.push(path);
                }
                _ => at += 1,
            }
        }
        source
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads what follows `use`, or one branch of it, and says where it ends: (name here, path) of each import.
fn use_tree(tokens: &[String], mut at: usize, prefix: &[String]) -> (Vec<(String, Vec<String>)>, usize) {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                let mut found = Vec::new();
                at += 1;
                while tokens.get(at).is_some_and(|t| t != "}") {
                    let (mut branch, end) = use_tree(tokens, at, &path);
                    found.append(&mut branch);
                    at = if tokens.get(end).is_some_and(|t| t == ",") { end + 1 } else { end };
                }
                return (found, at + 1);
            }
            Some("::") => at += 1,
            Some("as") => {
                let name = tokens.get(at + 1).cloned().unwrap_or_default();
                return (vec![(name, path)], at + 2);
            }
            // `a::{self}` is `a`.
            Some("self") if !path.is_empty() => at += 1,
            Some(token) if is_name(token) || token == "*" => {
                path.push(token.to_owned());
                at += 1;
            }
            // `use<'a>` imports nothing.
            _ if path.is_empty() => return (Vec::new(), at),
            _ => return (vec![(path.last().cloned().unwrap_or_default(), path)], at),
        }
    }
}

/// The index after the group in brackets that opens at `at`.
fn after_group(tokens: &[String], at: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// Leaves out each item under `#[cfg(test)]`, and names the modules among them.
fn without_tests(tokens: &[String]) -> (Vec<String>, BTreeSet<String>) {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut modules = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].iter().map(String::as_str).take(CFG_TEST.len()).eq(CFG_TEST) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += CFG_TEST.len();
        // The item ends at a `;`, or with its first block.
        while at < tokens.len() {
            match tokens[at].as_str() {
                "mod" => {
                    modules.insert(tokens[at + 1].clone());
                    at += 1;
                }
                "(" | "[" => at = after_group(tokens, at),
                "{" => {
                    at = after_group(tokens, at);
                    break;
                }
                ";" => {
                    at += 1;
                    break;
                }
                _ => at += 1,
            }
        }
    }
    (kept, modules)
}

/// The words and signs of a source, without comments and literals. `::` is one sign.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let is = |at: usize, expected: &str| expected.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if is(at, "//") {
            at = (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len());
        } else if is(at, "/*") {
            at = (at + 2..chars.len()).find(|i| is(*i, "*/")).map_or(chars.len(), |i| i + 2);
        } else if c == '"' {
            at = after_string(&chars, at);
        } else if c == '\'' {
            // A lifetime has no second quote; a character has it right after, or is escaped.
            at = match (chars.get(at + 1), chars.get(at + 2)) {
                (Some('\\'), _) => (at + 3..chars.len()).find(|i| chars[*i] == '\'').map_or(chars.len(), |i| i + 1),
                (_, Some('\'')) => at + 3,
                _ => (at + 1..chars.len())
                    .find(|i| !chars[*i].is_alphanumeric() && chars[*i] != '_')
                    .unwrap_or(chars.len()),
            };
        } else if c.is_alphanumeric() || c == '_' {
            let end =
                (at..chars.len()).find(|i| !chars[*i].is_alphanumeric() && chars[*i] != '_').unwrap_or(chars.len());
            let word: String = chars[at..end].iter().collect();
            let hashes = (end..chars.len()).take_while(|i| chars[*i] == '#').count();
            if ["r", "br", "cr"].contains(&word.as_str()) && chars.get(end + hashes) == Some(&'"') {
                let close = format!("\"{}", "#".repeat(hashes));
                let from = end + hashes + 1;
                at = (from..chars.len()).find(|i| is(*i, &close)).map_or(chars.len(), |i| i + close.len());
            } else {
                tokens.push(word);
                at = end;
            }
        } else if is(at, "::") {
            tokens.push("::".into());
            at += 2;
        } else {
            if !c.is_whitespace() {
                tokens.push(c.into());
            }
            at += 1;
        }
    }
    tokens
}

fn after_string(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}
