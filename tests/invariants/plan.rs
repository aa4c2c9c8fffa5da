//! What happens in a run: pools, tasks and faults, drawn from the seed and nothing else.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use poolkeeper::api::dispatch::Retry;
use poolkeeper::api::pool::{
    ContainerPoolSpec, Credential, DispatchPolicy, HealthPolicy, HistoryPolicy, PoolHost, RateLimitPolicy,
    RecyclePolicy, Scope, SecretKeyRef, UpdatePolicy,
};
use poolkeeper::api::{DispatchSpec, Period};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::net::{Cut, Death};

/// When the last fault may begin.
pub const FAULTS_END: u64 = 420;
/// When everything is made whole again.
pub const HEAL: u64 = 520;
/// How long a round of a long run takes: its faults, and the time in which all comes to an end.
pub const ROUND: u64 = 900;
/// How long finished dispatches are retained.
pub const HISTORY_TTL: u64 = 150;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub pools: Vec<(String, ContainerPoolSpec)>,
    pub tasks: Vec<Task>,
    pub faults: Vec<(Duration, Fault)>,
    /// Whether refused credentials are cleared at the end.
    pub clears_at_end: bool,
    /// How often faults begin and end.
    pub rounds: u64,
}

/// What one supervisor wants done.
#[derive(Clone, Debug)]
pub struct Task {
    pub name: String,
    pub at: Duration,
    /// Asked for by an annotation of the pool, and by annotation reported.
    pub door: bool,
    pub spec: DispatchSpec,
    /// Chance of each way in which an attempt may go.
    pub mood: Mood,
}

/// How a task's attempts tend to go.
#[derive(Clone, Copy, Debug)]
pub struct Mood {
    pub rate_limited: f64,
    pub failed: f64,
    pub unauthorized: f64,
    /// Their end is never reported.
    pub silent: f64,
    pub longest: u64,
}

/// Which controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    A,
    B,
    Both,
}

impl Who {
    pub fn is(self, slot: usize) -> bool {
        matches!((self, slot), (Self::Both, _) | (Self::A, 0) | (Self::B, 1))
    }
}

/// Which clock.
#[derive(Clone, Copy, Debug)]
pub enum Whose {
    Controller(usize),
    Server,
    All,
}

/// What happens to a reservation that was left behind.
#[derive(Clone, Copy, Debug)]
pub enum Mischief {
    Nothing,
    WorkerDies,
    WorkerDeleted,
    Cancel,
    Delete,
}

