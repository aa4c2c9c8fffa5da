//! Reports watches when they open: a watch that is back after a failure may have no event for a long time.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{Layer, Service};

use crate::api::GROUP;
use crate::controller::health::Health;

/// Reports to a [`Health`] which of the three kinds' watches the API server has accepted.
#[derive(Clone)]
pub struct WatchLayer(pub Health);

impl<S> Layer<S> for WatchLayer {
    type Service = WatchService<S>;

    fn layer(&self, inner: S) -> WatchService<S> {
        WatchService { inner, health: self.0.clone() }
    }
}

/// A service with a [`WatchLayer`].
#[derive(Clone)]
pub struct WatchService<S> {
    inner: S,
    health: Health,
}

impl<S, B, C> Service<Request<B>> for WatchService<S>
where
    S: Service<Request<B>, Response = Response<C>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let kind = watched(request.uri());
        let answer = self.inner.call(request);
        let Some(kind) = kind else { return Box::pin(answer) };
        let health = self.health.clone();
        Box::pin(async move {
            let response = answer.await?;
            if response.status().is_success() && health.connected(kind) {
                tracing::info!(kind, "the watch is back");
            }
            Ok(response)
        })
    }
}

/// The kind that a request watches, if it is one of the three.
fn watched(uri: &http::Uri) -> Option<&'static str> {
    if !uri.query()?.split('&').any(|part| part == "watch=true") {
        return None;
    }
    let (group, rest) = uri.path().strip_prefix("/apis/")?.split_once('/')?;
    match rest.rsplit('/').next()? {
        _ if group != GROUP => None,
        "containerpools" => Some("ContainerPool"),
        "workers" => Some("Worker"),
        "dispatches" => Some("Dispatch"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_of_the_three_kinds_are_known_by_their_paths() {
        let kind = |uri: &'static str| watched(&http::Uri::from_static(uri));
        let base = "/apis/poolkeeper.dev/v1alpha1";
        assert_eq!(base, format!("/apis/{GROUP}/{}", crate::api::VERSION));
        assert_eq!(kind("/apis/poolkeeper.dev/v1alpha1/workers?&watch=true&timeoutSeconds=290"), Some("Worker"));
        assert_eq!(
            kind("/apis/poolkeeper.dev/v1alpha1/namespaces/a/dispatches?watch=true&resourceVersion=1"),
            Some("Dispatch")
        );
        assert_eq!(kind("/apis/poolkeeper.dev/v1alpha1/containerpools?watch=true"), Some("ContainerPool"));
        assert_eq!(kind("/apis/poolkeeper.dev/v1alpha1/workers?limit=500"), None);
        assert_eq!(kind("/apis/apps/v1/workers?watch=true"), None);
        assert_eq!(kind("/api/v1/pods?watch=true"), None);
    }
}
