//! Where a run keeps what must last as long as it does: sockets, records of workers, their scratch.
//!
//! Not in `$TMPDIR`, which cleaners empty by age, however long a run takes. Nor in `$XDG_RUNTIME_DIR`: that is small, in memory,
//! and removed when its user logs out, which a run under `nohup` survives. So it is the state directory of the XDG
//! specification, and `$TMPDIR` only if there is none that this user alone may use.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The directory for temporary directories of runs. It is there.
pub fn for_runs() -> PathBuf {
    place(var).filter(|dir| make(dir)).unwrap_or_else(std::env::temp_dir)
}

/// Every directory in which a run may have left its own, now or in another environment.
pub fn all() -> Vec<PathBuf> {
    place(var).into_iter().chain([std::env::temp_dir()]).collect()
}

/// Removes the directory for runs if there is none in it.
pub fn tidy() {
    if let Some(dir) = place(var).filter(|dir| fs::remove_dir(dir).is_ok()) {
        let _ = dir.parent().map(fs::remove_dir);
    }
}

fn var(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// `poolkeeper/runs` in the state directory. It need not be there. None if the environment names no state directory.
fn place(var: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let state = var("XDG_STATE_HOME").filter(|dir| dir.is_absolute()).or_else(|| {
        let home = var("HOME").filter(|dir| dir.is_absolute())?;
        // Another user's, as under `sudo` without `-H`, must not get files of this one.
        is_own(&home).then(|| home.join(".local/state"))
    })?;
    Some(state.join("poolkeeper/runs"))
}

/// Makes it, and answers whether this user alone may use it.
fn make(dir: &Path) -> bool {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.is_ok() && is_private(dir) && dir.parent().is_some_and(is_private)
}

fn is_own(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw())
}

fn is_private(dir: &Path) -> bool {
    is_own(dir) && fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir() && found.mode().trailing_zeros() >= 6)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(name: &'static str, dir: &Path) -> Option<PathBuf> {
        place(|asked| (asked == name).then(|| dir.to_owned())).filter(|dir| make(dir))
    }

    #[test]
    fn it_is_the_state_directory() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(at("XDG_STATE_HOME", dir.path()), Some(dir.path().join("poolkeeper/runs")));
        assert_eq!(at("HOME", dir.path()), Some(dir.path().join(".local/state/poolkeeper/runs")));
        assert_eq!(at("HOME", Path::new("relative")), None);
        assert_eq!(at("HOME", Path::new("/nonexistent")), None);
        assert_eq!(at("TMPDIR", dir.path()), None);
    }

    #[test]
    fn what_others_may_write_to_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let runs = at("XDG_STATE_HOME", dir.path()).unwrap();
        fs::set_permissions(&runs, fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!(at("XDG_STATE_HOME", dir.path()), None);
        fs::remove_dir(&runs).unwrap();
        std::os::unix::fs::symlink(dir.path(), &runs).unwrap();
        assert_eq!(at("XDG_STATE_HOME", dir.path()), None);
    }
}
