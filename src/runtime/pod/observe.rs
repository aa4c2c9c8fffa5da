//! The watch on the Pods of Workers.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher::{self, Event};

use super::seen::{Extra, Seen};
use super::state;
use super::trim::Trimmed;
use crate::api::names;
use crate::causes::with_causes;
use crate::runtime::{Instance, InstanceState, Observation};

/// Pause before a broken watch is started again; doubles to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(200);
/// Longest such pause.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Consecutive failures after which Pods count as not followed. A single failure is an interrupted watch, unless the server
/// refused it.
const TOO_MANY: u32 = 2;

/// How long an interrupted watch may show nothing before all is listed again. Only what it shows proves that it continues.
const SILENCE: Duration = Duration::from_secs(30);

/// Pods in one answer of a listing. That many are in memory at a time, untrimmed.
const PAGE: u32 = 100;

/// Marks the watch as unreliable when its reader is dropped.
struct Live(Arc<Seen>, bool);

impl Live {
    fn set(&mut self, live: bool) {
        match (self.1, live) {
            (false, true) => self.0.live(),
            (true, false) => self.0.lost(),
            _ => {}
        }
        self.1 = live;
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// Follows the Pods of Workers, endlessly. See [`crate::runtime::Runtime::observe`]. Those of every installation: whose Worker
/// is there is not known here, and without the Worker what another installation made is left alone.
pub(super) fn observe(api: Api<Trimmed>, installation: String, seen: Arc<Seen>) -> BoxStream<'static, Observation> {
    let config = watcher::Config::default().labels(names::WORKER_UID).page_size(PAGE);
    Box::pin(async_stream::stream! {
        let mut live = Live(seen.clone(), false);
        let mut events = watcher::watcher(api.clone(), config.clone()).boxed();
        let mut listing = Vec::new();
        let mut failures = 0;
        // Whether all was listed, and since then the watch not cut.
        let (mut listed, mut whole) = (false, false);
        let mut unreachable = false;
        loop {
            let next = events.next();
            let next = if listed && failures > 0 { tokio::time::timeout(SILENCE, next).await } else { Ok(next.await) };
            let event = match next {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(_) => {
                    failures = 0; // it stands
                    if whole {
                        continue;
                    }
                    events = watcher::watcher(api.clone(), config.clone()).boxed();
                    continue;
                }
            };
            match event {
                Ok(Event::Init) => {
                    listed = false;
                    listing.clear();
                }
                Ok(Event::InitApply(Trimmed(pod))) => listing.extend(take(&seen, &installation, &pod)),
                Ok(Event::InitDone) => {
                    // That it can be listed says nothing about the watch that follows.
                    (listed, whole, unreachable) = (true, true, false);
                    seen.keep(&listing.iter().map(|i: &Instance| &i.key).collect());
                    live.set(true);
                    yield Observation::Listed(std::mem::take(&mut listing));
                }
                Ok(Event::Apply(Trimmed(pod))) => {
                    failures = 0;
                    live.set(true);
                    let before = state::key(&pod).and_then(|key| seen.get(&key));
                    if let Some(now) = take(&seen, &installation, &pod).filter(|now| before.as_ref() != Some(now)) {
                        yield Observation::Changed(now);
                    }
                }
                Ok(Event::Delete(Trimmed(pod))) => {
                    failures = 0;
                    live.set(true);
                    let Some(mut last) = state::instance(&pod, &installation, None) else { continue };
                    seen.remove(&last.key);
                    // How it ended is worth more than that it is gone, and is seen only here if it was deleted running.
                    if !matches!(last.state, InstanceState::Exited(_)) {
                        last.state = InstanceState::Exited(state::gone(&pod));
                    }
                    let key = last.key.clone();
                    yield Observation::Changed(last);
                    yield Observation::Gone(key);
                }
                Err(error) => {
                    failures += 1;
                    if is_refused(&error) {
                        failures = failures.max(TOO_MANY);
                    }
                    whole = false;
                    live.set(false);
                    if failures >= TOO_MANY {
                        if !std::mem::replace(&mut unreachable, true) {
                            yield Observation::Unreachable(format!("Pods cannot be followed: {}", with_causes(&error)));
                        }
                        // Goes on with a listing, which takes that back.
                        events = watcher::watcher(api.clone(), config.clone()).boxed();
                    }
                    let pause = (MIN_PAUSE * 2u32.pow(failures.min(8) - 1)).min(MAX_PAUSE);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    })
}

/// True if the server answered that it will not: it was no connection that was cut, and will be so the next time.
fn is_refused(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400..=407))
}

fn take(seen: &Seen, installation: &str, pod: &Pod) -> Option<Instance> {
    let before = state::key(pod).and_then(|key| seen.get(&key));
    let now = state::instance(pod, installation, before.as_ref())?;
    let extra = Extra {
        hollow: state::is_hollow(pod),
        node: state::node(pod).map(|name| seen.node(name)),
        protected_for: state::protected_for(pod),
    };
    Some(seen.put(now, extra))
}

#[cfg(test)]
mod tests;
