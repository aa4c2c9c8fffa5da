//! Controllers behind a proxy that spoils their requests and watches, and that are killed or stalled meanwhile. Many
//! namespaces side by side, each with one or two controllers, which hold no election: safety does not depend on that.
//!
//! One seed is one schedule of faults. `POOLKEEPER_SEEDS=100` runs that many (default 4) from `POOLKEEPER_FIRST_SEED`
//! (default 1), `POOLKEEPER_BESIDE` (default 10) at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use tokio::time::sleep;

use crate::load::Demand;
use crate::process::Controller;
use crate::proxy::{Cut, Proxy, Rules};
use crate::stage::{Stage, Verdict};

/// How long things go wrong.
const STORM: Duration = Duration::from_secs(10);
/// All must be done and quiet after so long. A watch that was cut is begun anew within 10 s, as is a request; what was lost
/// is looked for every 30 s. The rest is for a machine that does other things too: ten namespaces at a time fill two cores.
const END: Duration = Duration::from_secs(300);

#[derive(Clone, Debug)]
enum Fault {
    /// The way to the server is bad for a while.
    Weather(Rules, Duration),
    Frozen(&'static [&'static str], Duration),
    Cut(Cut),
    /// `kill -9` of a controller, which starts again after a while.
    Killed(usize, Duration),
    /// SIGSTOP of a controller, and SIGCONT after a while.
    Stalled(usize, Duration),
    /// A user removes a worker's Pod.
    PodRemoved,
}

#[derive(Clone, Debug)]
struct Plan {
    seed: u64,
    controllers: usize,
    demand: Demand,
    faults: Vec<(Duration, Fault)>,
}

impl Plan {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let controllers = if rng.random_bool(0.4) { 2 } else { 1 };
        let demand = Demand {
            seed,
            rate: 3.0,
            rate_limited: rng.random_range(0.0..0.15),
            failed: 0.05,
            silent: 0.03,
            cancelled: 0.04,
            longest: 600,
            pools: Vec::new(),
        };
        let mut faults = Vec::new();
        for _ in 0..rng.random_range(5..10) {
            let at = STORM.mul_f64(rng.random());
            faults.push((at, Self::fault(&mut rng, controllers)));
        }
        faults.sort_by_key(|(at, _)| *at);
        Self { seed, controllers, demand, faults }
    }

    fn fault(rng: &mut StdRng, controllers: usize) -> Fault {
        let time = Duration::from_millis(rng.random_range(300..4000));
        let who = rng.random_range(0..controllers);
        match rng.random_range(0..12) {
            0..5 => {
                let mut rules = Rules::default();
                let p = rng.random_range(0.1..0.6);
                // Two of them, or one.
                for _ in 0..2 {
                    let field = match rng.random_range(0..8) {
                        0 => &mut rules.slow,
                        1 => &mut rules.dropped,
                        2 => &mut rules.conflict,
                        3 => &mut rules.expired,
                        4 => &mut rules.throttled,
                        5 => &mut rules.broken,
                        _ => &mut rules.answer_lost,
                    };
                    *field = p;
                }
                Fault::Weather(rules, time)
            }
            5..7 => Fault::Frozen(
                [
                    &["containerpools", "workers", "dispatches", "pods"] as &[&str],
                    &["workers"],
                    &["dispatches"],
                    &["pods"],
                ]
                .choose(rng)
                .unwrap(),
                time,
            ),
            7 | 8 => Fault::Cut(*[Cut::End, Cut::Error, Cut::Expired].choose(rng).unwrap()),
            9 => Fault::Killed(who, time / 2),
            10 => Fault::Stalled(who, time),
            _ => Fault::PodRemoved,
        }
    }
}

/// The places of controllers: each has a fixed name, whichever controller is in it.
struct Places<'a> {
    plan: &'a Plan,
    stage: &'a Stage,
    proxy: Proxy,
    kubeconfig: std::path::PathBuf,
    dir: tempfile::TempDir,
    alive: Mutex<BTreeMap<usize, Controller>>,
}

