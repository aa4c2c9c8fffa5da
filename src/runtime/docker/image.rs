//! Getting an image that is not there. Starts that need the same one share one pull.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::future::{BoxFuture, FutureExt, Shared, WeakShared};
use futures::stream::StreamExt;

use super::endpoint::Endpoint;
use super::engine_error::EngineError;

/// A registry may take its time before the first byte of an answer.
const PULL_TIMEOUT: Duration = Duration::from_mins(10);

type Pull = Result<(), EngineError>;

/// The pulls under way on a host, by image. A pull continues as long as a start waits for it.
#[derive(Default)]
pub(super) struct Pulls(Mutex<BTreeMap<String, WeakShared<BoxFuture<'static, Pull>>>>);

impl Pulls {
    fn join(&self, image: &str, begin: impl FnOnce() -> BoxFuture<'static, Pull>) -> Shared<BoxFuture<'static, Pull>> {
        let mut pulls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.retain(|_, pull| pull.upgrade().is_some());
        // One that has ended says nothing about now: the image may have been removed since.
        if let Some(pull) = pulls.get(image).and_then(WeakShared::upgrade).filter(|pull| pull.peek().is_none()) {
            return pull;
        }
        let pull = begin().shared();
        if let Some(weak) = pull.downgrade() {
            pulls.insert(image.to_owned(), weak);
        }
        pull
    }

    /// Pulls `image` onto the host called `host`, whose engine is at `endpoint`.
    pub(super) async fn pull(&self, host: &str, endpoint: &Endpoint, docker: &Docker, image: &str) -> Pull {
        let reference = with_tag(image);
        let (host, endpoint) = (host.to_owned(), endpoint.clone());
        let begin = || {
            tracing::info!(image, host, "pulling");
            let docker = docker.clone().with_timeout(PULL_TIMEOUT);
            let options = CreateImageOptionsBuilder::default().from_image(&reference).build();
            async move {
                let mut progress = std::pin::pin!(docker.create_image(Some(options), None, None));
                while let Some(step) = progress.next().await {
                    step.map_err(|e| EngineError::new(&host, &endpoint, &e))?;
                }
                Ok(())
            }
            .boxed()
        };
        self.join(image, begin).await
    }
}

/// What to say when an image cannot be had: the engine's words, and what to do.
pub(super) fn refusal(host: &str, image: &str, words: &str) -> String {
    format!(
        "image {image} is not on host {host} and cannot be pulled: {words}; check spec.image, or put it there with \
         `docker pull`, `docker build` or `docker load`"
    )
}

/// Without a tag or a digest the engine would pull every tag there is.
fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        assert_eq!(with_tag("busybox"), "busybox:latest");
        assert_eq!(with_tag("localhost:5000/a/b"), "localhost:5000/a/b:latest");
        assert_eq!(with_tag("localhost:5000/a/b:1"), "localhost:5000/a/b:1");
        assert_eq!(with_tag("a@sha256:00"), "a@sha256:00");
    }

    #[tokio::test]
    async fn pulls_are_shared_while_under_way_and_begun_anew_after() {
        let (pulls, begun) = (Pulls::default(), Arc::new(AtomicUsize::new(0)));
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let wait = wait.map(|_| ()).shared();
        let begin = || {
            let (begun, wait) = (begun.clone(), wait.clone());
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                wait.await;
                Ok(())
            }
            .boxed()
        };
        let (one, two, other) = (pulls.join("a", begin), pulls.join("a", begin), pulls.join("b", begin));
        let all = tokio::spawn(async move { futures::join!(one, two, other) });
        go.send(()).unwrap();
        assert_eq!(all.await.unwrap(), (Ok(()), Ok(()), Ok(())));
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        pulls.join("a", begin).await.unwrap();
        assert_eq!(begun.load(Ordering::SeqCst), 3);
    }
}
