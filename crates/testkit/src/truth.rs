//! What the tasks themselves saw, whatever is reported of them.
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A task says when it begins, that it runs, and when it ends, with its name, its worker's container or directory, and a name of its
/// own. It ends once UNTIL succeeds.
const TASK: &str = r#"#!/bin/sh
name=${1:-$POOLKEEPER_TASK_ID}
slot=${TMPDIR:-$(cat /proc/sys/kernel/hostname)}
me="$name $slot $POOLKEEPER_ATTEMPT.$$"
echo "begin $me" >>@DIR@/log
n=0
until UNTIL; do
  n=$((n + 1))
  sleep 0.05
  echo "runs $me" >>@DIR@/log
done
echo "end $me" >>@DIR@/log
"#;

/// The directory in which tasks write what they see. Workers have it at the same path.
pub struct Truth(PathBuf);

impl Truth {
    /// `until`: when a task ends, in shell. `@DIR@` in it is the directory, and `$n` counts in steps of 50 ms.
    pub fn new(dir: &Path, until: &str) -> Self {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("log"), "").unwrap();
        let command = dir.join("task.sh");
        fs::write(&command, TASK.replace("UNTIL", until).replace("@DIR@", dir.to_str().unwrap())).unwrap();
        fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir.to_owned())
    }

    pub fn dir(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub fn command(&self) -> String {
        self.0.join("task.sh").display().to_string()
    }

    /// A file of tasks, which are called `PREFIX-N`.
    pub fn tasks(&self, prefix: &str, count: usize) -> PathBuf {
        let file = self.0.join(format!("tasks.{prefix}"));
        let lines: String = (1..=count).map(|n| format!("{prefix}-{n}\n")).collect();
        fs::write(&file, lines).unwrap();
        file
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.0.join("log")).unwrap()
    }

    /// How many lines begin so.
    pub fn count(&self, word: &str) -> usize {
        self.log().lines().filter(|line| line.starts_with(word)).count()
    }

    /// No task ran while a later attempt of it ran, nor while a later task ran in its worker.
    #[track_caller]
    pub fn check(&self) {
        let log = self.log();
        let mut newest: BTreeMap<&str, &str> = BTreeMap::new();
        for line in log.lines() {
            let (what, me) = line.split_once(' ').unwrap();
            let words: Vec<&str> = me.split(' ').collect();
            let [task, slot, _] = words[..] else { panic!("a torn line: {line:?}") };
            for place in [task, slot] {
                if what == "begin" {
                    newest.insert(place, me);
                }
                assert_eq!(newest.get(place), Some(&me), "{line}: two ran at a time\n{}", self.said());
            }
        }
    }

    /// Begins and ends, for a message.
    pub fn said(&self) -> String {
        self.log().lines().filter(|line| !line.starts_with("runs ")).fold(String::new(), |all, line| all + line + "\n")
    }

    /// How often each task ran to its end.
    pub fn ends(&self) -> BTreeMap<String, usize> {
        let mut ends = BTreeMap::new();
        for line in self.log().lines() {
            if let Some(task) = line.strip_prefix("end ").and_then(|me| me.split(' ').next()) {
                *ends.entry(task.to_owned()).or_default() += 1;
            }
        }
        ends
    }
}
