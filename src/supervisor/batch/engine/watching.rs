//! What the watches report, and what follows for the tasks.

use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use kube::Api;
use kube::runtime::watcher::{self, watcher};

use super::state::{Engine, room};
use crate::api::dispatch::{Dispatch, DispatchPhase};
use crate::api::vocabulary::PoolRuntimeAllowed;
use crate::api::worker::WorkerPhase;
use crate::api::{Condition, ContainerPool, Worker};
use crate::causes::with_causes;
use crate::supervisor::Error;
use crate::supervisor::patience::Patience;
use crate::supervisor::progress::Progress;

/// Failed starts in a row after which a pool that never ran anything is taken to be unable to.
const HOPELESS_STARTS: i32 = 3;

/// Follows objects of one kind.
pub(super) fn watch<K>(
    api: Api<K>,
    which: watcher::Config,
    patience: &Patience,
) -> BoxStream<'_, Result<watcher::Event<K>, Error>>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
    K::DynamicType: Default + Clone + Eq + std::hash::Hash,
{
    if patience.is_none() {
        endless(watcher(api, which)).boxed()
    } else {
        patient(watcher(api, which), patience).boxed()
    }
}

impl Engine {
    pub(super) async fn on_dispatch_event(&mut self, event: watcher::Event<Dispatch>) -> Result<(), Error> {
        match event {
            watcher::Event::Apply(d) => self.on_dispatch(d),
            watcher::Event::InitApply(d) => {
                self.listed.extend(d.metadata.name.clone());
                self.on_dispatch(d);
            }
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitDone => return self.look_for_unlisted().await,
            // The controller removes only final ones, and their last version came before. Others may remove any.
            watcher::Event::Delete(d) => self.on_removed(&d),
        }
        Ok(())
    }

    /// A watch that started over may have missed the end of a task whose Dispatch is gone by now.
    pub(super) async fn look_for_unlisted(&mut self) -> Result<(), Error> {
        let unlisted: Vec<String> = self
            .in_flight
            .iter()
            .filter(|(n, t)| !self.listed.contains(*n) && t.last.is_none())
            .map(|(n, _)| n.clone())
            .collect();
        for name in unlisted {
            let dispatches = &self.runner.place.dispatches();
            match self.runner.patience.repeat("looking for a task", || dispatches.get_opt(&name)).await? {
                Some(d) => self.on_dispatch(d),
                None => self.end_removed(&name),
            }
        }
        Ok(())
    }

    pub(super) fn on_dispatch(&mut self, d: Dispatch) {
        let Some(name) = d.metadata.name else { return };
        let Some(status) = d.status else { return };
        let Some(t) = self.in_flight.get_mut(&name).filter(|t| Some(&t.uid) == d.metadata.uid.as_ref()) else { return };
        let closed = status.last_result.as_ref().is_some_and(|r| r.attempt > t.closed);
        t.waits = status.message.clone().filter(|_| status.phase == DispatchPhase::Pending);
        if closed {
            self.on_closed(&name, &status);
        }
        if status.phase.is_final() {
            self.end(&name, status);
        } else if status.is_open() {
            self.start(&name, &status);
        }
    }

    pub(super) fn on_pool_event(&mut self, event: watcher::Event<ContainerPool>) -> Result<(), Error> {
        if let watcher::Event::Delete(_) = event {
            self.pool_goes = true;
        }
        let (watcher::Event::Apply(pool) | watcher::Event::InitApply(pool)) = event else { return Ok(()) };
        self.pool_goes |= self.is_shared() && pool.metadata.deletion_timestamp.is_some();
        self.room = room(&pool);
        if let Some(why) = refused_runtime(&pool) {
            return Err(Error::RuntimeRefused(why));
        }
        self.refused = all_refused(&pool);
        self.probes = !pool.spec.rate_limit.park_probe.is_zero();
        let backoff = pool.status.and_then(|s| s.start_backoff);
        let failures = backoff.as_ref().map_or(0, |b| b.failures);
        if let Some(backoff) = backoff.filter(|b| b.failures > self.start_failures) {
            let before = if self.is_shared() { *self.failures_before.get_or_insert(failures) } else { 0 };
            if failures - before >= HOPELESS_STARTS && !self.worked && (self.workers.is_empty() || !self.is_shared()) {
                return Err(self.hopeless(&backoff.message));
            }
            // Reported at once, and again only if the message differs.
            if self.start_message != backoff.message {
                self.start_message.clone_from(&backoff.message);
                self.tracker.report(&Progress::StartFailed { failures, message: backoff.message });
            }
        }
        self.start_failures = failures;
        Ok(())
    }

    pub(super) fn on_worker_event(&mut self, event: watcher::Event<Worker>) {
        match event {
            watcher::Event::Apply(w) | watcher::Event::InitApply(w) => {
                let up = w.status.is_some_and(|s| s.phase != WorkerPhase::Starting && s.phase != WorkerPhase::Failed);
                let name = w.metadata.name.unwrap_or_default();
                if up && self.workers.insert(name.clone()) {
                    self.tracker.report(&Progress::WorkerReady { worker: name, credential: w.spec.credential });
                }
            }
            watcher::Event::Delete(w) => {
                let name = w.metadata.name.unwrap_or_default();
                if self.workers.remove(&name) {
                    self.tracker.report(&Progress::WorkerGone { worker: name });
                }
            }
            watcher::Event::Init | watcher::Event::InitDone => {}
        }
    }
}

/// A watch recovers by itself. Many errors in a row, faster than anything could recover, end it.
fn endless<K>(
    watch: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
) -> impl Stream<Item = Result<watcher::Event<K>, Error>> + Send + 'static
where
    K: Send + 'static,
{
    let mut errors = 0;
    watch.filter_map(move |event| {
        errors = if event.is_ok() { 0 } else { errors + 1 };
        let many = errors > 10;
        async move {
            match event {
                Ok(event) => Some(Ok(event)),
                Err(error) if many => Some(Err(Error::Watch(error))),
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    None
                }
            }
        }
    })
}

/// A watch of a server that may be away.
fn patient<'a, K: Send + 'static>(
    watch: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'a,
    patience: &'a Patience,
) -> impl Stream<Item = Result<watcher::Event<K>, Error>> + Send + 'a {
    use watcher::Error as E;
    watch.filter_map(move |event| async move {
        match event {
            Ok(event) => {
                patience.is_back();
                Some(Ok(event))
            }
            Err(E::InitialListFailed(error) | E::WatchStartFailed(error)) if !patience.may_pass(&error) => {
                Some(Err(Error::api("a watch")(error)))
            }
            Err(error) => patience.wait("a watch", &with_causes(&error)).await.err().map(Err),
        }
    })
}

/// The message of the pool, if its runtime is refused.
fn refused_runtime(pool: &ContainerPool) -> Option<String> {
    let conditions = &pool.status.as_ref()?.conditions;
    let refused = Condition::find::<PoolRuntimeAllowed>(conditions).filter(|c| !c.is_true())?;
    Some(refused.message.clone())
}

/// The names of the pool's credentials, if every one was refused.
fn all_refused(pool: &ContainerPool) -> Option<String> {
    let rests = &pool.status.as_ref()?.rate_limits;
    let parked = |key: &str| rests.iter().any(|r| r.key == key && r.parked);
    let credentials = &pool.spec.credentials;
    let all = !credentials.is_empty() && credentials.iter().all(|c| parked(&c.identity()));
    all.then(|| credentials.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", "))
}
