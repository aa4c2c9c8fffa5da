//! What the tasks themselves saw, whatever is reported of them.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kube::ResourceExt;
use poolkeeper::api::Dispatch;

/// A task holds a lock for as long as it lives: if it is taken, another attempt is running. Each worker may be called
/// seven times, then it meets a limit.
const TASK: &str = r#"#!/usr/bin/env bash
exec 8>"DIR/lock.$1"
flock -n 8 || echo "overlap $1" >>DIR/log
echo "start $1" >>DIR/log
calls=$(cat "$TMPDIR/calls" 2>/dev/null)
if [ "${calls:-0}" -ge 7 ]; then
  echo 0 >"$TMPDIR/calls"
  echo "limit $1" >>DIR/log
  exit 75
fi
echo $((${calls:-0} + 1)) >"$TMPDIR/calls"
sleep 0.3
echo "end $1" >>DIR/log
"#;

/// The directory in which tasks write what they see.
pub struct Truth(PathBuf);

impl Truth {
    pub fn new(dir: &Path, tasks: usize) -> Self {
        fs::create_dir(dir).unwrap();
        let lines: String = (1..=tasks).map(|n| format!("task-{n}\n")).collect();
        fs::write(dir.join("tasks"), lines).unwrap();
        let command = dir.join("task.sh");
        fs::write(&command, TASK.replace("DIR", dir.to_str().unwrap())).unwrap();
        fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir.to_owned())
    }

    pub fn tasks(&self) -> PathBuf {
        self.0.join("tasks")
    }

    pub fn command(&self) -> PathBuf {
        self.0.join("task.sh")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.join("log")).unwrap_or_default()
    }

    pub fn lines(&self) -> usize {
        self.log().lines().count()
    }

    fn count(&self, what: &str) -> usize {
        self.log().lines().filter(|line| *line == what).count()
    }

    /// How often a task met a limit.
    pub fn limits(&self) -> usize {
        self.log().lines().filter(|line| line.starts_with("limit ")).count()
    }

    /// Judges a task that succeeded. `lost`: the attempts of which it was not known whether they ran to their end.
    #[track_caller]
    pub fn judge(&self, task: &str, lost: i32) {
        assert_eq!(self.count(&format!("overlap {task}")), 0, "two attempts of {task} ran at the same time");
        let ends = self.count(&format!("end {task}"));
        let most = 1 + usize::try_from(lost).unwrap();
        assert!((1..=most).contains(&ends), "{task} ran to its end {ends} times, with {lost} attempts lost");
    }

    /// What is not done yet, for a message.
    pub fn said(&self, all: &[Dispatch]) -> String {
        let open = all.iter().filter(|d| d.status.as_ref().is_none_or(|s| !s.phase.is_final()));
        let open: Vec<String> = open.map(|d| format!("{}: {:?}", d.name_any(), d.status)).collect();
        format!("{} open: {open:?}", open.len())
    }
}