impl Places<'_> {
    fn start(&self, place: usize) {
        let name = format!("controller-{place}");
        let namespace = &self.stage.namespace.name;
        let controller = Controller::start(&name, &self.kubeconfig, namespace, self.dir.path(), false);
        self.alive.lock().unwrap().insert(place, controller);
    }

    async fn strike(&self, at: Duration, fault: Fault) {
        sleep(at).await;
        match fault {
            Fault::Weather(rules, time) => {
                self.proxy.set(rules);
                sleep(time).await;
                self.proxy.set(Rules::default());
            }
            Fault::Frozen(plurals, time) => {
                self.proxy.freeze(plurals);
                sleep(time).await;
                self.proxy.freeze(&[]);
            }
            Fault::Cut(how) => self.proxy.cut(how),
            Fault::Killed(place, time) => {
                let Some(controller) = self.alive.lock().unwrap().remove(&place) else { return };
                controller.kill();
                self.proxy.count("controller killed");
                sleep(time).await;
                self.start(place);
            }
            Fault::Stalled(place, time) => {
                let signal = |signal| {
                    let alive = self.alive.lock().unwrap();
                    alive.get(&place).inspect(|c| c.signal(signal)).is_some()
                };
                if signal(Signal::STOP) {
                    self.proxy.count("controller stalled");
                    sleep(time).await;
                    signal(Signal::CONT);
                }
            }
            Fault::PodRemoved => self.remove_pod().await,
        }
    }

    async fn remove_pod(&self) {
        let pods: Vec<Pod> = self.stage.recorder.all("pods");
        let pods: Vec<&Pod> = pods.iter().filter(|p| p.metadata.deletion_timestamp.is_none()).collect();
        let Some(pod) = pods.choose(&mut StdRng::seed_from_u64(self.plan.seed)) else { return };
        let api: Api<Pod> = Api::namespaced(self.stage.namespace.client.clone(), &self.stage.namespace.name);
        self.stage.killed.lock().unwrap().insert(pod.metadata.uid.clone().unwrap());
        let _ = api.delete(pod.metadata.name.as_ref().unwrap(), &DeleteParams::default().grace_period(0)).await;
        self.proxy.count("Pod removed");
    }

    fn logs(&self) -> String {
        let read = |n: usize| std::fs::read_to_string(self.dir.path().join(format!("controller-{n}.log")));
        let tail = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(30)..].join("\n")
        };
        (0..self.plan.controllers)
            .map(|n| format!("controller-{n}:\n{}\n", tail(read(n).unwrap_or_default())))
            .collect()
    }
}

/// One seed. None: there is no cluster.
async fn run(plan: Plan) -> Option<(Verdict, String)> {
    let stage = Stage::set(4, plan.demand.clone()).await?;
    // What is chosen in this weather is not judged.
    stage.troubled.lock().unwrap().push((Duration::ZERO, Duration::MAX));
    let dir = tempfile::tempdir().unwrap();
    let (proxy, kubeconfig) = Proxy::start(&stage.namespace.client, plan.seed, dir.path()).await;
    let places = Places { plan: &plan, stage: &stage, proxy: proxy.clone(), kubeconfig, dir, alive: Mutex::default() };
    for place in 0..plan.controllers {
        places.start(place);
    }
    let works = stage.works_since(Duration::ZERO, Duration::from_secs(60)).await.is_some();
    futures::future::join_all(plan.faults.iter().map(|(at, fault)| places.strike(*at, fault.clone()))).await;
    let mut verdict = stage.judge(END).await;
    if !works {
        verdict.summary += "; NOTHING WAS ASSIGNED BEFORE THE STORM";
    }
    for (place, controller) in places.alive.lock().unwrap().iter_mut() {
        if let Some(ended) = controller.ended() {
            let text = format!("controller-{place} ended: {ended}");
            verdict.violations.push(poolkeeper_testkit::audit::Violation { rule: "the controller works", at: 0, text });
        }
    }
    for (what, n) in proxy.tally() {
        *verdict.tally.entry(what).or_default() += n;
    }
    let logs = places.logs();
    drop(places);
    stage.clear().await;
    Some((verdict, logs))
}

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |n| n.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn invariants_hold_in_storms() {
    let _turn = crate::leaders::TURN.lock().await;
    let (first, count) = (env("POOLKEEPER_FIRST_SEED", 1), env("POOLKEEPER_SEEDS", 4));
    let beside = usize::try_from(env("POOLKEEPER_BESIDE", 10)).unwrap();
    let tally: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
    let failed: Arc<Mutex<BTreeMap<u64, String>>> = Arc::default();
    let runs = futures::stream::iter(first..first + count).map(|seed| {
        let (tally, failed) = (tally.clone(), failed.clone());
        tokio::spawn(async move {
            let plan = Plan::new(seed);
            let text = format!("{plan:#?}");
            let Some((verdict, logs)) = run(plan).await else { return false };
            println!("seed {seed}: {}, {} violations", verdict.summary, verdict.violations.len());
            let mut tally = tally.lock().unwrap();
            for (what, n) in verdict.tally.iter().chain([(&"runs".to_owned(), &1)]) {
                *tally.entry(what.clone()).or_default() += n;
            }
            if !verdict.violations.is_empty() {
                println!("seed {seed}: {}\n{text}\n{}\n{logs}", verdict.text(), verdict.tail(60));
                failed.lock().unwrap().insert(seed, verdict.brief());
            }
            true
        })
    });
    let ran: Vec<bool> = runs.buffer_unordered(beside).map(Result::unwrap).collect().await;
    if ran.iter().all(|ran| !ran) {
        return;
    }
    for (what, n) in tally.lock().unwrap().iter() {
        println!("{n:8}  {what}");
    }
    let failed = failed.lock().unwrap();
    // The last lines are what a CI shows of a long log.
    assert!(failed.is_empty(), "violations with these seeds, more above: {failed:#?}");
}
