//! Where a supervisor works: the API that its Dispatches are in, and what runs tasks in the workers.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client};

use crate::api::{ContainerPool, Dispatch, Worker};
use crate::runtime::exec::Executor;

/// Where the workers are, and how they are reached.
#[derive(Clone)]
pub struct Place {
    /// Reaches the API.
    pub client: Client,
    /// The namespace of pool, Workers and Dispatches.
    pub namespace: String,
    /// Runs tasks in the workers.
    pub executor: Arc<dyn Executor>,
    broken: Shared<BoxFuture<'static, Arc<str>>>,
}

impl Place {
    /// A place that works until `broken` resolves, with the reason.
    pub fn new(
        client: Client,
        namespace: impl Into<String>,
        executor: Arc<dyn Executor>,
        broken: impl Future<Output = Arc<str>> + Send + 'static,
    ) -> Self {
        Self { client, namespace: namespace.into(), executor, broken: broken.boxed().shared() }
    }

    /// The Dispatches.
    pub fn dispatches(&self) -> Api<Dispatch> {
        self.api()
    }

    /// The Workers.
    pub fn workers(&self) -> Api<Worker> {
        self.api()
    }

    /// The pools.
    pub fn pools(&self) -> Api<ContainerPool> {
        self.api()
    }

    /// All objects of one kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Resolves if what makes the workers ends by itself, with the reason.
    pub async fn broken(&self) -> Arc<str> {
        self.broken.clone().await
    }
}
