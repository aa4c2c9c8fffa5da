//! `result.json`: how a task ended. It is there, by rename, before the end is reported, so a run that dies in between
//! runs nothing twice when it is resumed.

use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::api::dispatch::Outcome;
use crate::supervisor::spent::Spent;

/// Name of the file.
pub const FILE: &str = "result.json";

/// How a task ended.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TaskResult {
    /// The task's id, as it was written.
    pub id: String,
    /// [`hash`] of task and command.
    pub hash: String,
    /// How the last attempt ended.
    pub outcome: Outcome,
    /// Exit code of the command. None: it was not seen to exit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What was reported with the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the last attempt cost, as its program said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
    /// How many attempts there were.
    pub attempts: i32,
    /// Worker of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// When the last attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl TaskResult {
    /// True if a resumed run has nothing to do: the task was the cause of its end, not its worker or a limit.
    pub const fn is_final(&self) -> bool {
        matches!(self.outcome, Outcome::Succeeded | Outcome::Failed | Outcome::TimedOut)
    }

    /// Reads it from a task's directory. None: there is none, or one without content.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(dir.join(FILE)) {
            Ok(bytes) if is_emptied(&bytes) => Ok(None),
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it into a task's directory: whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let new = dir.join(".result.json.new");
        let mut file = std::fs::File::create(&new)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        // Else the new name may be on the disk before what it names, and a power loss leaves a file without content.
        file.sync_all()?;
        std::fs::rename(new, dir.join(FILE))
    }
}

/// True for a file that is as a power loss leaves one whose content did not reach the disk.
pub fn is_emptied(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Hash of a task and the command that is run for it, as `sha256:…`.
pub fn hash(task: Option<&str>, command: &[String]) -> String {
    let mut hasher = Sha256::new();
    // Lengths go first, so no two lists of words read the same.
    for word in task.into_iter().chain(command.iter().map(String::as_str)) {
        hasher.update((word.len() as u64).to_be_bytes());
        hasher.update(word.as_bytes());
    }
    format!("sha256:{}", hex::encode(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(TaskResult::read(dir.path()).unwrap(), None);
        let result = TaskResult {
            id: "a/b".into(),
            hash: hash(Some("x"), &[]),
            outcome: Outcome::Failed,
            exit_code: Some(3),
            message: Some("exit code 3".into()),
            spent: None,
            attempts: 2,
            worker: Some("pool-0".into()),
            started_at: None,
            finished_at: Timestamp::UNIX_EPOCH,
        };
        result.write(dir.path()).unwrap();
        assert_eq!(TaskResult::read(dir.path()).unwrap(), Some(result));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(TaskResult::read(dir.path()).is_err());
    }

    #[test]
    fn the_hash_tells_words_apart() {
        let words = |w: &[&str]| w.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let hashes = [
            hash(Some("a"), &words(&["b", "c"])),
            hash(Some("a"), &words(&["bc"])),
            hash(Some("ab"), &words(&["c"])),
            hash(Some(""), &words(&["abc"])),
        ];
        let mut unique = hashes.to_vec();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), hashes.len());
    }
}
