//! A runtime in memory: a world of instances, seen by several controllers at the same time.
//!
//! All of its time is tokio's, all of its chance comes from the seed, and it touches nothing outside of itself: under
//! paused time one seed gives one run. It is the ground truth: what it records ([`FakeEvent`]) is what really
//! happened, whatever the controllers have seen. It forbids nothing that a real runtime would not, so
//! an auditor can find it: a uid started twice, two tasks in one instance.
//!
//! A worker with the command `["exit", CODE, TEXT]` ends right after its start, and one with `["wait", TEXT]` is not started
//! for now. The image `no-such-image` is
//! refused. A credential is resolved as real runtimes do.
//!
//! - Here: the world as a runtime, and the tasks in it. `orders`: starts, stops and pauses. `faults`: what goes wrong. `happened`: what
//!   is recorded. `world`: the truth.

mod faults;
mod happened;
mod orders;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use poolkeeper::api::RuntimeKind;
use poolkeeper::api::dispatch::Target;
use poolkeeper::clock::{Clock, Ids};
use poolkeeper::runtime::{
    Exit, Instance, InstanceKey, InstanceSpec, InstanceState, Observation, Runtime, RuntimeError, StartError,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

pub use self::happened::{Cause, FakeEvent, What};
use self::world::{Observer, World};
use crate::watched::Watched;

/// What becomes of a start or a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The host answers that it will not. Nothing is done.
    Refused(String),
    /// The host is not reached. Nothing is done.
    Unreachable,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// The request is lost on its way, which the caller cannot know. Nothing is done.
    RequestLost,
}

/// Why a task did not start, or did not end well: the instance is not there, or not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotThere(pub String);

/// One controller's view of the world. Clones share it.
#[derive(Clone)]
pub struct FakeRuntime {
    world: Arc<Mutex<World>>,
    view: String,
    /// Views that see nothing now.
    frozen: Watched<BTreeSet<String>>,
    /// Wakes those that wait for a change of the world.
    changed: Arc<Notify>,
}

impl FakeRuntime {
    /// A world with these hosts, all reachable, seen by a controller named `a`.
    pub fn new(hosts: &[&str], clock: Arc<dyn Clock>, ids: Ids) -> Self {
        let ms = Duration::from_millis;
        let world = World {
            clock,
            ids,
            hosts: hosts.iter().map(|host| ((*host).to_owned(), true)).collect(),
            instances: BTreeMap::new(),
            starts: BTreeMap::new(),
            observers: Vec::new(),
            events: Vec::new(),
            latency: ms(1)..ms(20),
            start_time: ms(10)..ms(500),
            stop_time: ms(10)..ms(500),
            relist: Duration::from_secs(30),
            next_starts: Vec::new(),
            next_stops: Vec::new(),
            refuse_pauses: (false, false),
        };
        let (world, view) = (Arc::new(Mutex::new(world)), "a".to_owned());
        Self { world, view, frozen: Watched::default(), changed: Arc::default() }
    }

    /// The same world, seen by another controller.
    #[must_use]
    pub fn view(&self, name: &str) -> Self {
        Self { view: name.to_owned(), ..self.clone() }
    }

    // For the auditor.

    /// All that happened so far, in order.
    pub fn events(&self) -> Vec<FakeEvent> {
        self.world().events.clone()
    }

    /// All instances that there are now, with the tasks that run in them.
    pub fn instances(&self) -> Vec<(Instance, Vec<(String, i32)>)> {
        self.world().instances.values().map(|held| (held.instance.clone(), held.live())).collect()
    }

    // For the simulated supervisor.

    /// Begins a task in the instance with this handle id (`target.id`).
    pub fn begin_task(&self, id: &str, dispatch: &str, attempt: i32) -> Result<(), NotThere> {
        let mut world = self.world();
        let held = world.running(id)?;
        let beside = held.live();
        held.tasks.insert((dispatch.to_owned(), attempt));
        let key = held.instance.key.clone();
        world.record(What::TaskStarted { key, dispatch: dispatch.to_owned(), attempt, beside });
        Ok(())
    }

    /// Ends it. An error: it was lost, or is out of reach.
    pub fn end_task(&self, id: &str, dispatch: &str, attempt: i32) -> Result<(), NotThere> {
        let mut world = self.world();
        let held = world.running(id)?;
        if !held.tasks.remove(&(dispatch.to_owned(), attempt)) {
            return Err(NotThere(format!("{dispatch}, attempt {attempt}, does not run in {id}")));
        }
        let key = held.instance.key.clone();
        world.record(What::TaskEnded { key, dispatch: dispatch.to_owned(), attempt });
        Ok(())
    }

