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
                writer.committed(&batch);
                self.lock().apply(batch, self.clock.mono());
                // Not before readers see it: a client may read as soon as it has its answer.
                ticket.end(Ok(()));
            }
            Err(why) => writer.failed(&ticket, why),
        }
        drop(writer);
        ticket.ended().unwrap_or_else(|| Err(Arc::new(StoreError::Interrupted)))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Wake};

    use serde_json::json;

    use super::*;
    use crate::clock::SystemClock;
    use crate::local::History;
    use crate::local::record::Change;
    use crate::local::schema::{built_in, kind::Kinds};
    use crate::local::store::memory::MemoryStore;
    use crate::local::store::object::ObjectKey;

    fn api() -> Arc<Api> {
        let kinds = Kinds(built_in::kinds(0).unwrap().into_iter().map(Arc::new).collect());
        Arc::new(Api {
            committed: Mutex::new(Committed::new(kinds.stores(), History::Window(16))),
            kinds,
            clock: Arc::new(SystemClock::new()),
            ids: Ids::seeded(1),
            rules: Rules::new(),
            writer: AsyncMutex::default(),
            committer: AsyncMutex::new(Committer::new(Box::new(MemoryStore))),
        })
    }

    /// Reads the revision that is visible, at the moment in which it is woken.
    struct Reader {
        api: Arc<Api>,
        seen: Mutex<Vec<u64>>,
    }

    impl Wake for Reader {
        fn wake(self: Arc<Self>) {
            self.seen.lock().unwrap().push(self.api.lock().revision());
        }
    }

    /// A task was once reported as lost: its Dispatch had been created, and the next read did not find it.
    #[tokio::test]
    async fn a_request_that_is_answered_can_read_its_change() {
        let api = api();
        let ticket = {
            let mut writer = api.writer.lock().await;
            let mut transaction = Transaction::new(&api.committed, writer.pending());
            let key = ObjectKey { store: 0, namespace: "default".into(), name: "a".into() };
            let object = json!({"metadata": {"name": "a", "uid": "1"}});
            transaction.change(api.kinds.stored(0), key, Change::Added, object, None, api.clock.now());
            let batch = transaction.into_batch();
            writer.join(batch).unwrap()
        };
        let reader = Arc::new(Reader { api: Arc::clone(&api), seen: Mutex::default() });
        let mut answer = pin!(ticket.wait());
        assert!(answer.as_mut().poll(&mut Context::from_waker(&Arc::clone(&reader).into())).is_pending());
        let before = api.lock().revision();
        Arc::clone(&api).commit(Arc::clone(&ticket)).await.unwrap();
        assert_eq!(*reader.seen.lock().unwrap(), [before + 1]);
    }
}
