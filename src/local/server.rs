//! The server as its owner sees it: made from options, given out as a client or a service, asked for its records.
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::lock::Mutex as AsyncMutex;
use http::{Request, Response};
use tower::{BoxError, Service};

use crate::local::objects::api::{Api, Writer};
use crate::local::options::{LocalError, Options};
use crate::local::record::Record;
use crate::local::response::http::ResponseBody;
use crate::local::schema::built_in;
use crate::local::schema::cel::Rules;
use crate::local::schema::kind::{Kind, Kinds};
use crate::local::service;
use crate::local::store::Store;
use crate::local::store::committed::Committed;
use crate::local::store::memory::MemoryStore;

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
        let mut kinds = Vec::new();
        for (crd, number) in options.crds.iter().zip(0_u16..) {
            kinds.push(Arc::new(Kind::custom(crd, number)?));
        }
        let first_built_in = u16::try_from(kinds.len()).unwrap_or(u16::MAX);
        kinds.extend(built_in::kinds(first_built_in)?.into_iter().map(Arc::new));
        let kinds = Kinds(kinds);
        let committed = Mutex::new(Committed::new(kinds.stores(), options.history));
        let writer = Arc::new(AsyncMutex::new(Writer::new(Box::new(store))));
        let Options { clock, ids, .. } = options;
        Ok(Self(Arc::new(Api { kinds, clock, ids, rules: Rules::new(), committed, writer })))
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
        self.0.lock().records()
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
