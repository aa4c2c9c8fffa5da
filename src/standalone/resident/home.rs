//! The directory in which the local server keeps everything.
//!
//! | file | content |
//! |---|---|
//! | `store.redb` | the objects |
//! | `kubeconfig` | how clients reach the server |
//! | `access.json` | port, token and authority |
//! | `installation.json` | the id by which its workers know it, and the machine |
//! | `epoch.json` | which life of the server used the store last: the store of another one is a copy |
//! | `engine.json` | the Docker Engine of host `local` on which it has workers |
//! | `engines.json` | the ids of the engines of other Docker hosts on which it has workers |
//! | `hosts.json` | Docker hosts that `local up --host` named |
//! | `credentials.json` | hashes of the values of credentials that the server saw last |
//! | `environment.json` | variables that the server has besides those of its shell |
//! | `bin/` | copies of the program, one for each build that workers are of |
//! | `process/` | what runtime Process keeps |
//! | `server.log`, `server.log.1` | what the server said in the background |
//! | `server.lock` | locked while a server runs; holds its pid |

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The variable that names the directory.
pub const HOME: &str = "POOLKEEPER_HOME";

/// How often a lock that is taken is retried, and the pause before each retry.
const LOOKS: usize = 10;
const LOOK: Duration = Duration::from_millis(20);

/// The directory of a local server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(PathBuf);

/// Holds the directory for one process. It is free again when this goes, or the process.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// False if the directory, or the lock in it, was removed: no command finds this process any more, and another one can take the
    /// directory.
    pub fn is_there(&self, home: &Home) -> bool {
        // What cannot be looked at may be there.
        is_at(&self.0, &home.lock_file()).unwrap_or(true)
    }
}

impl Home {
    /// The directory that the environment names: `$POOLKEEPER_HOME`, else `poolkeeper` in the state directory of the user.
    /// None: the environment names no directory.
    pub fn find(var: impl Fn(&str) -> Option<PathBuf>) -> Option<Self> {
        let var = |name: &str| var(name).filter(|dir| !dir.as_os_str().is_empty());
        if let Some(dir) = var(HOME) {
            return std::path::absolute(dir).ok().map(Self);
        }
        let state = var("XDG_STATE_HOME")
            .filter(|dir| dir.is_absolute())
            .or_else(|| Some(var("HOME").filter(|dir| dir.is_absolute())?.join(".local/state")))?;
        Some(Self(state.join("poolkeeper")))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The objects.
    pub fn store(&self) -> PathBuf {
        self.file("store.redb")
    }

    /// How clients reach the server. It is there from the first start of a server until the directory is purged.
    pub fn kubeconfig(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    /// What the server said in the background.
    pub fn log(&self) -> PathBuf {
        self.file("server.log")
    }

    /// The log before the present one.
    pub fn old_log(&self) -> PathBuf {
        self.file("server.log.1")
    }

    pub(super) fn access(&self) -> PathBuf {
        self.file("access.json")
    }

    pub(super) fn installation(&self) -> PathBuf {
        self.file("installation.json")
    }

    pub(super) fn epoch(&self) -> PathBuf {
        self.file("epoch.json")
    }

    pub(super) fn engine(&self) -> PathBuf {
        self.file("engine.json")
    }

    pub(super) fn engines(&self) -> PathBuf {
        self.file("engines.json")
    }

    pub(super) fn hosts(&self) -> PathBuf {
        self.file("hosts.json")
    }

    pub(super) fn seen_values(&self) -> PathBuf {
        self.file("credentials.json")
    }

    pub(super) fn environment(&self) -> PathBuf {
        self.file("environment.json")
    }

    pub(super) fn binaries(&self) -> PathBuf {
        self.file("bin")
    }

    pub(super) fn workers(&self) -> PathBuf {
        self.file("process")
    }

    fn lock_file(&self) -> PathBuf {
        self.file("server.lock")
    }

    /// Makes the directory, for this user alone.
    ///
    /// # Errors
    /// It cannot be made, or others may use it.
    pub fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let found = fs::metadata(&self.0)?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("it belongs to another user"));
        }
        if found.mode() & 0o077 != 0 {
            let mode = found.mode() & 0o777;
            return Err(io::Error::other(format!("other users may use it (mode {mode:04o}): run chmod 700 on it")));
        }
        Ok(())
    }

    /// Takes the directory for this process. `Err(pid)`: the process with that pid has it; empty if it is not known.
    ///
    /// # Errors
    /// The lock file cannot be made.
    pub fn lock(&self) -> io::Result<Result<Lock, String>> {
        let path = self.lock_file();
        loop {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            // A look of `holder` holds it for a moment.
            let mut locked = file.try_lock();
            for _ in 0..LOOKS {
                if !matches!(locked, Err(TryLockError::WouldBlock)) {
                    break;
                }
                std::thread::sleep(LOOK);
                locked = file.try_lock();
            }
            match locked {
                // The file was removed by a purge while this waited: no other process would meet this lock.
                Ok(()) if !is_at(&file, &path)? => {}
                Ok(()) => {
                    file.set_len(0)?;
                    writeln!(file, "{}", std::process::id())?;
                    return Ok(Ok(Lock(file)));
                }
                Err(TryLockError::WouldBlock) => return Ok(Err(fs::read_to_string(&path)?.trim().to_owned())),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// The pid of the process that has the directory. None: there is none.
    pub fn holder(&self) -> Option<String> {
        let file = File::open(self.lock_file()).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => fs::read_to_string(self.lock_file()).ok().map(|pid| pid.trim().to_owned()),
            _ => None,
        }
    }

    /// Removes everything that a server wrote, and the directory if nothing else is in it. To be called with the lock held.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn purge(&self, _: Lock) -> io::Result<()> {
        let absent_is_fine = |done: io::Result<()>| match done {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        };
        absent_is_fine(fs::remove_dir_all(self.workers()))?;
        absent_is_fine(fs::remove_dir_all(self.binaries()))?;
        // The kubeconfig is the last: with it commands still find that there is something to purge.
        let files = [
            self.store(),
            self.access(),
            self.installation(),
            self.epoch(),
            self.engine(),
            self.engines(),
            self.hosts(),
            self.environment(),
            self.seen_values(),
            self.log(),
            self.old_log(),
            self.lock_file(),
            self.kubeconfig(),
        ];
        files.iter().try_for_each(|file| absent_is_fine(fs::remove_file(file)))?;
        let _ = fs::remove_dir(&self.0);
        Ok(())
    }
}

