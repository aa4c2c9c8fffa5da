//! What is in the file: a table of objects by kind, namespace and name, and a table of a few numbers.
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use redb::{Database, Error, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde_json::Value;

use super::error::DiskError;
use crate::local::record::{Change, Record, Resource};
use crate::local::schema::meta;
use crate::local::store::Contents;

/// (group, plural, namespace, name) → a byte of flags, then the object as JSON.
const OBJECTS: TableDefinition<(&str, &str, &str, &str), &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// The format of this file.
const FORMAT: u64 = 1;
/// In `META`: the format, and the newest revision that was used or may have been shown to a client.
const FORMAT_KEY: &str = "format";
const REVISION_KEY: &str = "revision";
/// In `META`: which life of a server used this file last. A copy has `NO_EPOCH`.
const EPOCH_KEY: &str = "epoch";
const NO_EPOCH: u64 = 0;

/// A flag of an object: [`Record::unsettled`].
const UNSETTLED: u8 = 1;

/// A change of one object, as it is written.
pub(super) struct Row {
    resource: Resource,
    namespace: String,
    name: String,
    revision: u64,
    /// None: it is deleted.
    value: Option<Vec<u8>>,
}

impl From<&Record> for Row {
    fn from(record: &Record) -> Self {
        let value = (record.change != Change::Deleted).then(|| {
            let mut value = vec![if record.unsettled { UNSETTLED } else { 0 }];
            // Printing fails only on maps with keys that are no strings, which a `Value` can't hold.
            let _ = serde_json::to_writer(&mut value, &*record.object);
            value
        });
        Self {
            resource: record.resource.clone(),
            namespace: record.namespace.clone().unwrap_or_default(),
            name: record.name.clone(),
            revision: record.resource_version,
            value,
        }
    }
}

/// Writes rows in one transaction, and returns when they are durable.
pub(super) fn write(database: &Database, rows: &[Row]) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    {
        let mut objects = transaction.open_table(OBJECTS)?;
        for row in rows {
            let key = (&*row.resource.group, &*row.resource.plural, &*row.namespace, &*row.name);
            match &row.value {
                Some(value) => drop(objects.insert(key, &**value)?),
                None => drop(objects.remove(key)?),
            }
        }
        if let Some(last) = rows.last() {
            transaction.open_table(META)?.insert(REVISION_KEY, last.revision)?;
        }
    }
    Ok(transaction.commit()?)
}

/// Makes the tables of an empty store.
pub(super) fn make(database: &Database) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(OBJECTS)?;
    {
        let mut numbers = transaction.open_table(META)?;
        numbers.insert(FORMAT_KEY, FORMAT)?;
        numbers.insert(REVISION_KEY, 1)?;
    }
    Ok(transaction.commit()?)
}

/// Reads everything, and reserves the revision at which the server goes on: at least `least`, and above all that were used.
///
/// # Errors
/// The format is unknown, or a row makes no sense.
pub(super) fn load(database: &Database, path: &Path, least: u64) -> Result<Contents, DiskError> {
    let of = |e: Error| DiskError::of(path, e);
    let (last, objects) = read(database, path)?;
    let revision = (last + 1).max(least);
    reserve(database, revision).map_err(of)?;
    Ok(Contents { revision, objects })
}

/// Which life of a server used this file last. None: none was stored.
pub(super) fn epoch(database: &Database) -> Result<Option<u64>, Error> {
    let numbers = database.begin_read()?.open_table(META)?;
    Ok(numbers.get(EPOCH_KEY)?.map(|n| n.value()))
}

/// Stores which life of a server uses this file from now on.
pub(super) fn begin_epoch(database: &Database, epoch: u64) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(EPOCH_KEY, epoch)?;
    Ok(transaction.commit()?)
}

/// Stores a revision as used.
fn reserve(database: &Database, revision: u64) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(REVISION_KEY, revision)?;
    Ok(transaction.commit()?)
}

/// The last revision, and all objects.
fn read(database: &Database, path: &Path) -> Result<(u64, Vec<Record>), DiskError> {
    let of = |e: Error| DiskError::of(path, e);
    let transaction = database.begin_read().map_err(|e| of(e.into()))?;
    let numbers = match transaction.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => {
            return Err(DiskError::damaged(path, "it is not a store of Poolkeeper"));
        }
        numbers => numbers.map_err(|e| of(e.into()))?,
    };
    let number = |key: &str| -> Result<u64, DiskError> {
        let found = numbers.get(key).map_err(|e| of(e.into()))?;
        found.map(|n| n.value()).ok_or_else(|| DiskError::damaged(path, format!("it has no {key}")))
    };
    let format = number(FORMAT_KEY)?;
    if format > FORMAT {
        return Err(DiskError::Newer { path: path.to_owned(), found: format, known: FORMAT });
    }
    let table = transaction.open_table(OBJECTS).map_err(|e| of(e.into()))?;
    let mut objects = Vec::new();
    for row in table.iter().map_err(|e| of(e.into()))? {
        let (key, value) = row.map_err(|e| of(e.into()))?;
        let key = key.value();
        let wrong = |why: &str| DiskError::damaged(path, format!("{}/{}/{}/{}: {why}", key.0, key.1, key.2, key.3));
        objects.push(record(key, value.value()).map_err(|why| wrong(&why))?);
    }
    Ok((number(REVISION_KEY)?, objects))
}

fn record((group, plural, namespace, name): (&str, &str, &str, &str), value: &[u8]) -> Result<Record, String> {
    let (flags, json) = value.split_first().ok_or("it is empty")?;
    let object: Value = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let version = meta::text(&object, "resourceVersion");
    let resource_version = version.parse().map_err(|_| format!("its resourceVersion is {version:?}"))?;
    Ok(Record {
        resource_version,
        time: Timestamp::UNIX_EPOCH,
        change: Change::Added,
        resource: Resource { group: group.into(), plural: plural.into() },
        namespace: (!namespace.is_empty()).then(|| namespace.into()),
        name: name.into(),
        uid: meta::text(&object, "uid").into(),
        object: Arc::new(object),
        unsettled: flags & UNSETTLED != 0,
    })
}

/// Copies everything that a transaction sees.
pub(super) fn copy(from: &ReadTransaction, to: &Database) -> Result<(), Error> {
    let transaction = to.begin_write()?;
    {
        let mut objects = transaction.open_table(OBJECTS)?;
        for row in from.open_table(OBJECTS)?.iter()? {
            let (key, value) = row?;
            objects.insert(key.value(), value.value())?;
        }
        let mut numbers = transaction.open_table(META)?;
        for row in from.open_table(META)?.iter()? {
            let (key, value) = row?;
            numbers.insert(key.value(), value.value())?;
        }
        numbers.insert(EPOCH_KEY, NO_EPOCH)?;
    }
    Ok(transaction.commit()?)
}

/// The bytes that the file needs for what is in it.
pub(super) fn needed(database: &Database) -> Result<u64, Error> {
    let transaction = database.begin_write()?;
    let stats = transaction.stats()?;
    transaction.abort()?;
    Ok(stats.allocated_pages() * stats.page_size() as u64)
}
