//! One controller's view of the runtime, which ends with the controller.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use poolkeeper::api::RuntimeKind;
use poolkeeper::api::dispatch::Target;
use poolkeeper::runtime::{
    Instance, InstanceKey, InstanceSpec, InstanceState, Observation, Runtime, RuntimeError, StartError,
};
use tokio_util::sync::CancellationToken;

use poolkeeper_testkit::audit::evidence::SECRET;
use poolkeeper_testkit::fake::FakeRuntime;

pub struct View {
    pub fake: FakeRuntime,
    pub dead: CancellationToken,
}

/// A number that tells instances apart.
fn nth(key: &InstanceKey) -> u32 {
    key.uid.bytes().map(u32::from).sum()
}

impl View {
    #[allow(clippy::new_ret_no_self, reason = "it is needed only as a runtime")]
    pub fn new(fake: &FakeRuntime, name: &str, dead: &CancellationToken) -> Arc<dyn Runtime> {
        Arc::new(Self { fake: fake.view(name), dead: dead.clone() })
    }

    async fn alive(&self) {
        if self.dead.is_cancelled() {
            futures::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Runtime for View {
    fn kind(&self) -> RuntimeKind {
        self.fake.kind()
    }

    fn hosts(&self) -> Vec<String> {
        self.fake.hosts()
    }

    fn observe(&self, host: &str) -> BoxStream<'static, Observation> {
        self.fake.observe(host).take_until(self.dead.clone().cancelled_owned()).chain(stream::pending()).boxed()
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<Instance, StartError> {
        self.alive().await;
        // The value is known here only, as in a real runtime.
        let mut spec = InstanceSpec { credential: None, ..spec.clone() };
        spec.env.push(poolkeeper::api::pool::EnvVar { name: "TOKEN".to_owned(), value: SECRET.to_owned() });
        let made = self.fake.start(&spec).await?;
        // As of a Pod: the answer to its creation may come after it was seen to be Ready, and does not know of that.
        let old = nth(&spec.key).is_multiple_of(3);
        Ok(if old { Instance { state: InstanceState::Starting, ..made } } else { made })
    }

    async fn stop(&self, host: &str, key: &InstanceKey) -> Result<(), RuntimeError> {
        self.alive().await;
        self.fake.stop(host, key).await
    }

    async fn check(&self, host: &str, key: &InstanceKey) -> Result<Option<Instance>, RuntimeError> {
        self.alive().await;
        let answer = self.fake.check(host, key).await;
        // It may be long on its way, and old when it comes.
        if nth(key) % 3 == 1 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        answer
    }

    async fn set_paused(&self, host: &str, key: &InstanceKey, paused: bool) -> Result<Option<Instance>, RuntimeError> {
        self.alive().await;
        self.fake.set_paused(host, key, paused).await
    }

    fn target(&self, instance: &Instance) -> Target {
        self.fake.target(instance)
    }
}
