//! The pages of the site: `docs/SUMMARY.md` lists each, and links in them and in the pages next to them lead somewhere.
//!
//! `scripts/ci/site.sh` follows the links of the finished site, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

/// Where this repository is: a link there is looked up here.
const HOME: &str = "https://github.com/poolkeeper/poolkeeper/blob/main/";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Markdown files below a directory, from the root.
fn pages(dir: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(root().join(dir)).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(root()).unwrap().to_owned();
        if path.is_dir() {
            found.extend(pages(relative.to_str().unwrap()));
        } else if path.extension().is_some_and(|e| e == "md") {
            found.insert(relative);
        }
    }
    found
}

/// The lines of a page outside of fenced blocks, with their numbers.
fn lines(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    page.lines().enumerate().filter_map(move |(n, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((n + 1, line))
    })
}

/// The names by which links find the headings of a page, as GitHub and mdBook make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let link = Regex::new(r"\[([^\]]*)\]\([^)]*\)").unwrap();
    let mut names = BTreeSet::new();
    for (_, line) in lines(page) {
        let Some(title) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#')) else { continue };
        let title = link.replace_all(title.trim(), "$1").to_lowercase();
        let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
        let name: String = title.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect();
        let times = seen.entry(name.clone()).or_default();
        names.insert(if *times == 0 { name } else { format!("{name}-{times}") });
        *times += 1;
    }
    names
}

/// The targets of links and pictures of a page, with their lines. A link may go on in the next line.
fn links(page: &str) -> Vec<(usize, String)> {
    let target = Regex::new(r#"\]\(\s*([^)\s]+)\s*\)|(?:href|src|srcset)="([^"]+)""#).unwrap();
    let code = Regex::new(r"`[^`]*`").unwrap();
    let mut found = Vec::new();
    for (n, line) in lines(page) {
        let plain = code.replace_all(line, "");
        found.extend(target.captures_iter(&plain).map(|c| (n, c.get(1).or(c.get(2)).unwrap().as_str().to_owned())));
    }
    found
}

/// `a/b/../c` as `a/c`. None: it leaves the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if !clean.pop() => return None,
            Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    Some(clean)
}

/// What is wrong with a link in `file`.
fn fault(file: &Path, link: &str) -> Option<String> {
    let relative = link.strip_prefix(HOME);
    if relative.is_none() && link.contains("://") {
        return link.starts_with("http://").then(|| "use https".to_owned());
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = match relative {
        Some(_) => PathBuf::from(path.strip_prefix(HOME)?),
        None if path.is_empty() => file.to_owned(),
        None => match normal(&file.parent()?.join(path)) {
            Some(path) => path,
            None => return Some("it leaves the repository".to_owned()),
        },
    };
    if relative.is_none() && file.starts_with("docs") && !path.starts_with("docs") {
        return Some(format!("the site has no files from outside of docs/: link to {HOME}{}", path.display()));
    }
    if !root().join(&path).exists() {
        return Some(format!("there is no {}", path.display()));
    }
    if anchor.is_empty() {
        return None;
    }
    let names = std::fs::read_to_string(root().join(&path)).map(|page| anchors(&page)).unwrap_or_default();
    (!names.contains(anchor)).then(|| format!("{} has no heading #{anchor}", path.display()))
}

#[test]
fn links_lead_somewhere() {
    let mut files = pages("docs");
    files.extend(pages("charts"));
    files.extend(pages("examples"));
    files.extend(["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "model/README.md"].map(PathBuf::from));
    let (mut count, mut wrong) = (0, Vec::new());
    for file in &files {
        let page = std::fs::read_to_string(root().join(file)).unwrap();
        for (line, link) in links(&page) {
            count += 1;
            wrong.extend(fault(file, &link).map(|why| format!("{}:{line}: {link}: {why}", file.display())));
        }
    }
    assert!(count > 300, "only {count} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_summary_lists_each_page_once() {
    let path = root().join("docs/SUMMARY.md");
    let mut text = std::fs::read_to_string(&path).unwrap();
    if std::env::var_os("POOLKEEPER_GENERATE").is_some() {
        text = with_decisions(&text);
        std::fs::write(&path, &text).unwrap();
    }
    let mut listed = BTreeSet::new();
    for (line, link) in links(&text) {
        assert!(listed.insert(Path::new("docs").join(&link)), "docs/SUMMARY.md:{line}: {link} is listed twice");
    }
    let mut all = pages("docs");
    all.remove(Path::new("docs/SUMMARY.md"));
    let missing: Vec<_> = all.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "docs/SUMMARY.md does not list {missing:?}: just generate adds decisions; add others by hand"
    );
    assert!(text == with_decisions(&text), "the titles of decisions in docs/SUMMARY.md are stale: just generate");
}

/// The summary with its last section written anew: a line for each decision, with the title that its page has.
fn with_decisions(summary: &str) -> String {
    let head: Vec<_> = summary.lines().filter(|line| !line.contains("](decisions/0")).collect();
    let mut lines = String::new();
    for file in pages("docs/decisions").iter().filter(|file| !file.ends_with("README.md")) {
        let page = std::fs::read_to_string(root().join(file)).unwrap();
        let title = page.lines().next().unwrap().trim_start_matches("# ");
        writeln!(lines, "  - [{title}]({})", file.strip_prefix("docs").unwrap().display()).unwrap();
    }
    format!("{}\n{lines}", head.join("\n").trim_end())
}

#[test]
fn wrong_links_are_found() {
    let page = Path::new("docs/decisions/README.md");
    for (link, said) in [
        ("../no-such.md", "there is no docs/no-such.md"),
        ("../run.md#no-such-heading", "docs/run.md has no heading #no-such-heading"),
        ("#no-such-heading", "docs/decisions/README.md has no heading"),
        ("../../README.md", "the site has no files from outside of docs/"),
        ("../../../README.md", "it leaves the repository"),
        ("http://example.com", "use https"),
        ("https://github.com/poolkeeper/poolkeeper/blob/main/NO.md", "there is no NO.md"),
    ] {
        let why = fault(page, link).unwrap_or_default();
        assert!(why.starts_with(said), "{link}: {why:?}");
    }
    for link in ["../run.md#--out-and---resume", "README.md", "https://example.com", "../timeline-dark.png"] {
        assert_eq!(fault(page, link), None, "{link}");
    }
    let found = links("[a](b.md) and `[c](d.md)`\n```\n[e](f.md)\n```\n<img src=\"g.png\">");
    assert_eq!(found, [(1, "b.md".to_owned()), (5, "g.png".to_owned())]);
}
