//! What a runtime is asked to do: it takes time, and may fail.

use std::collections::BTreeSet;
use std::time::Duration;

use poolkeeper::api::worker::Handle;
use poolkeeper::runtime::{
    Exit, Instance, InstanceKey, InstanceSpec, InstanceState, Observation, RuntimeError, StartError, credentials,
};

use super::world::{Held, World};
use super::{Cause, FakeRuntime, Fault, What};

impl FakeRuntime {
    pub(super) async fn start_now(self, spec: InstanceSpec) -> Result<Instance, StartError> {
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

    pub(super) async fn set_paused_now(
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

    pub(super) async fn stop_now(self, host: String, key: InstanceKey) -> Result<(), RuntimeError> {
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
