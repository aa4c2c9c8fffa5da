//! Leaders that die, stall and leave.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::bites;
use crate::load::Demand;
use crate::process::{Controller, LEASE};
use crate::stage::{Stage, Verdict};

/// Dispatches a second.
const RATE: f64 = 32.0;
/// Workers of each pool, about.
const SIZE: i32 = 12;
/// All that is asked for must be done, and all must be quiet, after so long.
const END: Duration = Duration::from_secs(300);
/// After this long no candidate takes over any more.
const NEVER: Duration = Duration::from_secs(60);

/// One cluster, and scenarios that stop its parts: one at a time.
pub static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Pair {
    stage: Stage,
    dir: tempfile::TempDir,
    kubeconfig: PathBuf,
    controllers: Vec<Controller>,
    made: u32,
    gaps: Vec<Duration>,
    listings: Vec<Duration>,
}

impl Pair {
    async fn new(seed: u64) -> Option<Self> {
        let stage = Stage::set(SIZE, Demand { seed, rate: RATE, ..Demand::default() }).await?;
        let kubeconfig = PathBuf::from(std::env::var_os("POOLKEEPER_TEST_API").unwrap());
        let dir = tempfile::tempdir().unwrap();
        let mut this =
            Self { stage, dir, kubeconfig, controllers: Vec::new(), made: 0, gaps: Vec::new(), listings: Vec::new() };
        this.start();
        this.start();
        // Work goes through.
        let works = this.stage.works_since(Duration::ZERO, NEVER).await;
        assert!(works.is_some(), "nothing is ever assigned\n{}", this.logs());
        sleep(Duration::from_secs(5)).await;
        Some(this)
    }

    fn start(&mut self) {
        self.made += 1;
        let name = format!("controller-{}", self.made);
        let namespace = &self.stage.namespace.name;
        self.controllers.push(Controller::start(&name, &self.kubeconfig, namespace, self.dir.path(), true));
    }

