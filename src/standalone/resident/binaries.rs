//! Copies of the program, one for each build, in `bin/<build>/poolkeeper`. Shims and `status.target.argv` use them. So a worker
//! and its tasks speak the same protocol for as long as the worker is there, whatever is installed meanwhile.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};
use sha2::{Digest, Sha256};

/// The program that runs, even if its file was replaced or removed since.
const RUNNING: &str = "/proc/self/exe";
const NAME: &str = "poolkeeper";

/// The copy of the program that runs. It is made if it is not there yet. None: nothing in this directory can be executed.
pub(super) fn current(bin: &Path) -> io::Result<Option<PathBuf>> {
    let dir = bin.join(build(&fs::metadata(RUNNING)?));
    let copy = dir.join(NAME);
    if !copy.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let part = dir.join(format!("{NAME}.{}.part", std::process::id()));
        let _ = fs::remove_file(&part);
        // A second name of the same file costs nothing, and keeps the file when it is replaced. A file that is executed cannot
        // be written to. Another user's file, or another file system, allows no second name.
        if rustix::fs::linkat(CWD, RUNNING, CWD, &part, AtFlags::SYMLINK_FOLLOW).is_err() {
            fs::copy(RUNNING, &part)?;
            fs::set_permissions(&part, fs::Permissions::from_mode(0o700))?;
        }
        fs::rename(&part, &copy)?;
    }
    // It may not if the file system is mounted so.
    Ok(rustix::fs::access(&copy, Access::EXEC_OK).is_ok().then_some(copy))
}

/// The name of a build: its version, and what tells its file from all others.
fn build(file: &fs::Metadata) -> String {
    let parts = [file.dev(), file.ino(), file.size(), file.mtime().cast_unsigned(), file.mtime_nsec().cast_unsigned()];
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.to_be_bytes());
    }
    format!("{}-{}", env!("CARGO_PKG_VERSION"), hex::encode(&digest.finalize()[..6]))
}

/// Removes the copies of builds that no worker names. What cannot be removed stays until the next start.
pub(super) fn remove_unused(bin: &Path, used: &BTreeSet<PathBuf>) {
    for dir in fs::read_dir(bin).into_iter().flatten().flatten() {
        if !used.contains(&dir.path().join(NAME)) {
            let _ = fs::remove_dir_all(dir.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_build_has_one_copy_and_unused_ones_go() {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        let copy = current(&bin).unwrap().unwrap();
        assert_eq!(current(&bin).unwrap().unwrap(), copy);
        assert_eq!(fs::metadata(&copy).unwrap().len(), fs::metadata(RUNNING).unwrap().len());
        let old = bin.join("0.0.1-000000000000");
        fs::create_dir(&old).unwrap();
        fs::write(old.join(NAME), "").unwrap();
        remove_unused(&bin, &BTreeSet::from([copy.clone(), old.join(NAME)]));
        assert!(old.exists());
        remove_unused(&bin, &BTreeSet::from([copy.clone()]));
        assert!(copy.exists() && !old.exists());
    }
}
