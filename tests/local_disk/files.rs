//! The file of a store: one that is damaged, newer, in use, copied.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;
use poolkeeper::local::{Contents, DiskError, DiskStore};
use redb::{Database, TableDefinition};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn open(path: &Path) -> Result<(DiskStore, Contents), DiskError> {
    DiskStore::open(path, Timestamp::UNIX_EPOCH)
}

fn message(path: &Path) -> String {
    open(path).unwrap_err().to_string()
}

#[test]
fn a_new_store_is_private_and_leaves_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    fs::write(dir.path().join(format!("store.redb.{}.part", std::process::id())), "of a process that was killed")
        .unwrap();
    let (_, contents) = open(&path).unwrap();
    assert!(contents.objects.is_empty());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_store_is_named_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    drop(open(&path).unwrap());
    let good = fs::read(&path).unwrap();
    let garbage: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let cases = [Vec::new(), b"not a store\n".to_vec(), garbage, good[..good.len() / 3].to_vec(), vec![0; good.len()]];
    for (nth, case) in cases.into_iter().enumerate() {
        fs::write(&path, &case).unwrap();
        let message = message(&path);
        assert!(message.starts_with(&format!("the store {} is damaged: ", path.display())), "{nth}: {message}");
        assert!(
            message.ends_with("put a backup in its place, or move it away to start with an empty one"),
            "{message}"
        );
        assert!(fs::read(&path).unwrap() == case, "case {nth} was changed");
    }
}

#[test]
fn another_programs_database_is_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    drop(Database::create(&path).unwrap());
    assert!(message(&path).contains("is damaged: it is not a store of Poolkeeper"), "{}", message(&path));
}

#[test]
fn a_newer_store_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    drop(open(&path).unwrap());
    {
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let meta: TableDefinition<&str, u64> = TableDefinition::new("meta");
        transaction.open_table(meta).unwrap().insert("format", 2).unwrap();
        transaction.commit().unwrap();
    }
    let expected = format!(
        "the store {} has format 2, and this Poolkeeper knows formats up to 1: use the newer Poolkeeper that wrote it. It was left as it is",
        path.display()
    );
    assert_eq!(message(&path), expected);
}

#[test]
fn a_store_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let first = open(&path).unwrap();
    assert_eq!(message(&path), format!("the store {} is in use by another process", path.display()));
    drop(first);
    open(&path).unwrap();
}

#[test]
fn a_copy_replaces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("store.redb")).unwrap();
    let copy = dir.path().join("copy");
    store.copier().copy_to(&copy).unwrap();
    let error = store.copier().copy_to(&copy).unwrap_err().to_string();
    assert_eq!(error, format!("the store {}: entity already exists", copy.display()));
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    open(&copy).unwrap();
}

#[test]
fn versions_grow_with_the_clock_and_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let revision = |seconds| DiskStore::open(&path, at(seconds)).unwrap().1.revision;
    assert_eq!(revision(1_000_000), 1_000_000_000 * 1024);
    // A clock that stands still or is set back does not bring a version again.
    let last = revision(1_000_000);
    assert_eq!(last, 1_000_000_000 * 1024 + 1);
    assert_eq!(revision(5), last + 1);
    // An older copy comes back: its versions are above all that were used since.
    let older = fs::read(&path).unwrap();
    let used = revision(2_000_000);
    fs::write(&path, older).unwrap();
    assert!(revision(2_000_001) > used);
    // Clients read versions as numbers of 53 bits.
    assert!(revision(7_000_000_000) < 1 << 53);
}
