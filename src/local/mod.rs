//! A small Kubernetes API server in this process, for tests and for running without a cluster.
//!
//! It serves whatever CRDs it is given, and Leases, Events and Namespaces, as a tower service under
//! [`kube::Client`]; codes, reasons and messages are those of kube-apiserver 1.33. It knows nothing of pools.
//! What it does not support it refuses with 406, 415 or 501 and says so: apply patches, the scale subresource, orphaning
//! and foreground deletion, Tables and `PartialObjectMetadata`. A CRD that needs conversion, or a keyword, format or rule
//! that is not known here, is refused at the start. There are no webhooks and no discovery. There is no authorization, and any
//! namespace may be used without creating it.
//!
//! From the request inwards: `routes` finds what a path names; `objects`, `list` and `watch` do the verbs, with
//! `decode`, `patch`, `select` and `render` for the formats and `change` for what a write may touch; `schema`,
//! `validate`, `cel` and `meta` know what a valid object is, `fields` and `status` how to say what is wrong; `state`
//! keeps it all, over a `store`; `gc` collects.
//!
//! No thread and no clock of its own, nothing iterated in random order: on one thread, with a seeded [`Ids`] and a
//! fixed [`Clock`], the same requests give the same history.

mod cel;
mod change;
mod decode;
mod fields;
mod gc;
mod kinds;
mod list;
mod meta;
mod objects;
mod patch;
mod render;
mod routes;
mod schema;
mod select;
mod state;
mod status;
mod store;
mod validate;
mod watch;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use tower::{BoxError, Service};

use crate::clock::{Clock, Ids};

/// How a server is to be.
pub struct Options {
    /// The custom kinds to serve.
    pub crds: Vec<CustomResourceDefinition>,
    /// Gives `creationTimestamp`, `deletionTimestamp` and the times of records.
    pub clock: Arc<dyn Clock>,
    /// Gives uids and generated names.
    pub ids: Ids,
    /// How much of the past is kept.
    pub history: History,
}

/// How much of the past is kept. Watches from before it get 410.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// Every version of every object, for [`LocalApi::history`] too.
    Full,
    /// The newest events of each kind, that many, for watches only.
    Window(usize),
}

/// Why a server could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A CRD that this server cannot serve.
    #[error("CRD {name}: {message}")]
    Crd {
        /// `plural.group`.
        name: String,
        /// What is wrong, with the path in the schema.
        message: String,
    },
}

/// One version of one object, as it was written.
#[derive(Debug, Clone)]
pub struct Record {
    /// The number of the write; one counter for all objects.
    pub resource_version: u64,
    /// When it was written.
    pub time: Timestamp,
    /// What was done.
    pub change: Change,
    /// Kind of the object.
    pub resource: Resource,
    /// `None` for kinds without namespaces.
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: String,
    /// Uid of the object.
    pub uid: String,
    /// For [`Change::Deleted`] the last version, with the resourceVersion of the deletion.
    pub object: Arc<serde_json::Value>,
}

/// What a write did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Made.
    Added,
    /// Changed.
    Modified,
    /// Taken away.
    Deleted,
}

/// A kind's group and plural name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// Plural name, as in paths.
    pub plural: String,
}

/// The server. Clones are the same server.
#[derive(Clone)]
pub struct LocalApi(Arc<objects::Api>);

impl LocalApi {
    /// An empty server.
    ///
    /// # Errors
    /// A CRD that cannot be served: a schema, pattern or rule that does not compile, several served versions.
    pub fn new(options: Options) -> Result<Self, LocalError> {
        let mut kinds = Vec::new();
        for (crd, number) in options.crds.iter().zip(0_u16..) {
            kinds.push(Arc::new(kinds::Kind::custom(crd, number)?));
        }
        let first_built_in = u16::try_from(kinds.len()).unwrap_or(u16::MAX);
        kinds.extend(kinds::built_in(first_built_in)?.into_iter().map(Arc::new));
        let stores = kinds.iter().map(|k| usize::from(k.store) + 1).max().unwrap_or_default();
        Ok(Self(Arc::new(objects::Api {
            kinds,
            clock: options.clock,
            ids: options.ids,
            rules: cel::Rules::new(),
            state: Mutex::new(state::State::new(stores, options.history)),
        })))
    }

    /// A client of this server. Must be called in a tokio runtime.
    #[must_use]
    pub fn client(&self, default_namespace: &str) -> kube::Client {
        kube::Client::new(self.service(), default_namespace)
    }

    /// The server as a service, so that a test can put a layer between it and a client.
    #[must_use]
    pub fn service(&self) -> LocalService {
        LocalService(Arc::clone(&self.0))
    }

    /// All versions of all objects in the order of their writes. Empty unless [`History::Full`].
    #[must_use]
    pub fn history(&self) -> Vec<Record> {
        self.0.lock().records()
    }

    /// The number of the last write.
    pub fn revision(&self) -> u64 {
        self.0.lock().revision()
    }

    /// Forgets the past for watches and paged lists: from older resourceVersions they now get 410. [`Self::history`]
    /// stays whole.
    pub fn compact(&self) {
        self.0.lock().compact();
    }
}

/// The body of a response.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// The server as a tower service.
#[derive(Clone)]
pub struct LocalService(Arc<objects::Api>);

impl Service<Request<kube::client::Body>> for LocalService {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        Box::pin(routes::handle(Arc::clone(&self.0), request))
    }
}
