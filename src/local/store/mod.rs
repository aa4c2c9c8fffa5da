//! The objects, the events that watches read, the records, and commits of several changes at once.
//!
//! All objects are in memory (`committed`), and all reads are answered there. A write collects its changes in a
//! `transaction`, which sees them while nothing else does, and joins the group that forms (`writer`). The batch of a group
//! goes to a [`Store`] first; once that has it, it is applied to `committed` in one step. So a reader or a watch never sees
//! a change that could still fail, and never waits for a disk.

pub(crate) mod committed;
pub(crate) mod disk;
pub(crate) mod log;
pub(crate) mod memory;
pub(crate) mod object;
pub(crate) mod transaction;
pub(crate) mod writer;

use async_trait::async_trait;
use tower::BoxError;

use crate::local::record::Record;

/// Makes batches of changes durable.
///
/// The server hands over one batch at a time, in the order of their resourceVersions, and holds no lock that reads need
/// while it waits. A batch has the changes of all requests that came while the store worked on the last one, each with the
/// garbage collection that follows from it.
#[async_trait]
pub trait Store: Send + 'static {
    /// Stores every change of a batch, or none of them.
    ///
    /// # Errors
    /// None of the changes is stored, now or later: every request of the batch fails, and the server gives their
    /// resourceVersions to the next batch. A store that cannot know what it has stored must refuse every later batch.
    async fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError>;
}

/// What a store holds when a server starts on it.
#[derive(Debug, Default)]
pub struct Contents {
    /// The revision at which the server goes on. No version up to it is given again.
    pub revision: u64,
    /// Every object, in any order. Those of kinds that the server does not serve are ignored, and stay in the store.
    pub objects: Vec<Record>,
}

/// Why a batch was not committed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store refused the batch or could not write it.
    #[error("the store did not commit: {0}")]
    Failed(#[source] BoxError),
    /// A commit was interrupted, by a panic or the end of its runtime. What the store holds is not known.
    #[error("a commit was interrupted, so it is not known what the store holds: restart the server")]
    Interrupted,
}