#[allow(clippy::enum_variant_names, reason = "these are what faults are called")]
#[derive(Clone, Debug)]
pub enum Fault {
    DelayWrites(Who, f64, u64),
    DropWrites(Who, f64, u64),
    LoseAnswers(Who, f64, u64),
    Conflicts(Who, f64, u64),
    FailReads(Who, f64, u64),
    Gone(Who, u64),
    Freeze(Who, Vec<&'static str>, u64),
    CutWatches(Who, Cut),
    Compact,
    Kill {
        slot: usize,
        death: Death,
        restart: u64,
    },
    /// A controller dies between two steps of the commit, and something happens to what it left behind.
    Ambush {
        slot: usize,
        death: Death,
        mischief: Mischief,
        restart: u64,
    },
    Stall(usize, u64),
    /// The other controller works too; its watches on these kinds show nothing after the first list.
    Second {
        seconds: u64,
        frozen: Vec<&'static str>,
    },
    ClockJump(Whose, SignedDuration),
    WorkerDies {
        busy: bool,
        vanishes: bool,
    },
    HostDown(&'static str, u64),
    FreezeRuntime(&'static str, u64),
    StartFault(u8),
    StopFault(u8),
    HolderVanishes(u64),
    Cancel,
    Delete,
    Recreate,
    DeleteWorker {
        force: bool,
    },
    Scale {
        min: i32,
        max: i32,
    },
    PausePool(u64),
    RestByHand {
        credential: bool,
        clear: bool,
    },
    Cordon(u64),
    /// A new image, or an old one again.
    NewImage(u64),
    /// For some time workers end right after their start.
    BadTemplate(u64),
    DeletePool,
    /// What a controller asked for long ago arrives now.
    LateReservation,
    /// A credential has another value: one that is refused, if there is any.
    NewValue,
}

const KINDS: [&str; 3] = ["containerpools", "workers", "dispatches"];

struct Draw(StdRng);

impl Draw {
    fn chance(&mut self, p: f64) -> bool {
        self.0.random::<f64>() < p
    }
    fn of(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high)
    }
    fn int(&mut self, low: i32, high: i32) -> i32 {
        self.0.random_range(low..=high)
    }
    fn share(&mut self) -> f64 {
        self.0.random_range(0.2..0.9)
    }
    fn who(&mut self) -> Who {
        [Who::A, Who::A, Who::B, Who::Both][self.0.random_range(0..4)]
    }
    fn kinds(&mut self) -> Vec<&'static str> {
        let chosen: Vec<_> = KINDS.into_iter().filter(|_| self.chance(0.5)).collect();
        if chosen.is_empty() { vec![KINDS[self.0.random_range(1..3)]] } else { chosen }
    }
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw(StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x706c_616e));
        let pools = pools(seed, &mut draw);
        let tasks = tasks(&mut draw);
        let faults = faults(seed, &mut draw);
        let clears_at_end = draw.chance(0.85);
        Self { seed, pools, tasks, faults, clears_at_end, rounds: 1 }
    }

    /// The tasks and faults of many runs one after the other, on the pools of the first. From the second quarter on one
    /// controller lives to the end: what it does not forget adds up.
    pub fn long(seed: u64, rounds: u64) -> Self {
        let mut all = Self { tasks: Vec::new(), faults: Vec::new(), clears_at_end: true, rounds, ..Self::new(seed) };
        for n in 0..rounds {
            let (round, begin) = (Self::new(seed + n), Duration::from_secs(n * ROUND));
            let named = |t: Task| Task { name: format!("round-{n}-{}", t.name), at: begin + t.at, ..t };
            let lives = |fault: &Fault| match fault {
                Fault::Kill { slot, .. } | Fault::Ambush { slot, .. } => *slot != 0 || n < rounds.div_ceil(4),
                _ => true,
            };
            all.tasks.extend(round.tasks.into_iter().map(named));
            all.faults.extend(round.faults.into_iter().filter(|(_, f)| lives(f)).map(|(at, f)| (begin + at, f)));
        }
        all
    }

    /// The same world without faults.
    pub fn calm(seed: u64) -> Self {
        Self { faults: Vec::new(), clears_at_end: true, ..Self::new(seed) }
    }
}

fn credential(name: &str, key: &str, max_concurrent: Option<i32>) -> Credential {
    Credential {
        name: name.to_owned(),
        env: "TOKEN".to_owned(),
        secret_key_ref: Some(SecretKeyRef { name: "tokens".to_owned(), key: key.to_owned() }),
        max_concurrent,
        ..Credential::default()
    }
}

fn share(draw: &mut Draw) -> IntOrString {
    if draw.chance(0.5) { UpdatePolicy::default().max_unavailable } else { IntOrString::Int(draw.int(1, 3)) }
}

