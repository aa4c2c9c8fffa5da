//! The store of a server whose objects end with its process.
use async_trait::async_trait;

use crate::local::record::Record;
use crate::local::store::{Store, StoreError};

/// Stores nothing. The objects that the server itself holds are the only ones.
pub(crate) struct MemoryStore;

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&mut self, _: &[Record]) -> Result<(), StoreError> {
        Ok(())
    }
}