    /// Returns when this task does not run (any more), at once if it never did.
    pub async fn task_over(&self, id: &str, dispatch: &str, attempt: i32) {
        let task = (dispatch.to_owned(), attempt);
        self.until(|world| world.instances.values().all(|h| h.instance.handle.id != id || !h.tasks.contains(&task)))
            .await;
    }

    fn end(&self, key: &InstanceKey, cause: Cause, exit: Exit) -> bool {
        let mut world = self.world();
        let Some(held) = world.instances.get_mut(&key.uid) else { return false };
        if matches!(held.instance.state, InstanceState::Exited(_)) {
            return false;
        }
        held.instance.state = InstanceState::Exited(exit);
        let (instance, lost) = (held.instance.clone(), std::mem::take(&mut held.tasks).into_iter().collect());
        world.record(What::Ended { key: key.clone(), cause, lost });
        world.tell(&instance.host.clone(), &Observation::Changed(instance));
        self.changed();
        true
    }

    async fn until(&self, condition: impl Fn(&World) -> bool) {
        loop {
            // It must listen before it looks: a change in between would be missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if condition(&self.world()) {
                return;
            }
            changed.await;
        }
    }

    fn changed(&self) {
        self.changed.notify_waiters();
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    async fn travel(&self) {
        let time = {
            let world = self.world();
            world.within(&world.latency)
        };
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Docker
    }

    fn hosts(&self) -> Vec<String> {
        self.world().hosts.keys().cloned().collect()
    }

    fn observe(&self, host: &str) -> BoxStream<'static, Observation> {
        if self.world().known(host).is_err() {
            let none = Observation::Unreachable(format!("no host {host}"));
            return stream::once(async { none }).chain(stream::pending()).boxed();
        }
        let (this, host) = (self.clone(), host.to_owned());
        async_stream::stream! {
            let (queue, mut queued) = mpsc::unbounded_channel();
            {
                let mut world = this.world();
                let mut observer = Observer { host: host.clone(), queue: queue.clone(), last: Instant::now() };
                let first = match world.reachable(&host) {
                    true => world.listed(&host),
                    false => Observation::Unreachable("no route to host".to_owned()),
                };
                world.send(&mut observer, first);
                world.observers.push(observer);
            }
            let mut relist = Instant::now() + this.world().relist;
            loop {
                let next = tokio::select! {
                    biased;
                    next = queued.recv() => next,
                    () = tokio::time::sleep_until(relist) => None,
                };
                let Some((at, observation)) = next else {
                    relist = Instant::now() + this.world().relist;
                    let mut world = this.world();
                    // A place in the queue like any other's: it must not overtake what happened before.
                    if world.reachable(&host) {
                        let listed = world.listed(&host);
                        let mut observers = std::mem::take(&mut world.observers);
                        for observer in observers.iter_mut().filter(|o| o.queue.same_channel(&queue)) {
                            world.send(observer, listed.clone());
                        }
                        world.observers = observers;
                    }
                    continue;
                };
                tokio::time::sleep_until(at).await;
                this.frozen.wait_for(|views| !views.contains(&this.view)).await;
                yield observation;
            }
        }
        .boxed()
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<Instance, StartError> {
        // What is under way goes on when the controller dies.
        tokio::spawn(self.clone().start_now(spec.clone())).await.unwrap()
    }

    async fn stop(&self, host: &str, key: &InstanceKey) -> Result<(), RuntimeError> {
        tokio::spawn(self.clone().stop_now(host.to_owned(), key.clone())).await.unwrap()
    }

    async fn check(&self, host: &str, key: &InstanceKey) -> Result<Option<Instance>, RuntimeError> {
        self.travel().await;
        let found = {
            let world = self.world();
            world.known(host)?;
            let held = world.instances.get(&key.uid).filter(|held| held.instance.host == host);
            held.map(|held| held.instance.clone())
        };
        self.travel().await;
        if !self.world().reachable(host) {
            return Err(RuntimeError::Unreachable("no route to host".to_owned()));
        }
        Ok(found)
    }

    async fn set_paused(&self, host: &str, key: &InstanceKey, paused: bool) -> Result<Option<Instance>, RuntimeError> {
        tokio::spawn(self.clone().set_paused_now(host.to_owned(), key.clone(), paused)).await.unwrap()
    }

    fn target(&self, instance: &Instance) -> Target {
        let id = instance.handle.id.clone();
        let argv = vec!["fake".to_owned(), "exec".to_owned(), id.clone()];
        Target { runtime: self.kind(), host: Some(instance.host.clone()), id, argv, endpoint: None }
    }
}
