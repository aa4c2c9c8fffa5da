//! Directories with the login of an agent: whether workers may have one, and what distinguishes it from others.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};

use crate::api::pool::LoginDirectory;

/// Files that logins are in, of the agents that are known.
const LOGIN_FILES: [&str; 2] = [".credentials.json", "auth.json"];
/// Directories in a home that programs of its owner use.
const USUAL: [&str; 6] = [".claude", ".codex", ".gemini", ".config", ".aws", ".ssh"];
/// Bytes of a hash that are used: enough for no two paths of a machine to have the same.
const HASH_BYTES: usize = 12;

/// A directory that exists on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    path: PathBuf,
    owner: (u32, u32),
    mode: u32,
}

impl Login {
    /// Looks at a directory of this machine. Links are followed, so two ways to one directory are one.
    ///
    /// # Errors
    /// There is none, or the user's own agent has it, and that was not allowed. In words for the author of the pool.
    pub fn open(directory: &LoginDirectory) -> Result<Self, String> {
        let given = &directory.host_path;
        let path = Path::new(given).canonicalize().map_err(|error| format!("directory {given}: {error}"))?;
        let found = std::fs::metadata(&path).map_err(|error| format!("directory {given}: {error}"))?;
        if !found.is_dir() {
            return Err(format!("directory {given} is not a directory"));
        }
        if !directory.shared && is_of_the_user(&path, std::env::home_dir().as_deref()) {
            return Err(format!(
                "directory {given} is used by programs of your own, and a worker could log them out: make a directory for \
                 each account and log in there; or set shared: true"
            ));
        }
        Ok(Self { path, owner: (found.uid(), found.gid()), mode: found.mode() })
    }

    /// The real path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its owner, as `--user` of a container names it.
    pub fn owner(&self) -> String {
        format!("{}:{}", self.owner.0, self.owner.1)
    }

