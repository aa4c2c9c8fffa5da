//! A task's id as part of the name of a Dispatch, and as the name of a directory. Different tasks get different names.

use sha2::{Digest, Sha256};

/// Longest id, in bytes: a note of the Dispatch and an environment variable carry it.
pub const MAX_ID: usize = 1024;
/// Characters of an id that appear in the safe name that stands for it.
const MAX_SHOWN: usize = 40;
/// Bytes of the hash in such a name.
const HASH_BYTES: usize = 10;

/// Characters of a run's id in names and labels.
const RUN: usize = 8;

/// A run's id as it stands in names and labels.
pub fn run(id: &str) -> String {
    id.chars().filter(|c| *c != '-').take(RUN).collect()
}

/// Name of the Dispatch: a DNS label. It begins with the run, because runs may share a server. The line follows: it is what
/// tells tasks apart, and of dispatches made within the same second the API's order is that of their names. The id follows as far
/// as it can; all of it is in the note.
pub fn dispatch_name(run: &str, line: u64, id: &str) -> String {
    format!("{run}-{}", task_part(line, id))
}

/// What the name of a Dispatch says of the task.
pub fn task_part(line: u64, id: &str) -> String {
    let safe = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let shown: String = id.chars().take(MAX_SHOWN).map(|c| safe(c.to_ascii_lowercase())).collect();
    format!("{line:09}-{shown}").trim_end_matches('-').to_owned()
}

/// Name of the directory in `--out`: the id, if that is safe on every file system. A name that is made up has a tilde.
/// No name begins with a dot: those are Poolkeeper's own.
pub fn dir_name(id: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !id.is_empty() && id.len() <= 100 && !id.starts_with('.') && id.chars().all(safe) {
        return id.to_owned();
    }
    let shown: String = id.chars().take(MAX_SHOWN).map(|c| if safe(c) { c } else { '_' }).collect();
    format!("{}~{}", shown.trim_start_matches('.'), short_hash(id))
}

fn short_hash(id: &str) -> String {
    hex::encode(&Sha256::digest(id.as_bytes())[..HASH_BYTES])
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
        assert_eq!(
            (dispatch_name("3f2a91c0", 1, "line-1"), dir_name("line-1")),
            ("3f2a91c0-000000001-line-1".to_owned(), "line-1".to_owned())
        );
        assert_eq!(dir_name("Issue_7.json"), "Issue_7.json");
    }

    #[test]
    fn dispatches_are_dns_labels_in_the_order_of_the_lines() {
        let names: Vec<String> = (8..).zip(IDS).map(|(line, id)| dispatch_name("3f2a91c0", line, id)).collect();
        for name in &names {
            let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            assert!(name.len() <= 63 && name.ends_with(end) && name.chars().all(|c| end(c) || c == '-'), "{name}");
        }
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn directories_are_safe_and_unique() {
        let mut dirs: Vec<String> = IDS.iter().map(|id| dir_name(id)).collect();
        for dir in &dirs {
            assert!(!dir.starts_with('.') && !dir.contains('/') && dir.len() < 200, "{dir}");
        }
        dirs.sort();
        dirs.dedup();
        assert_eq!(dirs.len(), IDS.len());
    }
}
