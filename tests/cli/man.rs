//! `poolkeeper man`: a page for each command, which `man` renders without a complaint.
//!
//! Where there is no `man` the second half is skipped, loudly; `POOLKEEPER_REQUIRE_MAN=1` makes that a failure.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::{Place, Ran};

/// What `man` prints for a page, without its bold letters.
fn rendered(page: &Path) -> String {
    let mut man = Command::new("man");
    // A width at which no example is cut and no word divided.
    man.args(["--warnings", "--no-hyphenation", "--no-justification", "-l"]).arg(page);
    man.envs([("MANWIDTH", "200"), ("LC_ALL", "C.UTF-8"), ("GROFF_NO_SGR", "1"), ("MANPAGER", "cat")]);
    let ran = Ran::from(man.output().unwrap()).exits(0);
    assert_eq!(ran.stderr, "", "{}", page.display());
    let mut plain = String::new();
    for letter in ran.stdout.chars() {
        if letter == '\u{8}' {
            plain.pop();
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[test]
fn each_command_has_a_manual_page() {
    let place = Place::new();
    let dir = place.path("share/man/man1");
    Ran::from(place.command(&["man", "--dir", dir.to_str().unwrap()]).output().unwrap()).exits(0);
    let pages: BTreeSet<String> =
        std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let reference = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).unwrap();
    let commands: BTreeSet<String> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## ").filter(|heading| heading.starts_with("poolkeeper")))
        .map(|heading| format!("{}.1", heading.replace(' ', "-")))
        .collect();
    assert_eq!(pages, commands);

    if Command::new("man").arg("--version").output().is_err() {
        assert!(std::env::var_os("POOLKEEPER_REQUIRE_MAN").is_none(), "there is no man");
        eprintln!("SKIPPED: there is no man");
        return;
    }
    for page in pages {
        let text = rendered(&dir.join(&page));
        let command = page.trim_end_matches(".1");
        assert!(text.contains(&format!("NAME\n       {command} - ")), "{page}:\n{text}");
        assert!(text.contains("\nSYNOPSIS\n"), "{page}:\n{text}");
    }
    // What a library would fill as prose stays as it is in the help.
    let run = rendered(&dir.join("poolkeeper-run.1"));
    assert!(run.contains("\n       poolkeeper run --local --workers 3 --tasks urls.txt -- ./fetch.sh\n"), "{run}");
    assert!(run.contains("\n       one command                its own; 128 + signal; 124 timed out\n"), "{run}");
    assert!(run.contains("\nSEE ALSO\n       poolkeeper(1)\n"), "{run}");
    let whole = rendered(&dir.join("poolkeeper.1"));
    assert!(whole.contains("\n       75     Of a batch, only rate-limited tasks are left.\n"), "{whole}");
    assert!(!whole.contains("__complete"), "hidden commands stay hidden: {whole}");
}

#[test]
fn a_file_in_the_place_of_the_directory_is_named() {
    let place = Place::new();
    place.write("file", "");
    let ran = Ran::from(place.command(&["man", "--dir", "file/man1"]).output().unwrap()).exits(1);
    assert!(ran.stderr.contains("cannot make the directory file/man1"), "{}", ran.stderr);
}