/// True if a path still leads to this open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes a file that only this user may read. A reader sees the old one or the new one, also after a loss of power.
pub(super) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let _ = fs::remove_file(&part);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

/// The content of a file. None: it is not there.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        content => content.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn find(vars: &[(&str, &str)]) -> Option<PathBuf> {
        let var = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| PathBuf::from(value));
        Home::find(var).map(|home| home.0)
    }

    #[test]
    fn it_is_where_the_environment_says() {
        let all = [("POOLKEEPER_HOME", "/p"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(find(&all), Some("/p".into()));
        assert_eq!(find(&all[1..]), Some("/x/poolkeeper".into()));
        assert_eq!(find(&all[2..]), Some("/h/.local/state/poolkeeper".into()));
        assert_eq!(find(&[("POOLKEEPER_HOME", ""), ("XDG_STATE_HOME", "relative"), ("HOME", "/h")]), find(&all[2..]));
        assert_eq!(find(&[]), None);
    }

    #[test]
    fn one_process_has_it_and_no_other_user_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().join("state/poolkeeper"));
        home.make().unwrap();
        assert_eq!(home.holder(), None);
        let lock = home.lock().unwrap().unwrap();
        let pid = std::process::id().to_string();
        assert_eq!(home.lock().unwrap().unwrap_err(), pid);
        assert_eq!(home.holder(), Some(pid));
        drop(lock);
        assert_eq!(home.holder(), None);
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(home.make().unwrap_err().to_string().contains("mode 0750"));
    }

    #[test]
    fn a_lock_that_a_purge_removed_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().join("poolkeeper"));
        home.make().unwrap();
        let held = home.lock().unwrap().unwrap();
        let waits = home.clone();
        let waiting = std::thread::spawn(move || {
            loop {
                match waits.lock() {
                    Ok(Ok(lock)) => return (waits.holder(), lock),
                    // The directory may be gone for a moment, too.
                    Ok(Err(_)) | Err(_) => waits.make().unwrap(),
                }
            }
        });
        // The waiting one has the file open, most of the time.
        std::thread::sleep(LOOK * 3);
        home.purge(held).unwrap();
        let (holder, _lock) = waiting.join().unwrap();
        assert_eq!(holder, Some(std::process::id().to_string()), "the lock is where others look for it");
    }

    #[test]
    fn a_purge_leaves_what_it_did_not_write() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().join("poolkeeper"));
        home.make().unwrap();
        fs::create_dir(home.path().join("runs")).unwrap();
        write_private(&home.kubeconfig(), b"x").unwrap();
        assert_eq!(fs::metadata(home.kubeconfig()).unwrap().permissions().mode() & 0o777, 0o600);
        let lock = home.lock().unwrap().unwrap();
        home.purge(lock).unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
