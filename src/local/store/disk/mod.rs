//! The store of a server whose objects outlive its process: one file, in which a commit is one transaction.
//!
//! - Here: opening it, and commits. `layout`: what is in the file. `error`: why it cannot be opened.
//!
//! The file belongs to redb. A commit is answered after its sync, and a crash at any moment leaves the file as it was after
//! the last commit that was answered, or after the one that was under way. An error of the disk leaves open which of the two
//! it is, so the store then refuses everything until it is opened again.

mod error;
mod layout;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, StorageBackend};
use tokio_util::sync::CancellationToken;
use tower::BoxError;

pub use self::error::DiskError;
use self::layout::Row;
use crate::local::record::Record;
use crate::local::store::{Contents, Store, StoreError};

/// How much of the file redb may hold in memory. All objects are in memory anyway, so it reads little.
const CACHE: usize = 8 * 1024 * 1024;
/// A file that is smaller than this is not worth making smaller.
const SMALL: u64 = 4 * 1024 * 1024;
/// The revisions of a millisecond. More writes than that cannot be made in one, so a number that follows from the time of
/// the start is above all that were used before, also after an older copy of the file came back.
const REVISIONS_A_MILLISECOND: u64 = 1024;

/// A store in a file.
pub struct DiskStore {
    database: Arc<Database>,
    /// After an error it is not known what the file holds.
    failed: bool,
    failure: CancellationToken,
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore").field("failed", &self.failed).finish_non_exhaustive()
    }
}

/// Makes copies of a store, also while it is in use.
#[derive(Clone)]
pub struct DiskCopier(Arc<Database>);

/// Which life of a server used a store last. Its owner keeps that outside of the file as well: where the two differ, the file
/// is a copy.
pub struct DiskEpoch {
    database: Arc<Database>,
    path: PathBuf,
    last: Option<u64>,
}

impl DiskEpoch {
    /// The last life. None: none was stored yet.
    #[must_use]
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// Stores which life uses the file from now on. Copies that are made of it do not have the number.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(&self, life: u64) -> Result<(), DiskError> {
        layout::begin_epoch(&self.database, life).map_err(|e| DiskError::of(&self.path, e))
    }
}

impl DiskStore {
    /// Opens the store in a file, or makes an empty one, and reads what it holds. The file is locked while it is open.
    ///
    /// The revision at which a server goes on is above all that were ever used with this file, and above all that were used
    /// with later versions of it, if this is an older copy.
    ///
    /// # Errors
    /// The file is damaged, was written by a newer Poolkeeper, is in use, or cannot be read or written. It is left as it is.
    pub fn open(path: &Path, now: Timestamp) -> Result<(Self, Contents), DiskError> {
        let io = |source| DiskError::Io { path: path.to_owned(), source };
        if !fs::exists(path).map_err(io)? {
            create(path)?;
        }
        if fs::metadata(path).map_err(io)?.len() == 0 {
            return Err(DiskError::damaged(path, "it is empty"));
        }
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
        let backend = FileBackend::new(file).map_err(|e| DiskError::of(path, e))?;
        Self::on(backend, path, now)
    }

    /// As [`Self::open`], on anything that redb can work on. `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn on(backend: impl StorageBackend, path: &Path, now: Timestamp) -> Result<(Self, Contents), DiskError> {
        let of = |e: redb::Error| DiskError::of(path, e);
        let least = u64::try_from(now.as_millisecond()).unwrap_or_default() * REVISIONS_A_MILLISECOND;
        let size = backend.len().map_err(|source| DiskError::Io { path: path.to_owned(), source })?;
        // What redb makes of a file that it has not written may be a panic.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut builder = Database::builder();
            // It reads the whole file, as the start does anyway.
            builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
            let mut database = builder.create_with_backend(backend).map_err(|e| of(e.into()))?;
            let contents = layout::load(&database, path, least)?;
            if size > SMALL && layout::needed(&database).map_err(of)? < size / 2 {
                database.compact().map_err(|e| of(e.into()))?;
            }
            Ok((Self { database: Arc::new(database), failed: false, failure: CancellationToken::new() }, contents))
        }));
        opened.unwrap_or_else(|_| Err(DiskError::damaged(path, "it cannot be read")))
    }

    /// Is cancelled when a commit fails. The store then has to be opened again.
    #[must_use]
    pub fn failure(&self) -> CancellationToken {
        self.failure.clone()
    }

    /// Which life of a server used this file last. `path` is for messages.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn epoch(&self, path: &Path) -> Result<DiskEpoch, DiskError> {
        let last = layout::epoch(&self.database).map_err(|e| DiskError::of(path, e))?;
        Ok(DiskEpoch { database: Arc::clone(&self.database), path: path.to_owned(), last })
    }

    /// What makes copies of this store.
    #[must_use]
    pub fn copier(&self) -> DiskCopier {
        DiskCopier(Arc::clone(&self.database))
    }
}

#[async_trait]
impl Store for DiskStore {
    async fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Failed(AFTER_AN_ERROR.into()));
        }
        // It stays set if this future is dropped.
        self.failed = true;
        let rows: Vec<Row> = batch.iter().map(Row::from).collect();
        let database = Arc::clone(&self.database);
        let written = tokio::task::spawn_blocking(move || layout::write(&database, &rows)).await;
        let written = written.map_err(BoxError::from).and_then(|written| written.map_err(BoxError::from));
        match written {
            Ok(()) => self.failed = false,
            Err(_) => self.failure.cancel(),
        }
        written.map_err(StoreError::Failed)
    }
}

const AFTER_AN_ERROR: &str = "an earlier commit failed, so it is not known what the store holds: restart the server";

impl DiskCopier {
    /// Writes a consistent copy to a file that does not exist yet: everything that was committed when it began.
    ///
    /// # Errors
    /// The file exists or cannot be written, or the store cannot be read. Nothing is left of the copy then.
    pub fn copy_to(&self, path: &Path) -> Result<(), DiskError> {
        let failed = |e: redb::Error| DiskError::of(path, e);
        let from = self.0.begin_read().map_err(|e| failed(e.into()))?;
        in_place(path, |database| layout::copy(&from, database).map_err(failed))
    }
}

/// Makes an empty store. It appears under its name when it is complete.
fn create(path: &Path) -> Result<(), DiskError> {
    in_place(path, |database| layout::make(database).map_err(|e| DiskError::of(path, e)))
}

/// Makes a database next to its place, with mode 0600, and puts it there once it is complete and durable.
fn in_place(path: &Path, fill: impl FnOnce(&Database) -> Result<(), DiskError>) -> Result<(), DiskError> {
    let io = |source| DiskError::Io { path: path.to_owned(), source };
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = Part(PathBuf::from(name));
    // One of that name is left of a process that was killed.
    let _ = fs::remove_file(&part.0);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&part.0).map_err(io)?;
    {
        let backend = FileBackend::new(file).map_err(|e| DiskError::of(path, e))?;
        let database = Database::builder().set_cache_size(CACHE).create_with_backend(backend);
        fill(&database.map_err(|e| DiskError::of(path, e))?)?;
    }
    File::open(&part.0).and_then(|file| file.sync_all()).map_err(io)?;
    // It must not replace anything.
    if fs::exists(path).map_err(io)? {
        return Err(io(io::ErrorKind::AlreadyExists.into()));
    }
    fs::rename(&part.0, path).map_err(io)?;
    sync_directory(path).map_err(io)
}

/// A file that is removed when this goes.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}
