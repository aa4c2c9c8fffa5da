//! The state of a server, which the verbs share, and how a write is committed.
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use futures::lock::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::clock::{Clock, Ids};
use crate::local::response::status::ApiError;
use crate::local::schema::cel::Rules;
use crate::local::schema::kind::Kinds;
use crate::local::store::committed::{Committed, lock};
use crate::local::store::log::Batch;
use crate::local::store::transaction::Transaction;
use crate::local::store::{Store, StoreError};

/// A server without its HTTP.
pub(crate) struct Api {
    pub kinds: Kinds,
    pub clock: Arc<dyn Clock>,
    pub ids: Ids,
    pub rules: Rules,
    pub committed: Mutex<Committed>,
    /// The lock of a write, from its decision to the end of its commit. Reads do not need it.
    pub writer: Arc<AsyncMutex<Writer>>,
}

/// The right to write.
pub(crate) struct Writer {
    store: Box<dyn Store>,
    /// Whether a commit has begun and not ended.
    committing: bool,
}

impl Writer {
    pub fn new(store: Box<dyn Store>) -> Self {
        Self { store, committing: false }
    }
}

impl Api {
    /// The state that readers see. Do not hold the lock for longer than one look.
    pub fn lock(&self) -> MutexGuard<'_, Committed> {
        lock(&self.committed)
    }

    /// Lets `decide` make changes, commits them together, and then shows them to readers and watches.
    ///
    /// # Errors
    /// Those of `decide`, and 500 if the store does not commit. Then nothing has changed.
    pub async fn write<T>(
        self: &Arc<Self>,
        decide: impl FnOnce(&mut Transaction<'_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let writer = Arc::clone(&self.writer).lock_owned().await;
        let mut transaction = Transaction::new(&self.committed);
        let result = decide(&mut transaction)?;
        let batch = transaction.into_batch();
        if batch.is_empty() {
            return Ok(result);
        }
        let mut commit = Box::pin(Arc::clone(self).commit(writer, batch));
        let done = match futures::poll!(commit.as_mut()) {
            Poll::Ready(done) => done,
            // A client that goes away drops this future. A task of its own finishes the commit.
            Poll::Pending => tokio::spawn(commit).await.unwrap_or(Err(StoreError::Interrupted)),
        };
        done.map(|()| result).map_err(|e| ApiError::internal(&e))
    }

    async fn commit(self: Arc<Self>, mut writer: OwnedMutexGuard<Writer>, batch: Batch) -> Result<(), StoreError> {
        if writer.committing {
            return Err(StoreError::Interrupted);
        }
        writer.committing = true;
        let done = writer.store.commit(&batch.records).await;
        writer.committing = false;
        done.map(|()| self.lock().apply(batch))
    }
}
