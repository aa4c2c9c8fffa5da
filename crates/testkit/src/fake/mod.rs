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

mod happened;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use poolkeeper::api::RuntimeKind;
use poolkeeper::api::dispatch::Target;
use poolkeeper::api::worker::Handle;
use poolkeeper::clock::{Clock, Ids};
use poolkeeper::runtime::{
    Exit, Instance, InstanceKey, InstanceSpec, InstanceState, Observation, Runtime, RuntimeError, StartError,
    credentials,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

pub use self::happened::{Cause, FakeEvent, What};
use self::world::{Held, Observer, World};
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

    // For the fault injector.

    /// Kills an instance. False: it does not run.
    pub fn kill(&self, key: &InstanceKey) -> bool {
        self.end(key, Cause::Killed, Exit { code: Some(137), ..Exit::default() })
    }

    /// The node of an instance is cordoned (or no longer). False: there is no such instance.
    pub fn cordon(&self, key: &InstanceKey, cordoned: bool) -> bool {
        let mut world = self.world();
        let Some(held) = world.instances.get_mut(&key.uid) else { return false };
        held.instance.state =
            if cordoned { InstanceState::Leaving("its node n is cordoned".to_owned()) } else { InstanceState::Running };
        let instance = held.instance.clone();
        world.tell(&instance.host.clone(), &Observation::Changed(instance));
        self.changed();
        true
    }

    /// Pauses an instance, or lets it go on, as a user with a shell would.
    pub fn pause(&self, key: &InstanceKey, paused: bool) {
        let host = self.world().instances.get(&key.uid).map(|held| held.instance.host.clone());
        self.world().set_paused(&host.unwrap(), key, paused, "a user");
        self.changed();
    }

    /// From now on the host does not let instances go on, or does again.
    pub fn refuse_to_go_on(&self, refused: bool) {
        self.world().refuse_pauses.1 = refused;
    }

    /// The host refuses the next pause.
    pub fn refuse_next_pause(&self) {
        self.world().refuse_pauses.0 = true;
    }

    /// Removes an instance as a user with a shell would. False: there is none.
    pub fn vanish(&self, key: &InstanceKey) -> bool {
        let mut world = self.world();
        let Some(held) = world.instances.remove(&key.uid) else { return false };
        world.record(What::Ended { key: key.clone(), cause: Cause::Vanished, lost: held.live() });
        world.tell(&held.instance.host, &Observation::Gone(key.clone()));
        self.changed();
        true
    }

    /// Ends an instance as if its command had. False: it did not run.
    pub fn exit(&self, key: &InstanceKey, exit: Exit) -> bool {
        self.end(key, Cause::Exited, exit)
    }

    /// Cuts a host off. What is on it goes on.
    pub fn make_host_unreachable(&self, host: &str) {
        let mut world = self.world();
        if world.hosts.insert(host.to_owned(), false) == Some(true) {
            world.tell_cut_off(host);
        }
    }

    /// Ends that.
    pub fn make_host_reachable(&self, host: &str) {
        let mut world = self.world();
        if world.hosts.insert(host.to_owned(), true) == Some(false) {
            let listed = world.listed(host);
            world.tell(host, &listed);
        }
    }

    /// Holds back all observations of one view, or lets them go on, late but in order.
    pub fn freeze_events(&self, view: &str, frozen: bool) {
        self.frozen.change(|views| if frozen { views.insert(view.to_owned()) } else { views.remove(view) });
    }

    /// Bounds of the time that each way to a host takes.
    pub fn set_latency(&self, latency: Range<Duration>) {
        self.world().latency = latency;
    }

    /// Bounds of the time from Starting to Running.
    pub fn set_start_time(&self, time: Range<Duration>) {
        self.world().start_time = time;
    }

    /// Bounds of the time that a stop takes.
    pub fn set_stop_time(&self, time: Range<Duration>) {
        self.world().stop_time = time;
    }

    /// How often all is listed. Runtimes that receive each change may never do it again.
    pub fn set_relist(&self, every: Duration) {
        self.world().relist = every;
    }

    /// Becomes of one of the next starts, by any view, in the order of calls.
    pub fn fail_next_start(&self, fault: Fault) {
        self.world().next_starts.push(fault);
    }

    /// Becomes of one of the next stops, by any view, in the order of calls.
    pub fn fail_next_stop(&self, fault: Fault) {
        self.world().next_stops.push(fault);
    }

    /// What was to become of the next starts and stops is forgotten.
    pub fn clear_faults(&self) {
        let mut world = self.world();
        world.next_starts.clear();
        world.next_stops.clear();
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

    async fn start_now(self, spec: InstanceSpec) -> Result<Instance, StartError> {
        self.travel().await;
        let fault = {
            let mut world = self.world();
            if !world.hosts.contains_key(&spec.host) {
                return Err(StartError::Refused(format!("no host {}", spec.host)));
            }
            (!world.next_starts.is_empty()).then(|| world.next_starts.remove(0))
        };
        match fault {
            Some(Fault::Refused(why)) => return Err(StartError::Refused(why)),
            Some(Fault::RequestLost) => return Err(StartError::Unknown("no answer".to_owned())),
            Some(Fault::Unreachable) => return Err(self.world().not_reached()),
            Some(Fault::AnswerLost) | None => {}
        }
        if spec.image.as_deref() == Some("no-such-image") {
            return Err(StartError::Refused("no-such-image: not found".to_owned()));
        }
        if let [wait, why] = &spec.command[..]
            && wait == "wait"
        {
            return Err(StartError::NotNow(why.clone()));
        }
        if let Some(credential) = spec.credential.as_ref().filter(|credential| credential.directory.is_none()) {
            credentials::resolve(credential).await.map_err(|error| StartError::Refused(error.to_string()))?;
        }
        let uid = spec.key.uid.clone();
        let time = self.make(&spec)?;
        if let Some(time) = time {
            tokio::time::sleep(time).await;
            let mut world = self.world();
            // It may have been killed or removed in the meantime.
            if let Some(held) = world.instances.get_mut(&uid)
                && held.instance.state == InstanceState::Starting
            {
                held.instance.state = InstanceState::Running;
                let instance = held.instance.clone();
                world.tell(&spec.host, &Observation::Changed(instance));
                self.changed();
            }
        }
        let started =
            |world: &World| world.instances.get(&uid).is_none_or(|held| held.instance.state != InstanceState::Starting);
        self.until(started).await;
        let answer = self.world().instances.get(&uid).map(|held| held.instance.clone());
        if let [exit, code, text] = &spec.command[..]
            && exit == "exit"
        {
            let exit = Exit { code: code.parse().ok(), tail: text.clone(), ..Exit::default() };
            self.end(&spec.key, Cause::Exited, exit);
        }
        self.travel().await;
        if fault == Some(Fault::AnswerLost) || !self.world().reachable(&spec.host) {
            return Err(StartError::Unknown("the answer was lost".to_owned()));
        }
        answer.ok_or_else(|| StartError::Unknown("it was removed while it started".to_owned()))
    }

    /// Makes the instance if there is none. Some: it was made, and runs after this time.
    fn make(&self, spec: &InstanceSpec) -> Result<Option<Duration>, StartError> {
        let mut world = self.world();
        if !world.reachable(&spec.host) {
            return Err(world.not_reached());
        }
        if world.instances.contains_key(&spec.key.uid) {
            return Ok(None);
        }
        let handle = Handle { id: world.ids.uid(), started: world.clock.now().to_string(), engine: None };
        let (key, host) = (spec.key.clone(), spec.host.clone());
        let (own, state) = (true, InstanceState::Starting);
        let instance = Instance { key: key.clone(), host: host.clone(), own, handle: handle.clone(), state };
        world.instances.insert(key.uid.clone(), Held { instance: instance.clone(), tasks: BTreeSet::new() });
        let nth = world.starts.entry(key.uid.clone()).or_default();
        *nth += 1;
        let nth = *nth;
        world.record(What::Started { key, host: host.clone(), id: handle.id, nth, by: self.view.clone() });
        world.tell(&host, &Observation::Changed(instance));
        self.changed();
        Ok(Some(world.within(&world.start_time)))
    }

    async fn set_paused_now(
        self,
        host: String,
        key: InstanceKey,
        paused: bool,
    ) -> Result<Option<Instance>, RuntimeError> {
        self.travel().await;
        let unreachable = || RuntimeError::Unreachable("no route to host".to_owned());
        let answer = {
            let mut world = self.world();
            world.known(&host)?;
            if !world.reachable(&host) {
                return Err(unreachable());
            }
            if paused && std::mem::take(&mut world.refuse_pauses.0) || !paused && world.refuse_pauses.1 {
                return Err(RuntimeError::Refused("no freezer".to_owned()));
            }
            world.set_paused(&host, &key, paused, &self.view)
        };
        self.changed();
        self.travel().await;
        if self.world().reachable(&host) { Ok(answer) } else { Err(unreachable()) }
    }

    async fn stop_now(self, host: String, key: InstanceKey) -> Result<(), RuntimeError> {
        self.travel().await;
        let unreachable = || RuntimeError::Unreachable("no route to host".to_owned());
        let (fault, time) = {
            let mut world = self.world();
            world.known(&host)?;
            let fault = (!world.next_stops.is_empty()).then(|| world.next_stops.remove(0));
            (fault, world.within(&world.stop_time))
        };
        match fault {
            Some(Fault::Refused(why)) => return Err(RuntimeError::Refused(why)),
            Some(Fault::Unreachable | Fault::RequestLost) => return Err(unreachable()),
            Some(Fault::AnswerLost) | None => {}
        }
        tokio::time::sleep(time).await;
        {
            let mut world = self.world();
            if !world.reachable(&host) {
                return Err(unreachable());
            }
            if world.instances.get(&key.uid).is_some_and(|held| held.instance.host == host) {
                let held = world.instances.remove(&key.uid).unwrap();
                let ran = !matches!(held.instance.state, InstanceState::Exited(_));
                world.record(What::Stopped { key: key.clone(), by: self.view.clone(), ran, lost: held.live() });
                world.tell(&host, &Observation::Gone(key));
                self.changed();
            }
        }
        self.travel().await;
        if fault.is_some() || !self.world().reachable(&host) { Err(unreachable()) } else { Ok(()) }
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
