//! The server as its owner sees it: made from options, given out as a client or a service, asked for its records.
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::sync::Mutex as AsyncMutex;
use tower::{BoxError, Service};

use crate::local::objects::api::{Api, Committer};
use crate::local::options::{LocalError, Options};
use crate::local::record::Record;
use crate::local::response::http::ResponseBody;
use crate::local::schema::built_in;
use crate::local::schema::cel::Rules;
use crate::local::schema::kind::{Kind, Kinds};
use crate::local::service;
use crate::local::store::committed::Committed;
use crate::local::store::memory::MemoryStore;
use crate::local::store::object::{ObjectKey, Stored};
use crate::local::store::{Contents, Store};

/// The server. Clones are the same server.
#[derive(Clone)]
pub struct LocalApi(Arc<Api>);

impl LocalApi {
    /// An empty server.
    ///
    /// # Errors
    /// A CRD that cannot be served: a schema, pattern or rule that does not compile, several served versions.
    pub fn new(options: Options) -> Result<Self, LocalError> {
        Self::with_store(options, MemoryStore)
    }

    /// An empty server that commits every write to a store.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_store(options: Options, store: impl Store) -> Result<Self, LocalError> {
        Self::make(options, store, None)
    }

    /// A server that goes on with what a store holds, and commits every write to it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn restored(options: Options, store: impl Store, contents: Contents) -> Result<Self, LocalError> {
        Self::make(options, store, Some(contents))
    }

    fn make(options: Options, store: impl Store, contents: Option<Contents>) -> Result<Self, LocalError> {
        let mut kinds = Vec::new();
        for (crd, number) in options.crds.iter().zip(0_u16..) {
            kinds.push(Arc::new(Kind::custom(crd, number)?));
        }
        let first_built_in = u16::try_from(kinds.len()).unwrap_or(u16::MAX);
        kinds.extend(built_in::kinds(first_built_in)?.into_iter().map(Arc::new));
        let kinds = Kinds(kinds);
        let mut committed = Committed::new(kinds.stores(), options.history);
        if let Some(Contents { revision, objects }) = contents {
            committed.restore(revision, objects.into_iter().filter_map(|record| restored(&kinds, record)));
        }
        let committed = Mutex::new(committed);
        let (writer, committer) = (AsyncMutex::default(), AsyncMutex::new(Committer::new(Box::new(store))));
        let Options { clock, ids, .. } = options;
        Ok(Self(Arc::new(Api { kinds, clock, ids, rules: Rules::new(), committed, writer, committer })))
    }

    /// A client of this server. Must be called in a tokio runtime.
    #[must_use]
    pub fn client(&self, default_namespace: &str) -> kube::Client {
        kube::Client::new(self.service(), default_namespace)
    }

    /// The server as a service. A test can put a layer between it and a client.
    #[must_use]
    pub fn service(&self) -> LocalService {
        LocalService(Arc::clone(&self.0))
    }

    /// All versions of all objects in the order of their writes. Empty unless [`History::Full`](super::History::Full).
    #[must_use]
    pub fn history(&self) -> Vec<Record> {
        self.history_after(0)
    }

    /// The same without the first `known` versions.
    #[must_use]
    pub fn history_after(&self, known: usize) -> Vec<Record> {
        self.0.lock().records_after(known)
    }

    /// The number of the last write.
    pub fn revision(&self) -> u64 {
        self.0.lock().revision()
    }

    /// Forgets the past for watches and paged lists: they get 410 for older resourceVersions from now on.
    /// [`Self::history`] stays complete.
    pub fn compact(&self) {
        self.0.lock().compact();
    }
}

/// Where an object goes that a store held. None: its kind is not served. Defaults that its schema did not have when it was
/// written are filled in, as a real server does when it reads an object.
fn restored(kinds: &Kinds, record: Record) -> Option<(ObjectKey, Stored)> {
    let Record { resource, namespace, name, resource_version, object, unsettled, .. } = record;
    let key = ObjectKey { store: kinds.store_of(&resource)?, namespace: namespace.unwrap_or_default(), name };
    let mut object = Arc::unwrap_or_clone(object);
    let filled = kinds.stored(key.store).schema.apply_defaults(&mut object);
    Some((key, Stored { unsettled: unsettled || filled, ..Stored::new(resource_version, object) }))
}

/// The server as a tower service, for requests with any kind of body.
#[derive(Clone)]
pub struct LocalService(Arc<Api>);

impl<B> Service<Request<B>> for LocalService
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(service::handle(Arc::clone(&self.0), request))
    }
}
