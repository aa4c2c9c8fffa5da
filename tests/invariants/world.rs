//! One run: the store, the runtime, controllers, supervisors, users, and the faults of the plan.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::FutureExt;
use jiff::SignedDuration;
use kube::runtime::utils::Backoff;
use poolkeeper::api::crd;
use poolkeeper::clock::{Clock, Ids};
use poolkeeper::controller::metrics::Metrics;
use poolkeeper::controller::{self, ChangedCredentials, CredentialSender};
use poolkeeper::local::{History, LocalApi, Options};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::{RecordClock, SimClock};
use crate::holders::Holders;
use crate::long::Sizes;
use crate::net::{Death, Ledger, Net, Rules, Wires};
use crate::plan::{self, Fault, Plan};
use crate::view::View;
use poolkeeper_testkit::audit::evidence::{Evidence, GHOST, NewValue};
use poolkeeper_testkit::fake::FakeRuntime;

/// How long after a fault everything is taken to be as if it had not been.
pub const SETTLE: Duration = Duration::from_secs(75);
/// No write for this long means that all is quiet; no deadline of a plan is further away, not even a rest that was
/// computed by a clock that was five minutes ahead.
const QUIET: Duration = Duration::from_secs(500);
/// All must be quiet after so long.
const BOUND: Duration = Duration::from_secs(7200);
/// Then nothing may be written for this long.
const IDLE: Duration = Duration::from_secs(300);

/// How long before the end of a round people restore what the next one needs.
const ANEW: Duration = Duration::from_secs(100);

/// A short wait between tries, without chance.
pub struct Pause;

impl Iterator for Pause {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_millis(700))
    }
}
impl Backoff for Pause {
    fn reset(&mut self) {}
}

/// A run that is over.
pub struct Run {
    pub plan: Plan,
    pub evidence: Evidence,
    pub trace: Vec<String>,
    /// What there was at the end of each round.
    pub sizes: Vec<Sizes>,
}

/// Lets a future run, or not.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(bool, Option<Waker>)>>);

impl Gate {
    fn hold(&self, held: bool) {
        let mut gate = self.0.lock().unwrap();
        gate.0 = held;
        // Held twice, it is to be woken yet.
        if !held && let Some(waker) = gate.1.take() {
            waker.wake();
        }
    }

