//! Whether the engine that answers at an address is the one that is meant.
//!
//! An address may lead to another engine at any time. That engine would say of each container that it does not exist, and
//! every running task would be started again.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

/// Decides whether an engine may be used, by its id. It is asked at each new connection.
#[derive(Clone)]
pub struct EngineGate(Arc<Decide>);

type Decide = dyn Fn(String, String) -> BoxFuture<'static, Result<(), String>> + Send + Sync;

impl EngineGate {
    /// `decide` gets the name of the host and the id of the engine, and answers why it must not be used.
    pub fn new(
        decide: impl Fn(String, String) -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(decide))
    }

    pub(super) async fn ask(&self, host: &str, id: &str) -> Result<(), String> {
        (self.0)(host.to_owned(), id.to_owned()).await
    }
}

impl fmt::Debug for EngineGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineGate")
    }
}
