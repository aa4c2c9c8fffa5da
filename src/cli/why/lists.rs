//! The three lists that `why` reads.

use std::sync::Arc;

use http::Request;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{ContainerPool, Dispatch, RuntimeKind, Worker};
use crate::cli::exit::Failure;
use crate::cli::output;
use crate::cli::print::kinds::Kind;
use crate::cli::server::Server;
use crate::core::Now;
use crate::core::questions::Snapshot;

/// All objects of a namespace.
#[derive(Default)]
pub(super) struct Lists {
    pub pools: Vec<ContainerPool>,
    pub workers: Vec<Worker>,
    pub dispatches: Vec<Dispatch>,
}

impl Lists {
    /// Reads them.
    pub async fn read(server: &Server) -> Result<Self, Failure> {
        Ok(Self {
            pools: list(server, Kind::Pool).await?,
            workers: list(server, Kind::Worker).await?,
            dispatches: list(server, Kind::Dispatch).await?,
        })
    }

    /// A core that knows them. `default_runtime`: that of the controller, for pools that name none.
    pub fn snapshot(&self, default_runtime: RuntimeKind, now: Now) -> Snapshot {
        fn shared<K: Clone>(objects: &[K]) -> Vec<Arc<K>> {
            objects.iter().cloned().map(Arc::new).collect()
        }
        let (pools, workers, dispatches) = (shared(&self.pools), shared(&self.workers), shared(&self.dispatches));
        Snapshot::new(pools, workers, dispatches, default_runtime, now)
    }
}

/// The objects of a kind. One that a newer version wrote may not be readable: the others are.
async fn list<K: DeserializeOwned>(server: &Server, kind: Kind) -> Result<Vec<K>, Failure> {
    let path = kind.path(Some(&server.namespace));
    let request = Request::get(&path).body(Vec::new()).map_err(|e| Failure::usage(format!("{path}: {e}")))?;
    let mut answer: Value = server.client.request(request).await.map_err(|e| server.failed(&e))?;
    let mut read = Vec::new();
    for item in answer["items"].as_array_mut().map(std::mem::take).unwrap_or_default() {
        let name = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match serde_json::from_value(item) {
            Ok(object) => read.push(object),
            Err(error) => output::say(&format!("{kind} {name:?} cannot be read and is left out: {error}")),
        }
    }
    Ok(read)
}