fn pools(seed: u64, draw: &mut Draw) -> Vec<(String, ContainerPoolSpec)> {
    let mut pools = Vec::new();
    let first_rests_together = draw.chance(0.6);
    for (i, name) in ["red", "blue", "green"].into_iter().enumerate() {
        if i == 2 && draw.chance(0.5) {
            break;
        }
        let cap = if draw.chance(0.4) { Some(draw.int(1, 3)) } else { None };
        let mut credentials = vec![credential("shared", "a", cap)];
        if draw.chance(0.4) {
            credentials.push(credential("other", name, None));
        }
        if i == 2 {
            credentials.clear();
        }
        let max = draw.int(2, 5);
        // Drawn apart: the other draws stay as they were.
        let mut apart = StdRng::seed_from_u64(seed ^ ((i as u64) << 40));
        let scope = if (i == 0) == first_rests_together && i < 2 { Scope::Credential } else { Scope::Worker };
        let second = Period::seconds;
        let hosts = if draw.chance(0.3) {
            ["local", "gpu1"].map(|name| PoolHost { name: name.to_owned(), max: None }).to_vec()
        } else {
            Vec::new()
        };
        let spec = ContainerPoolSpec {
            image: Some("worker:1".to_owned()),
            min: draw.int(0, 2),
            max,
            warm: draw.int(0, 1),
            cooldown: second(20),
            idle_timeout: second(draw.of(30, 120)),
            credentials,
            rate_limit: RateLimitPolicy {
                scope,
                max_cooldown: second(draw.of(60, 100)),
                probe_after: second(10),
                park_probe: second([0, 25, 25, 70][apart.random_range(0..4)]),
                pause: apart.random::<f64>() < 0.5,
                ..RateLimitPolicy::default()
            },
            health: HealthPolicy { interval: second(40), timeout: second(5), start_timeout: second(60) },
            dispatch: DispatchPolicy {
                queue_limit: if draw.chance(0.2) { 3 } else { 1000 },
                timeout: second(draw.of(60, 120)),
                history: HistoryPolicy { ttl: second(HISTORY_TTL), limit: if draw.chance(0.2) { 3 } else { 1000 } },
                ..DispatchPolicy::default()
            },
            hosts,
            update: UpdatePolicy { max_unavailable: share(draw), max_surge: IntOrString::Int(draw.int(0, 2)) },
            recycle: RecyclePolicy {
                after_dispatches: if draw.chance(0.2) { i64::from(draw.int(1, 3)) } else { 0 },
                ..RecyclePolicy::default()
            },
            ..ContainerPoolSpec::default()
        };
        pools.push((name.to_owned(), spec));
    }
    pools
}

fn tasks(draw: &mut Draw) -> Vec<Task> {
    let mut tasks = Vec::new();
    let mut at = Duration::from_secs(2);
    for i in 0..draw.of(20, 28) {
        // Often several at once.
        if draw.chance(0.6) {
            at += Duration::from_millis(draw.of(0, 30_000));
        }
        let pool = match draw.of(0, 19) {
            0 => "nowhere",
            1..=9 => "red",
            10..=17 => "blue",
            _ => "green",
        };
        let limit = |draw: &mut Draw, p: f64, low, high| draw.chance(p).then(|| Period::seconds(draw.of(low, high)));
        // Drawn apart: the other draws stay as they were.
        let mut apart = StdRng::seed_from_u64(u64::try_from(at.as_nanos()).unwrap() ^ (i << 32));
        let spec = DispatchSpec {
            pool: pool.to_owned(),
            priority: if draw.chance(0.7) { 0 } else { draw.int(-3, 3) },
            queue_timeout: limit(draw, 0.15, 30, 120),
            timeout: limit(draw, 0.2, 25, 60),
            lease_name: draw.chance(0.25).then(|| format!("holder-{}", draw.of(1, 2))),
            retry: Retry {
                rate_limited: [-1, 0, 2, 4][usize::try_from(draw.of(0, 3)).unwrap()],
                worker_lost: draw.int(0, 2),
                failed: draw.int(0, 1),
                lost: [0, 0, 1, -1][apart.random_range(0..4)],
                overloaded: [0, 1, 3, -1][apart.random_range(0..4)],
                backoff: [None, None, Some(Period::ZERO), Some(Period::seconds(5))][apart.random_range(0..4)],
                max_backoff: [None, Some(Period::seconds(30))][apart.random_range(0..2)],
            },
            ..DispatchSpec::default()
        };
        let mood = Mood {
            rate_limited: if draw.chance(0.4) { 0.5 } else { 0.1 },
            failed: 0.1,
            unauthorized: if draw.chance(0.3) { 0.25 } else { 0.0 },
            silent: 0.05,
            longest: draw.of(2, 45),
        };
        let door = pool != "nowhere" && draw.chance(0.3);
        tasks.push(Task { name: format!("task-{i}"), at: at.min(Duration::from_secs(FAULTS_END)), door, spec, mood });
    }
    tasks
}