    /// Takes the leader out of the list.
    async fn leader(&mut self) -> Controller {
        let began = Instant::now();
        loop {
            let holder = self.stage.holder().await.unwrap_or_default();
            let at = self.controllers.iter().position(|c| holder.starts_with(&format!("{}_", c.name)));
            if let Some(at) = at {
                return self.controllers.remove(at);
            }
            assert!(began.elapsed() < NEVER, "no leader ({holder:?})\n{}", self.logs());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until work goes on that is asked for after the fault, and writes down how long nothing was assigned.
    async fn measure(&mut self, fault: Duration) {
        self.measure_after(fault, fault).await;
    }

    /// The same with a fault that takes until `over`.
    async fn measure_after(&mut self, fault: Duration, over: Duration) {
        let Some(works) = self.stage.works_since(over, NEVER).await else {
            panic!("nothing is assigned any more\n{}{}", self.stage.census().await, self.logs());
        };
        self.gaps.push(self.stage.load.longest_pause(fault, works));
        // What was written just before a server died is seen when it is back: when it happened is not known.
        let from = fault.saturating_sub(Duration::from_secs(4));
        self.stage.troubled.lock().unwrap().push((from, self.stage.now() + Duration::from_secs(4)));
        self.listings.push(self.stage.listing().await);
    }

    fn logs(&self) -> String {
        let mut text = String::new();
        for n in 1..=self.made {
            let log = std::fs::read_to_string(self.dir.path().join(format!("controller-{n}.log"))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let _ = writeln!(text, "controller-{n}:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        text
    }

    /// The figures, and the verdict.
    async fn finish(mut self, what: &str) -> Verdict {
        let verdict = self.stage.judge(END).await;
        self.gaps.sort();
        let ms = |d: Option<&Duration>| d.map_or(0, Duration::as_millis);
        let listing = self.listings.iter().max().copied().unwrap_or_default();
        println!(
            "{what}: gap min {} median {} max {} ms of {}; listing all takes {} ms at most, lease {LEASE} s + 2 x that = {} ms",
            ms(self.gaps.first()),
            ms(self.gaps.get(self.gaps.len() / 2)),
            ms(self.gaps.last()),
            self.gaps.len(),
            listing.as_millis(),
            (Duration::from_secs(LEASE) + 2 * listing).as_millis(),
        );
        println!("{what}: {}", verdict.summary);
        for (what, n) in &verdict.tally {
            println!("{n:8}  {what}");
        }
        for controller in &mut self.controllers {
            let ended = controller.ended();
            assert!(ended.is_none(), "{} ended: {ended:?}\n{}", controller.name, self.dir.path().display());
        }
        assert!(
            verdict.violations.is_empty(),
            "{} violations\n{}\n{}",
            verdict.violations.len(),
            verdict.text(),
            self.logs()
        );
        self.controllers.clear();
        self.stage.clear().await;
        verdict
    }
}

fn times(default: usize) -> usize {
    std::env::var("POOLKEEPER_TIMES").map_or(default, |n| n.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_that_are_killed() {
    let _turn = TURN.lock().await;
    let Some(mut pair) = Pair::new(1).await else { return };
    for _ in 0..times(10) {
        let leader = pair.leader().await;
        let fault = pair.stage.now();
        leader.kill();
        pair.start();
        pair.measure(fault).await;
        sleep(Duration::from_secs(2)).await;
    }
    pair.finish("kill -9 of the leader").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_that_stall_beyond_their_lease() {
    let _turn = TURN.lock().await;
    let Some(mut pair) = Pair::new(2).await else { return };
    for n in 0..times(5) {
        let leader = pair.leader().await;
        let fault = pair.stage.now();
        leader.signal(Signal::STOP);
        pair.measure(fault).await;
        // It comes back while the other one works, soon or late.
        sleep(Duration::from_millis(300 * n as u64)).await;
        leader.signal(Signal::CONT);
        pair.controllers.push(leader);
        sleep(Duration::from_secs(3)).await;
    }
    pair.finish("SIGSTOP of the leader").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_that_leave() {
    let _turn = TURN.lock().await;
    let Some(mut pair) = Pair::new(3).await else { return };
    for _ in 0..times(5) {
        let mut leader = pair.leader().await;
        let fault = pair.stage.now();
        leader.signal(Signal::TERM);
        pair.start();
        pair.measure(fault).await;
        while leader.ended().is_none() {
            sleep(Duration::from_millis(20)).await;
        }
        assert!(leader.ended().unwrap().success(), "{:?}", leader.ended());
        sleep(Duration::from_secs(2)).await;
    }
    let verdict = pair.finish("SIGTERM of the leader").await;
    bites::check(&verdict.evidence);
}

/// Kills a component of the cluster, and starts it again.
async fn restart(component: &str) {
    let cluster = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cluster/cluster");
    let restarted = tokio::process::Command::new(cluster).args(["restart", component]).output().await.unwrap();
    assert!(restarted.status.success(), "{}", String::from_utf8_lossy(&restarted.stderr));
}

/// The same, and waits until work goes on.
async fn crash(pair: &mut Pair, component: &str) {
    let fault = pair.stage.now();
    restart(component).await;
    let ready = pair.stage.now();
    pair.measure_after(fault, ready).await;
    let gap = *pair.gaps.last().unwrap();
    let down = ready.checked_sub(fault).unwrap();
    println!("{component} crashed: ready after {} ms, no assignment for {} ms", down.as_millis(), gap.as_millis());
    // A kubelet tries for ever. kwok 0.7 gives up what was answered with a 500 (its `shouldRetry`), as while etcd is away: the
    // Pod would be Terminating for good. It looks at every Pod when it starts.
    restart("kwok").await;
    sleep(Duration::from_secs(4)).await;
}

fn has_cluster() -> bool {
    let there = ["CLUSTER_STATE", "API_PORT"].iter().all(|name| std::env::var_os(name).is_some());
    if !there {
        poolkeeper_testkit::cluster::skipped("CLUSTER_STATE and API_PORT name no cluster whose parts may be killed");
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_crashes() {
    let _turn = TURN.lock().await;
    if !has_cluster() {
        return;
    }
    let Some(mut pair) = Pair::new(4).await else { return };
    for _ in 0..times(3) {
        crash(&mut pair, "kube-apiserver").await;
    }
    pair.finish("kill -9 of kube-apiserver").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_crashes() {
    let _turn = TURN.lock().await;
    if !has_cluster() {
        return;
    }
    let Some(mut pair) = Pair::new(5).await else { return };
    for _ in 0..times(3) {
        crash(&mut pair, "etcd").await;
    }
    pair.finish("kill -9 of etcd").await;
}
