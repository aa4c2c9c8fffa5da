//! Values that workers read from a file: neither their environment nor the engine shows them.
//!
//! The file lies in memory, in a directory that only this user may enter. So it can be readable for any user of an image:
//! in a container it is mounted alone.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};

use super::secret::Secret;

/// Where every user has a directory of memory if nothing else is said.
const RUNTIME_DIRS: &str = "/run/user";
/// The value.
const VALUE: &str = "value";
/// Whose it is.
const RECORD: &str = "record.json";

/// Whose value it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueOf {
    /// Id of the installation that has the worker.
    pub installation: String,
    /// Namespace of the pool.
    pub namespace: String,
    /// Identity of the credential.
    pub identity: String,
}

/// The files of the workers of this user.
#[derive(Clone, Debug)]
pub struct ValueFiles(PathBuf);

impl ValueFiles {
    /// Those in `$XDG_RUNTIME_DIR`.
    ///
    /// # Errors
    /// There is no such directory, or it is not in memory. In words for the author of the pool.
    pub fn open() -> Result<Self, String> {
        let dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map_or_else(
            || Path::new(RUNTIME_DIRS).join(rustix::process::geteuid().as_raw().to_string()),
            PathBuf::from,
        );
        Self::below(&dir)
    }

    fn below(dir: &Path) -> Result<Self, String> {
        let hint = "file needs a directory in memory that is named by XDG_RUNTIME_DIR (leave file out to put the value \
                    into the environment)";
        if !dir.is_dir() {
            return Err(format!("{} does not exist: {hint}", dir.display()));
        }
        if !is_in_memory(dir) {
            return Err(format!("{} is on a disk: {hint}", dir.display()));
        }
        Ok(Self(dir.join("poolkeeper")))
    }

    fn of(&self, uid: &str) -> Result<PathBuf, String> {
        let is_name = !uid.is_empty() && uid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if is_name { Ok(self.0.join(uid)) } else { Err(format!("uid {uid:?} is not one")) }
    }

    /// Writes the value of a worker, and answers with the path of the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, uid: &str, of: &ValueOf, value: &Secret, mode: u32) -> Result<PathBuf, String> {
        let dir = self.of(uid)?;
        let path = dir.join(VALUE);
        let make = || -> io::Result<()> {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
            // One that was there, and is readable for others, is refused or closed.
            std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(0o700))?;
            std::fs::write(dir.join(RECORD), serde_json::to_vec(of)?)?;
            put(&path, value, mode)
        };
        make().map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// The value that a worker has now.
    pub fn read(&self, uid: &str) -> Option<Secret> {
        let read = Zeroizing::new(std::fs::read_to_string(self.of(uid).ok()?.join(VALUE)).ok()?);
        Some(Secret::new(&read))
    }

    /// Writes another value into the files of all workers that have it. Answers with how many there are.
    ///
    /// # Errors
    /// One cannot be written.
    pub fn rewrite(&self, of: &ValueOf, value: &Secret) -> io::Result<usize> {
        let mut written = 0;
        let Ok(entries) = std::fs::read_dir(&self.0) else { return Ok(0) };
        for dir in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            let record = std::fs::read(dir.join(RECORD)).ok().and_then(|r| serde_json::from_slice::<ValueOf>(&r).ok());
            if record.as_ref() != Some(of) {
                continue;
            }
            let path = dir.join(VALUE);
            let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
            put(&path, value, mode)?;
            written += 1;
        }
        Ok(written)
    }

    /// Removes what a worker had, if it had something.
    pub fn remove(&self, uid: &str) {
        if let Ok(dir) = self.of(uid) {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

/// Removes what a worker had, if workers of this user can have files at all.
pub fn remove(uid: &str) {
    if let Ok(files) = ValueFiles::open() {
        files.remove(uid);
    }
}

/// Writes into the file that is there: a container has exactly this one mounted. A reader sees the old or the new value, as long
/// as both have the same length.
fn put(path: &Path, value: &Secret, mode: u32) -> io::Result<()> {
    if path.exists() {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    let mut file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    file.write_all(value.expose().as_bytes())?;
    file.set_len(value.expose().len() as u64)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(target_os = "linux")]
fn is_in_memory(dir: &Path) -> bool {
    /// The kernel's numbers of tmpfs and ramfs.
    const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];
    // The number has another type on each architecture; its 32 bits are the same.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it has 32 bits")]
    rustix::fs::statfs(dir).is_ok_and(|found| IN_MEMORY.contains(&(found.f_type as u32)))
}

/// Other systems have no file system in memory that every user has.
#[cfg(not(target_os = "linux"))]
fn is_in_memory(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn of(identity: &str) -> ValueOf {
        ValueOf { installation: "here".into(), namespace: "team".into(), identity: identity.into() }
    }

    #[test]
    fn a_value_is_rewritten_in_place_for_the_workers_that_have_it() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let files = ValueFiles::below(dir.path()).unwrap();
        let a = files.write("uid-1", &of("secret/t/a"), &Secret::new("sesame open"), 0o444).unwrap();
        let b = files.write("uid-2", &of("secret/t/b"), &Secret::new("another"), 0o400).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&a), mode(&b), mode(&dir.path().join("poolkeeper"))), (0o444, 0o400, 0o700));
        let inode = std::fs::metadata(&a).unwrap().ino();
        assert_eq!(files.rewrite(&of("secret/t/a"), &Secret::new("shut\nnow")).unwrap(), 1);
        assert_eq!(std::fs::read_to_string(&a).unwrap(), "shut\nnow");
        assert_eq!((mode(&a), std::fs::metadata(&a).unwrap().ino()), (0o444, inode));
        assert_eq!(files.read("uid-2").unwrap().expose(), "another");
        files.remove("uid-1");
        assert!(!a.exists() && files.read("uid-1").is_none());
        assert!(files.write("../x", &of("a"), &Secret::new("x"), 0o400).is_err());
    }

    #[test]
    fn a_disk_is_refused() {
        let on_disk = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(ValueFiles::below(on_disk).unwrap_err().contains("is on a disk"));
        assert!(ValueFiles::below(Path::new("/no/such")).unwrap_err().contains("XDG_RUNTIME_DIR"));
    }
}