    async fn run(self, inner: impl Future<Output = ()>) {
        let mut inner = Box::pin(inner);
        poll_fn(|cx| {
            {
                let mut gate = self.0.lock().unwrap();
                if gate.0 {
                    gate.1 = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
            inner.poll_unpin(cx)
        })
        .await;
    }
}

struct Alive {
    net: Net,
    stop: CancellationToken,
    gate: Gate,
    /// Where the program around it reports new values of credentials.
    values: Arc<CredentialSender>,
}

/// A controller's place: its clock and its wires stay, the controller comes and goes.
pub struct Slot {
    pub name: &'static str,
    pub clock: Arc<SimClock>,
    pub wires: Arc<Wires>,
    alive: Mutex<Option<Alive>>,
    lives: Mutex<u32>,
    /// Of its newest controller.
    pub metrics: Mutex<Metrics>,
}

#[derive(Clone)]
pub struct World(pub Arc<Inner>);

pub struct Inner {
    pub plan: Plan,
    pub api: LocalApi,
    pub server_clock: Arc<SimClock>,
    pub fake: FakeRuntime,
    pub ledger: Arc<Ledger>,
    pub slots: [Slot; 2],
    pub user: kube::Client,
    /// Whose writes are late.
    pub ghost: kube::Client,
    pub holders: Holders,
    troubled: Mutex<Vec<(Duration, Duration)>>,
    pub unreachable: Mutex<Vec<(String, Duration, Duration)>>,
    accidents: Mutex<Vec<String>>,
    /// Credentials that got another value.
    pub values: Mutex<Vec<NewValue>>,
    sizes: Mutex<Vec<Sizes>>,
}

impl std::ops::Deref for World {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl World {
    fn new(plan: &Plan) -> Self {
        let ledger = Arc::new(Ledger::new(plan.rounds));
        let server_clock = Arc::new(SimClock::new());
        let options = Options {
            crds: crd::all(),
            clock: server_clock.clone(),
            ids: Ids::seeded(plan.seed),
            history: History::Full,
        };
        let api = LocalApi::new(options).unwrap();
        let record = Arc::new(RecordClock { api: api.clone(), start: ledger.start });
        let fake = FakeRuntime::new(&["local", "gpu1"], record, Ids::seeded(plan.seed ^ 0xfa4e));
        if plan.seed.is_multiple_of(2) {
            // As the runtime of Pods: it lists once, and again only when its watch was cut.
            fake.set_relist(Duration::from_secs(86_400));
        }
        let slot = |name, salt| Slot {
            name,
            clock: Arc::new(SimClock::new()),
            wires: Wires::new(plan.seed ^ salt),
            alive: Mutex::default(),
            lives: Mutex::default(),
            metrics: Mutex::default(),
        };
        let slots = [slot("A", 0xa), slot("B", 0xb)];
        let user = Net::new("user", &api, &Wires::new(plan.seed ^ 0xc), &ledger).client();
        let ghost = Net::new(GHOST, &api, &Wires::new(plan.seed ^ 0xe), &ledger).client();
        let hands = Net::new("holders", &api, &Wires::new(plan.seed ^ 0xd), &ledger).client();
        let holders = Holders::start(plan, hands, &fake, &ledger);
        Self(Arc::new(Inner {
            plan: plan.clone(),
            api,
            server_clock,
            fake,
            ledger,
            slots,
            user,
            ghost,
            holders,
            troubled: Mutex::default(),
            unreachable: Mutex::default(),
            accidents: Mutex::default(),
            values: Mutex::default(),
            sizes: Mutex::default(),
        }))
    }

    pub fn now(&self) -> Duration {
        self.ledger.start.elapsed()
    }

    /// The time that the server tells.
    pub fn server_now(&self) -> jiff::Timestamp {
        self.server_clock.now()
    }

    pub async fn until(&self, at: Duration) {
        sleep_until(self.ledger.start + at).await;
    }

    /// From now on, and for some time after `time`, conclusions about choices are not sound.
    pub fn trouble(&self, time: Duration) {
        self.troubled.lock().unwrap().push((self.now(), self.now() + time + SETTLE));
    }

    /// With the times at which a host was cut off.
    fn all_trouble(&self) -> Vec<(Duration, Duration)> {
        let hosts = self.unreachable.lock().unwrap();
        let hosts = hosts.iter().map(|(_, from, to)| (*from, *to + Duration::from_secs(35) + SETTLE));
        self.troubled.lock().unwrap().iter().copied().chain(hosts).collect()
    }

    /// Starts a controller, if none is there.
    pub fn start(&self, slot: usize) {
        let place = &self.slots[slot];
        let mut alive = place.alive.lock().unwrap();
        if alive.is_some() {
            return;
        }
        let life = {
            let mut lives = place.lives.lock().unwrap();
            *lives += 1;
            *lives
        };
        let name = format!("{}{life}", place.name);
        self.ledger.say(format!("controller {name} starts"));
        let net = Net::new(name.clone(), &self.api, &place.wires, &self.ledger);
        let runtimes = vec![View::new(&self.fake, place.name, &net.dead)];
        let salt = self.plan.seed ^ (u64::from(life) << 8) ^ ((slot as u64) << 20);
        let mut options = controller::Options::new(runtimes, place.clock.clone(), Ids::seeded(salt));
        options.local_credentials = true;
        let (values, changed) = ChangedCredentials::channel();
        options.changed_credentials = Some(changed);
        *place.metrics.lock().unwrap() = options.metrics.clone();
        let (stop, gate) = (CancellationToken::new(), Gate::default());
        let run = gate.clone().run(controller::run(net.client(), options, stop.clone()));
        let mut task = tokio::spawn(run);
        let values = Arc::new(values);
        *alive = Some(Alive { net: net.clone(), stop: stop.clone(), gate, values: values.clone() });
        drop(alive);
        tokio::spawn(crate::values::look_at_start(self.clone(), values));
        let world = self.clone();
        tokio::spawn(async move {
            let ended = tokio::select! {
                biased;
                () = net.dead.cancelled() => None,
                ended = &mut task => Some(ended),
            };
            match ended {
                None => task.abort(),
                Some(Err(e)) => world.accident(format!("controller {name} panicked: {e}")),
                Some(Ok(())) if !stop.is_cancelled() => world.accident(format!("controller {name} ended")),
                Some(Ok(())) => net.dead.cancel(),
            }
            world.ledger.say(format!("controller {name} is no more"));
            world.slots[slot].alive.lock().unwrap().take_if(|a| a.net.name == name);
        });
    }

    pub fn is_alive(&self, slot: usize) -> bool {
        self.slots[slot].alive.lock().unwrap().is_some()
    }

    /// Kills a controller at one of its next writes; what it is after that, it is dead. Returns when it is.
    pub async fn kill(&self, slot: usize, death: Death) {
        let dead = {
            let alive = self.slots[slot].alive.lock().unwrap();
            let Some(alive) = alive.as_ref() else { return };
            alive.net.die_at(death);
            alive.net.dead.clone()
        };
        // It may have nothing to write for long.
        tokio::select! {
            biased;
            () = dead.cancelled() => {}
            () = sleep(Duration::from_secs(40)) => dead.cancel(),
        }
    }

    /// Where the program around a controller reports new values of credentials, and what its clock says. None: no controller is there.
    pub fn values_of(&self, slot: usize) -> Option<(Arc<CredentialSender>, jiff::Timestamp)> {
        let place = &self.slots[slot];
        place.alive.lock().unwrap().as_ref().map(|alive| (alive.values.clone(), place.clock.now()))
    }

    /// Ends a controller in good order.
    pub fn stop(&self, slot: usize) {
        if let Some(alive) = self.slots[slot].alive.lock().unwrap().as_ref() {
            alive.stop.cancel();
        }
    }

    /// Stops a controller as SIGSTOP does, or lets it go on.
    pub fn hold(&self, slot: usize, held: bool) {
        if let Some(alive) = self.slots[slot].alive.lock().unwrap().as_ref() {
            alive.gate.hold(held);
        }
    }

    pub fn accident(&self, text: String) {
        self.ledger.say(&text);
        self.accidents.lock().unwrap().push(text);
    }

    /// All faults end.
    async fn heal(&self) {
        self.ledger.say("all faults end");
        for (i, slot) in self.slots.iter().enumerate() {
            *slot.wires.rules.lock().unwrap() = Rules::default();
            slot.wires.freeze(&["containerpools", "workers", "dispatches"], false);
            slot.clock.set_offset(SignedDuration::ZERO);
            self.hold(i, false);
        }
        self.server_clock.set_offset(SignedDuration::ZERO);
        self.fake.clear_faults();
        for host in ["local", "gpu1"] {
            self.fake.make_host_reachable(host);
        }
        for view in ["A", "B"] {
            self.fake.freeze_events(view, false);
        }
        self.stop(1);
        self.start(0);
        self.trouble(Duration::from_secs(45));
        crate::users::heal(self).await;
    }

    fn revision_of_others(&self) -> u64 {
        let marks = self.ledger.marks.lock().unwrap();
        marks.iter().rev().find(|(_, m)| m.writer != "holders").map_or(0, |(rv, _)| *rv)
    }

    async fn run(&self) -> Option<Duration> {
        crate::users::make_pools(self).await;
        self.start(0);
        for (at, fault) in self.plan.faults.clone() {
            let world = self.clone();
            tokio::spawn(async move {
                world.until(at).await;
                world.ledger.say(format!("FAULT {fault:?}"));
                crate::faults::strike(&world, fault).await;
            });
        }
        for round in 0..self.plan.rounds {
            let begin = Duration::from_secs(round * plan::ROUND);
            self.until(begin + Duration::from_secs(plan::HEAL)).await;
            self.heal().await;
            if round + 1 < self.plan.rounds {
                self.until(begin + Duration::from_secs(plan::ROUND).saturating_sub(ANEW)).await;
                crate::users::begin_anew(self).await;
            }
            if self.plan.rounds > 1 {
                self.until(begin + Duration::from_secs(plan::ROUND)).await;
                let sizes = crate::long::sizes(self).await;
                self.sizes.lock().unwrap().push(sizes);
            }
        }
        let (begin, mut last, mut since) = (Instant::now(), 0, Instant::now());
        while begin.elapsed() < BOUND && !self.ledger.has_too_many_requests() {
            sleep(Duration::from_secs(10)).await;
            let revision = self.revision_of_others();
            if revision != last {
                (last, since) = (revision, Instant::now());
            } else if since.elapsed() >= QUIET {
                self.ledger.say("all is quiet");
                let at = self.now();
                sleep(IDLE).await;
                return Some(at);
            }
        }
        None
    }
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(plan);
        let quiet_at = world.run().await;
        if world.ledger.has_too_many_requests() {
            world.accident("there is no end to the requests".to_owned());
        }
        for slot in 0..2 {
            if let Some(alive) = world.slots[slot].alive.lock().unwrap().as_ref() {
                alive.net.dead.cancel();
            }
        }
        let end = world.now();
        let evidence = Evidence {
            records: world.api.history(),
            marks: world.ledger.marks.lock().unwrap().clone(),
            events: world.fake.events(),
            instances: world.fake.instances().into_iter().map(|(i, _)| i).collect(),
            calm: calm(&world.all_trouble(), end),
            calm_but_for_hosts: calm(&world.troubled.lock().unwrap(), end),
            unreachable: world.unreachable.lock().unwrap().clone(),
            quiet_at,
            tally: world.ledger.tally.lock().unwrap().clone(),
            accidents: world.accidents.lock().unwrap().clone(),
            new_values: world.values.lock().unwrap().clone(),
            clocks_agree: !plan.faults.iter().any(|(_, fault)| matches!(fault, Fault::ClockJump(..))),
        };
        let (trace, sizes) = (world.ledger.trace.lock().unwrap().clone(), world.sizes.lock().unwrap().clone());
        Run { plan: plan.clone(), evidence, trace, sizes }
    })
}

/// What is left between faults.
fn calm(troubled: &[(Duration, Duration)], end: Duration) -> Vec<(Duration, Duration)> {
    let mut troubled = troubled.to_vec();
    troubled.push((Duration::ZERO, Duration::from_secs(5)));
    troubled.sort();
    let mut calm = Vec::new();
    let mut free = Duration::ZERO;
    for (from, to) in troubled {
        if from > free {
            calm.push((free, from));
        }
        free = free.max(to);
    }
    if free < end {
        calm.push((free, end));
    }
    calm
}
