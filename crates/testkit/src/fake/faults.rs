//! What the fault injector does to the world.

use std::ops::Range;
use std::time::Duration;

use poolkeeper::runtime::{Exit, InstanceKey, InstanceState, Observation};

use super::{Cause, FakeRuntime, Fault, What};

impl FakeRuntime {
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
}
