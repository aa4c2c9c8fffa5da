//! The files of a directory.

use std::path::{Path, PathBuf};

/// Every file below a directory, or the file itself, sorted.
pub fn below(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut found: Vec<PathBuf> = entries.flat_map(|entry| below(&entry.unwrap().path())).collect();
    found.sort();
    found
}

/// The Rust sources below a directory, sorted.
pub fn sources(path: &Path) -> Vec<PathBuf> {
    below(path).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs")).collect()
}
