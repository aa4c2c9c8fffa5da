//! A task's id as the name of a Dispatch and as the name of a directory. Different ids get different names.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Longest id, in bytes: a note of the Dispatch and an environment variable carry it.
pub const MAX_ID: usize = 1024;
/// Longest name that is used as it is: a DNS label.
const MAX_PLAIN: usize = 63;
/// Characters of an id that are kept in a name that was made up for it.
const MAX_KEPT: usize = 40;
/// Bytes of the hash in such a name.
const HASH_BYTES: usize = 10;

/// Name of the Dispatch: the id, if that is a DNS label. A name that is made up has a dot, which no DNS label has.
pub fn dispatch_name(id: &str) -> String {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let plain = id.len() <= MAX_PLAIN
        && id.starts_with(inner)
        && id.ends_with(inner)
        && id.chars().all(|c| inner(c) || c == '-');
    if plain {
        return id.to_owned();
    }
    let kept: String =
        id.chars().take(MAX_KEPT).map(|c| c.to_ascii_lowercase()).map(|c| if inner(c) { c } else { '-' }).collect();
    let kept = kept.trim_matches('-');
    format!("{}.{}", if kept.is_empty() { "task" } else { kept }, short_hash(id))
}

/// Name of the directory in `--out`: the id, if that is safe on every file system. A name that is made up has a tilde.
/// No name begins with a dot: those are Poolkeeper's own.
pub fn dir_name(id: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !id.is_empty() && id.len() <= 100 && !id.starts_with('.') && id.chars().all(safe) {
        return id.to_owned();
    }
    let kept: String = id.chars().take(MAX_KEPT).map(|c| if safe(c) { c } else { '_' }).collect();
    format!("{}~{}", kept.trim_start_matches('.'), short_hash(id))
}

fn short_hash(id: &str) -> String {
    hex(&Sha256::digest(id.as_bytes())[..HASH_BYTES])
}

/// Lower case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 14] = [
        "line-1",
        "a",
        "A",
        "a.b",
        "a/b",
        "a_b",
        "../../etc/passwd",
        ".",
        ".poolkeeper",
        "-",
        "ä",
        "a b",
        "task",
        "https://example.org/a-very/long/path?with=many&parameters=and_more#and-a-fragment-at-its-end-to-make-it-longer",
    ];

    #[test]
    fn what_can_stay_stays() {
        assert_eq!((dispatch_name("line-1"), dir_name("line-1")), ("line-1".to_owned(), "line-1".to_owned()));
        assert_eq!(dir_name("Issue_7.json"), "Issue_7.json");
    }

    #[test]
    fn names_are_valid_and_unique() {
        let label = |l: &str| {
            let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            l.len() <= 63 && l.starts_with(end) && l.ends_with(end) && l.chars().all(|c| end(c) || c == '-')
        };
        let mut names: Vec<String> = IDS.iter().map(|id| dispatch_name(id)).collect();
        for name in &names {
            assert!(name.split('.').all(label), "{name}");
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), IDS.len());
        let mut dirs: Vec<String> = IDS.iter().map(|id| dir_name(id)).collect();
        for dir in &dirs {
            assert!(!dir.starts_with('.') && !dir.contains('/') && dir.len() < 200, "{dir}");
        }
        dirs.sort();
        dirs.dedup();
        assert_eq!(dirs.len(), IDS.len());
    }
}
