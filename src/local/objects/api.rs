//! The state of a server, which the verbs share, and how a write is committed.
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use tokio::sync::Mutex as AsyncMutex;

use crate::clock::{Clock, Ids};
use crate::local::response::status::ApiError;
use crate::local::schema::cel::Rules;
use crate::local::schema::kind::Kinds;
use crate::local::store::committed::{Committed, lock};
use crate::local::store::log::Batch;
use crate::local::store::transaction::Transaction;
use crate::local::store::writer::{GroupError, Ticket, Writer};
use crate::local::store::{Store, StoreError};

/// A server without its HTTP.
pub(crate) struct Api {
    pub kinds: Kinds,
    pub clock: Arc<dyn Clock>,
    pub ids: Ids,
    pub rules: Rules,
    pub committed: Mutex<Committed>,
    /// The lock of a decision. It is never held while a store works, and reads do not need it.
    pub writer: AsyncMutex<Writer>,
    /// The lock of a commit. It is taken before that of a decision.
    pub committer: AsyncMutex<Committer>,
}

/// The right to commit.
pub(crate) struct Committer {
    store: Box<dyn Store>,
    /// Whether a commit has begun and not ended.
    committing: bool,
}

impl Committer {
    pub fn new(store: Box<dyn Store>) -> Self {
        Self { store, committing: false }
    }
}

impl Api {
    /// The state that readers see. Do not hold the lock for longer than one look.
    pub fn lock(&self) -> MutexGuard<'_, Committed> {
        lock(&self.committed)
    }

    /// Lets `decide` make changes, commits them together, and then shows them to readers and watches. Requests that come
    /// while the store works are committed together, and each of them all or nothing.
    ///
    /// # Errors
    /// Those of `decide`, and 500 if the store does not commit. Then nothing has changed.
    pub async fn write<T>(
        self: &Arc<Self>,
        decide: impl FnOnce(&mut Transaction<'_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let (result, ticket) = {
            let mut writer = self.writer.lock().await;
            let mut transaction = Transaction::new(&self.committed, writer.pending());
            let result = decide(&mut transaction);
            let batch = if result.is_ok() { transaction.into_batch() } else { Batch::default() };
            (result, writer.join(batch))
        };
        // A refusal waits as well: it may be due to a change that is not durable yet.
        if let Some(ticket) = ticket {
            let mut commit = Box::pin(Arc::clone(self).commit(ticket));
            let done = match futures::poll!(commit.as_mut()) {
                Poll::Ready(done) => done,
                // A client that goes away drops this future. A task of its own finishes the commit.
                Poll::Pending => tokio::spawn(commit).await.unwrap_or_else(|_| Err(Arc::new(StoreError::Interrupted))),
            };
            done.map_err(|e| ApiError::internal(&*e))?;
        }
        result
    }

    /// Waits until a group is committed. Commits it if no other request of the group has.
    async fn commit(self: Arc<Self>, ticket: Arc<Ticket>) -> Result<(), GroupError> {
        let mut committer = tokio::select! {
            biased;
            ended = ticket.wait() => return ended,
            committer = self.committer.lock() => committer,
        };
        if let Some(ended) = ticket.ended() {
            return ended;
        }
        // Groups are taken under this lock, and those that were taken have ended: this one still forms.
        let (batch, ticket) = self.writer.lock().await.take();
        let done = if committer.committing {
            Err(StoreError::Interrupted)
        } else if batch.is_empty() {
            Ok(())
        } else {
            committer.committing = true;
            let done = committer.store.commit(&batch.records).await;
            committer.committing = false;
            done
        };
        let mut writer = self.writer.lock().await;
        match done {
            Ok(()) => {
                writer.committed(&batch, &ticket);
                self.lock().apply(batch);
            }
            Err(why) => writer.failed(&ticket, why),
        }
        drop(writer);
        ticket.ended().unwrap_or_else(|| Err(Arc::new(StoreError::Interrupted)))
    }
}