    /// Holds the directory for a worker that is a process, for as long as the answer lives. Containers are distinguished by [`mark`].
    /// `alone`: no other process may hold it. None: another one does.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn hold(path: &Path, alone: bool) -> io::Result<Option<File>> {
        let directory = File::open(path)?;
        let how = if alone { FlockOperation::NonBlockingLockExclusive } else { FlockOperation::NonBlockingLockShared };
        match rustix::fs::flock(&directory, how) {
            Ok(()) => Ok(Some(directory)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Why a user with this number cannot keep a login there that its owner can use, if so.
    pub fn refuses(&self, user: u32) -> Option<String> {
        let (owner, path) = (self.owner.0, self.path.display());
        let may_write = user == owner || self.mode & 0o002 != 0;
        if may_write && (user != 0 || owner == 0) {
            return None;
        }
        let what = if user == 0 { "leaves files there that only root can use" } else { "cannot write there" };
        Some(format!(
            "directory {path} belongs to user {owner}, and user {user} of the image {what}: set runAs: host, or give the \
             directory to user {user}"
        ))
    }

    /// A hash of its login file. None: it has no such file, or it cannot be read.
    pub fn state(&self, watch: Option<&str>) -> Option<[u8; 32]> {
        let read = files(watch).iter().find_map(|file| std::fs::read(self.path.join(file)).ok())?;
        Some(Sha256::digest(&read).into())
    }

    /// When its login file was written last. None: as for [`Self::state`].
    pub fn changed_at(&self, watch: Option<&str>) -> Option<SystemTime> {
        files(watch).iter().find_map(|file| std::fs::metadata(self.path.join(file)).ok()?.modified().ok())
    }
}

/// The files that a login may be in.
fn files(watch: Option<&str>) -> Vec<&str> {
    watch.map_or_else(|| LOGIN_FILES.to_vec(), |file| vec![file])
}

/// True for what programs in a home use, and for what contains it.
fn is_of_the_user(path: &Path, home: Option<&Path>) -> bool {
    let usual = |path: &Path| path.file_name().and_then(OsStr::to_str).is_some_and(|name| USUAL.contains(&name));
    let home = home.and_then(|home| home.canonicalize().ok());
    usual(path) || home.is_some_and(|home| home.starts_with(path))
}

/// What distinguishes a directory from others, without its path: a hash of it, then those of all directories that it is in.
pub fn mark(path: &Path) -> String {
    let hash = |path: &Path| hex::encode(&Sha256::digest(path.as_os_str().as_encoded_bytes())[..HASH_BYTES]);
    path.ancestors().map(hash).collect::<Vec<_>>().join(",")
}

/// True if two marks are of the same directory, or of two of which one is in the other.
pub fn overlap(one: &str, other: &str) -> bool {
    let first = |mark: &str| mark.split(',').next().map(str::to_owned);
    let has = |mark: &str, hash: Option<String>| hash.is_some_and(|hash| mark.split(',').any(|h| h == hash));
    has(one, first(other)) || has(other, first(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_tell_directories_apart_and_show_no_path() {
        let of = |path: &str| mark(Path::new(path));
        assert!(overlap(&of("/logins/a"), &of("/logins/a")));
        assert!(overlap(&of("/logins/a"), &of("/logins/a/claude")) && overlap(&of("/logins"), &of("/logins/a")));
        assert!(!overlap(&of("/logins/a"), &of("/logins/b")) && !overlap(&of("/logins/a"), &of("/logins/ab")));
        assert!(!of("/logins/a").contains("logins"));
    }

    #[test]
    fn what_the_user_has_is_refused_unless_it_is_shared() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join(".codex");
        std::fs::create_dir(&own).unwrap();
        std::os::unix::fs::symlink(&own, dir.path().join("account")).unwrap();
        let of = |name: &str, shared| LoginDirectory {
            host_path: dir.path().join(name).to_str().unwrap().to_owned(),
            shared,
            ..LoginDirectory::default()
        };
        for name in [".codex", "account"] {
            assert!(Login::open(&of(name, false)).unwrap_err().contains("shared: true"));
            assert_eq!(Login::open(&of(name, true)).unwrap().path(), own.canonicalize().unwrap());
        }
        assert!(Login::open(&of("nothing", false)).unwrap_err().contains("No such file"));
        let home = Path::new("/");
        assert!(is_of_the_user(Path::new("/"), Some(home)) && !is_of_the_user(Path::new("/srv/a"), Some(home)));
    }

    #[test]
    fn the_login_is_one_file_and_what_is_next_to_it_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let host_path = dir.path().to_str().unwrap().to_owned();
        let login = Login::open(&LoginDirectory { host_path, ..LoginDirectory::default() }).unwrap();
        assert_eq!(login.state(None), None);
        std::fs::write(dir.path().join("auth.json"), "one").unwrap();
        let one = login.state(None);
        std::fs::write(dir.path().join("history.jsonl"), "x").unwrap();
        assert!(one.is_some() && login.state(None) == one && login.changed_at(None).is_some());
        std::fs::write(dir.path().join("auth.json"), "two").unwrap();
        assert_ne!(login.state(None), one);
        assert_ne!(login.state(Some("history.jsonl")), login.state(None));
    }

    #[test]
    fn one_process_holds_a_directory_or_several_that_share_it() {
        let dir = tempfile::tempdir().unwrap();
        let hold = |alone| Login::hold(dir.path(), alone).unwrap();
        let first = hold(true);
        assert!(first.is_some() && hold(true).is_none() && hold(false).is_none());
        drop(first);
        let several = [hold(false), hold(false)];
        assert!(several.iter().all(Option::is_some) && hold(true).is_none());
    }

    #[test]
    fn another_user_and_root_are_refused() {
        let of = |owner, mode| Login { path: "/logins/a".into(), owner: (owner, owner), mode };
        assert_eq!(of(1000, 0o700).refuses(1000), None);
        assert_eq!(of(0, 0o700).refuses(0), None);
        assert_eq!(of(1000, 0o777).refuses(1001), None);
        assert!(of(1000, 0o700).refuses(1001).unwrap().contains("cannot write there: set runAs: host"));
        assert!(of(1000, 0o777).refuses(0).unwrap().contains("only root can use"));
    }
}
