//! The files of every attempt of a task: `ID/attempt-N/stdout` and the like. Those of the newest are in `ID` too, as links to the
//! same content.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::result::TaskResult;
use crate::supervisor::spent::Spent;

/// What the names of their directories start with.
const PREFIX: &str = "attempt-";

/// The directory of an attempt in that of its task.
pub fn dir(task: &Path, number: i32) -> PathBuf {
    task.join(format!("{PREFIX}{number}"))
}

/// The highest number of an attempt whose files are there; 0 if there is none. The attempts of a run that goes on with
/// another one have the numbers after that.
pub fn newest(task: &Path) -> i32 {
    let number = |entry: io::Result<fs::DirEntry>| {
        let name = entry.ok()?.file_name();
        name.to_str()?.strip_prefix(PREFIX)?.parse::<i32>().ok().filter(|number| *number > 0)
    };
    fs::read_dir(task).into_iter().flatten().filter_map(number).max().unwrap_or_default()
}

/// What the attempts cost whose results are there. Results that cannot be read count as nothing.
pub fn spent(task: &Path) -> Spent {
    let results = (1..=newest(task)).filter_map(|number| TaskResult::read(&dir(task, number)).ok().flatten());
    results.filter_map(|result| result.spent).fold(Spent::default(), Spent::plus)
}

/// Makes a file of an attempt that of its task, in one step: a crash leaves the former one or this one.
///
/// # Errors
/// The file system has neither hard links nor symbolic ones, or is full.
pub fn show(task: &Path, number: i32, file: &str) -> io::Result<()> {
    let new = task.join(format!(".{file}.new"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let linked = fs::hard_link(dir(task, number).join(file), &new);
    // Some network file systems have no hard links.
    linked.or_else(|_| symlink(format!("{PREFIX}{number}/{file}"), &new))?;
    fs::rename(new, task.join(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_shown_and_the_others_stay() {
        let task = tempfile::tempdir().unwrap();
        let task = task.path();
        assert_eq!(newest(task), 0);
        for number in [1, 2, 10] {
            fs::create_dir(dir(task, number)).unwrap();
            fs::write(dir(task, number).join("stdout"), number.to_string()).unwrap();
            // As a crash between the two steps leaves it.
            fs::write(task.join(".stdout.new"), "").unwrap();
            show(task, number, "stdout").unwrap();
            assert_eq!(fs::read_to_string(task.join("stdout")).unwrap(), number.to_string());
        }
        fs::write(task.join("attempt-99x"), "").unwrap();
        assert_eq!(newest(task), 10);
        assert_eq!(fs::read_to_string(dir(task, 1).join("stdout")).unwrap(), "1");
        assert!(!task.join(".stdout.new").exists());
    }
}