fn faults(seed: u64, draw: &mut Draw) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    let moment = |draw: &mut Draw| Duration::from_millis(draw.of(5_000, FAULTS_END * 1000));
    let death =
        |draw: &mut Draw| Death { writes: u32::try_from(draw.of(0, 12)).unwrap(), of: None, after: draw.chance(0.5) };
    // Every run has one restart at least.
    faults.push((moment(draw), Fault::Kill { slot: 0, death: death(draw), restart: draw.of(0, 40) }));
    for _ in 0..draw.of(11, 18) {
        let fault = match draw.of(0, 53) {
            0 | 1 => Fault::DelayWrites(draw.who(), draw.share(), draw.of(5, 40)),
            2 | 3 => Fault::DropWrites(draw.who(), draw.share(), draw.of(5, 30)),
            4..=6 => Fault::LoseAnswers(draw.who(), draw.share(), draw.of(5, 40)),
            7 => Fault::Conflicts(draw.who(), draw.share(), draw.of(5, 30)),
            8 => Fault::FailReads(draw.who(), draw.share(), draw.of(5, 40)),
            9 => Fault::Gone(draw.who(), draw.of(5, 30)),
            10..=12 => Fault::Freeze(draw.who(), draw.kinds(), draw.of(10, 60)),
            13 => Fault::CutWatches(
                draw.who(),
                [Cut::End, Cut::Error, Cut::Gone][usize::try_from(draw.of(0, 2)).unwrap()],
            ),
            14 => Fault::Compact,
            15..=17 => Fault::Kill { slot: 0, death: death(draw), restart: draw.of(0, 40) },
            18 => Fault::Stall(0, draw.of(5, 50)),
            19..=22 => {
                let frozen = if draw.chance(0.7) { draw.kinds() } else { Vec::new() };
                Fault::Second { seconds: draw.of(10, 90), frozen }
            }
            23 | 24 => {
                let whose = match draw.of(0, 3) {
                    0 => Whose::Controller(0),
                    1 => Whose::Controller(1),
                    2 => Whose::Server,
                    _ => Whose::All,
                };
                let seconds = i64::try_from(draw.of(1, 600)).unwrap() - 300;
                Fault::ClockJump(whose, SignedDuration::from_secs(seconds))
            }
            25..=27 => Fault::WorkerDies { busy: draw.chance(0.8), vanishes: draw.chance(0.3) },
            28 => Fault::HostDown(if draw.chance(0.7) { "local" } else { "gpu1" }, draw.of(3, 40)),
            29 => Fault::FreezeRuntime(if draw.chance(0.7) { "A" } else { "B" }, draw.of(5, 50)),
            30 => Fault::StartFault(u8::try_from(draw.of(0, 3)).unwrap()),
            31 => Fault::StopFault(u8::try_from(draw.of(0, 3)).unwrap()),
            32 | 43 => Fault::HolderVanishes(draw.of(1, 2)),
            44..=47 => {
                let of = if draw.chance(0.7) { "dispatches" } else { "workers" };
                let death =
                    Death { writes: u32::try_from(draw.of(0, 2)).unwrap(), of: Some(of), after: of == "workers" };
                let mischief = match draw.of(0, 6) {
                    0 => Mischief::Nothing,
                    1 | 2 => Mischief::WorkerDies,
                    3 | 4 => Mischief::WorkerDeleted,
                    5 => Mischief::Cancel,
                    _ => Mischief::Delete,
                };
                Fault::Ambush { slot: usize::from(draw.chance(0.3)), death, mischief, restart: draw.of(0, 10) }
            }
            48..=50 => Fault::LateReservation,
            51 | 52 => Fault::NewImage(draw.of(1, 3)),
            53 => Fault::BadTemplate(draw.of(5, 120)),
            33 | 34 => Fault::Cancel,
            35 => Fault::Delete,
            36 => Fault::Recreate,
            37 | 38 => Fault::DeleteWorker { force: draw.chance(0.5) },
            39 => {
                let max = draw.int(1, 6);
                Fault::Scale { min: draw.int(0, max.min(3)), max }
            }
            40 => Fault::PausePool(draw.of(5, 60)),
            41 => Fault::RestByHand { credential: draw.chance(0.5), clear: draw.chance(0.5) },
            _ => match draw.of(0, 5) {
                0 => Fault::DeletePool,
                1 | 2 => Fault::NewImage(draw.of(1, 3)),
                _ => Fault::Cordon(draw.of(5, 60)),
            },
        };
        faults.push((moment(draw), fault));
    }
    // Drawn apart: the other draws stay as they were.
    let mut apart = Draw(StdRng::seed_from_u64(seed ^ 0x7661_6c75));
    for _ in 0..apart.of(0, 3) {
        faults.push((moment(&mut apart), Fault::NewValue));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}
