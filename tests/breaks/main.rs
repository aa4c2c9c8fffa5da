//! The deliberate breaks of this directory fit the sources. `scripts/breaks.sh` applies them and shows that the simulation
//! finds each, which takes many minutes. That a change has moved the lines of one is found here at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

/// The file of a hunk, and the lines that it replaces.
fn hunks(patch: &str) -> Vec<(String, String)> {
    let (mut file, mut hunks) = (String::new(), Vec::new());
    // What comes before the first file is for people.
    let lines = patch.lines().skip_while(|line| !line.starts_with("--- a/"));
    for line in lines {
        if let Some(path) = line.strip_prefix("--- a/") {
            file = path.to_owned();
        } else if line.starts_with("@@ ") {
            hunks.push((file.clone(), String::new()));
        } else if let Some(old) = line.strip_prefix([' ', '-']) {
            let (_, text) = hunks.last_mut().expect("a hunk begins with @@");
            text.push_str(old);
            text.push('\n');
        }
    }
    hunks
}

#[test]
fn every_break_fits_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patches = std::fs::read_dir(root.join("tests/breaks")).unwrap().map(|entry| entry.unwrap().path());
    let patches: Vec<_> = patches.filter(|path| path.extension().is_some_and(|e| e == "patch")).collect();
    assert!(patches.len() > 10, "{} breaks", patches.len());
    for patch in patches {
        let hunks = hunks(&std::fs::read_to_string(&patch).unwrap());
        assert!(!hunks.is_empty(), "{} changes nothing", patch.display());
        for (file, old) in hunks {
            let source = std::fs::read_to_string(root.join(&file)).unwrap_or_else(|e| panic!("{file}: {e}"));
            let name = patch.file_name().unwrap().display();
            assert!(source.contains(&old), "{name} does not fit {file}: write the change anew. It looks for\n{old}");
        }
    }
}
