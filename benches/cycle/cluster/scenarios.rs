//! Dispatches under several loads.

use std::time::{Duration, Instant};

use kube::Client;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::plain::Plain;
use super::process::Controller;
use super::server::{Counters, Cycle};
use super::supervisor::Supervisor;
use super::{Args, all_ready, make_pool, ms, namespace, percentile, row, set_paused};

const POOL: &str = "agents";
/// One that always has more work than workers.
const FEW: &str = "few";
const FEW_WORKERS: usize = 32;
/// How long each number of writers writes, for the server's rate.
const RATE_SPAN: Duration = Duration::from_secs(4);
/// PATCHes before, and as many after each scenario. Its latency is compared with them.
const PATCHES: usize = 200;
/// Dispatches in flight, for saturation.
const IN_FLIGHT: usize = 128;
/// The last writes of a scenario are those that free its workers.
const SETTLE: Duration = Duration::from_secs(1);

struct Stage<'a> {
    client: &'a Client,
    args: &'a Args,
    ns: String,
    plain: Plain,
}

/// What one scenario gave.
struct Outcome {
    waits: Vec<Duration>,
    /// Of plain PATCHes before and after.
    patches: Vec<Duration>,
    /// From the beginning until the last was Assigned, and the last ended.
    assigned: Duration,
    ended: Duration,
    cycle: Cycle,
}

pub async fn run(client: &Client, args: &Args) {
    let ns = format!("pk-bench-{}", std::process::id());
    let plain_ns = format!("{ns}-plain");
    namespace(client, &ns).await;
    namespace(client, &plain_ns).await;
    let controller = Controller::start(&args.controller, &args.kubeconfig, &ns);
    make_pool(client, &ns, POOL, args.workers).await;
    make_pool(client, &ns, FEW, FEW_WORKERS).await;
    all_ready(client, &ns, args.workers + FEW_WORKERS).await;
    let plain = Plain::new(client.clone(), &plain_ns).await;
    let mut stage = Stage { client, args, ns, plain };
    // Once for the connections, the caches, and the server's own.
    stage.plain.rate(32, Duration::from_secs(1)).await;
    stage.closed(POOL, "warm", args.dispatches / 10, 16).await;

    let wants = |s: &str| args.wants(s);
    if wants("serial") {
        let o = stage.closed(POOL, "serial", 200, 1).await;
        stage.latency("one at a time", &o);
        stage.writes("one at a time", &o, 200, "<= 4, 1/5 of 20");
    }
    let mut saturation = None;
    if wants("cycles") || wants("half") || wants("ninety") {
        saturation = Some(stage.cycles(POOL, "saturation", args.workers).await);
    }
    if wants("queued") {
        stage.cycles(FEW, "more work than workers", FEW_WORKERS).await;
    }
    if wants("poisson45") {
        stage.paced("p45", "45 a second", 45.0).await;
    }
    if let (Some(most), true) = (saturation, wants("half")) {
        stage.paced("half", &format!("50 % of saturation, {:.0} a second", most * 0.5), most * 0.5).await;
    }
    if let (Some(most), true) = (saturation, wants("ninety")) {
        stage.paced("ninety", &format!("90 % of saturation, {:.0} a second", most * 0.9), most * 0.9).await;
    }
    if wants("burst") {
        stage.burst(false).await;
    }
    if wants("release") {
        stage.burst(true).await;
    }
    controller.end();
}

impl Stage<'_> {
    /// Runs `load`, between plain PATCHes, and waits until all its dispatches have ended.
    async fn measured(&mut self, total: usize, load: impl AsyncFnOnce(&Supervisor) -> Instant) -> Outcome {
        let supervisor = Supervisor::new(self.client.clone(), &self.ns).await;
        supervisor.reports(true);
        let mut patches = self.plain.serial(PATCHES).await;
        let before = Counters::read(self.client).await;
        let plain = self.plain.sent();
        let begin = load(&supervisor).await;
        supervisor.all_ended(total).await;
        tokio::time::sleep(SETTLE).await;
        let mut cycle = Counters::read(self.client).await.since(&before).cycle();
        // Probes are no writes of the controller.
        let plain = (self.plain.sent() - plain) as u64;
        (cycle.dispatch_status, cycle.writes) = (cycle.dispatch_status - plain, cycle.writes - plain);
        patches.extend(self.plain.serial(PATCHES).await);
        assert_eq!(cycle.supervisor, 2 * total as u64, "creations and reports that the API server counted");
        let (waits, last) = supervisor.waits();
        assert_eq!(waits.len(), total, "dispatches that were seen Assigned");
        Outcome { waits, patches, assigned: last - begin, ended: supervisor.last_end() - begin, cycle }
    }

    /// So many at a time.
    async fn closed(&mut self, pool: &str, prefix: &str, total: usize, in_flight: usize) -> Outcome {
        self.measured(total, async |s: &Supervisor| {
            let begin = Instant::now();
            let mut made = 0;
            while made < total {
                while made < total && made - s.ended() < in_flight {
                    s.create(pool, format!("{prefix}-{made}"));
                    made += 1;
                }
                s.news().await;
            }
            begin
        })
        .await
    }

    /// At random times, so many a second on average.
    async fn paced(&mut self, prefix: &str, what: &str, rate: f64) {
        let mut random = StdRng::seed_from_u64(7);
        let mut at = 0.0;
        let mut times = Vec::new();
        while at < self.args.seconds as f64 {
            times.push(Duration::from_secs_f64(at));
            at += -f64::ln(1.0 - random.random::<f64>()) / rate;
        }
        let total = times.len();
        let stop = CancellationToken::new();
        let prober = self.plain.clone();
        let mut probe = None;
        let span = Duration::from_secs_f64(at);
        let o = self
            .measured(total, async |s: &Supervisor| {
                probe = Some(prober.probe(stop.clone()));
                let begin = Instant::now();
                for (n, at) in times.into_iter().enumerate() {
                    tokio::time::sleep_until((begin + at).into()).await;
                    s.create(POOL, format!("{prefix}-{n}"));
                }
                s.all_ended(total).await;
                stop.cancel();
                begin
            })
            .await;
        let probes = probe.unwrap().await.unwrap();
        self.latency(what, &o);
        let late = o.assigned.saturating_sub(span);
        row([
            &format!("{what}: compared with a PATCH under the same load"),
            &format!(
                "p50 {:.1}x, p99 {:.1}x",
                percentile(&o.waits, 50) / percentile(&probes, 50),
                percentile(&o.waits, 99) / percentile(&probes, 99)
            ),
            &format!(
                "{} / {}; last Assigned {} after the last was due",
                ms(percentile(&probes, 50)),
                ms(percentile(&probes, 99)),
                ms(late.as_secs_f64())
            ),
            "",
        ]);
        self.writes(what, &o, total, "<= 4");
    }

    /// As fast as it goes. Answers the cycles a second.
    async fn cycles(&mut self, pool: &str, what: &str, workers: usize) -> f64 {
        let total = self.args.dispatches;
        let (before, rates) = self.plain.best_rate(RATE_SPAN).await;
        let o = self.closed(pool, &format!("cycles-{pool}"), total, IN_FLIGHT).await;
        let (after, more) = self.plain.best_rate(RATE_SPAN).await;
        let best = before.max(after);
        let cycles = total as f64 / o.ended.as_secs_f64();
        let per = o.cycle.writes as f64 / total as f64;
        let show = |r: [f64; 3]| r.map(|r| format!("{r:.0}")).join(" / ");
        row([
            "status PATCHes a second with 1 / 8 / 32 writers",
            &format!("{best:.0}"),
            &format!("before {}; after {}", show(rates), show(more)),
            "",
        ]);
        row([
            &format!("{what}, {IN_FLIGHT} in flight, {workers} workers"),
            &format!("{cycles:.1} cycles a second, {:.0} % of it", 100.0 * cycles * per / best),
            &format!("{best:.0} PATCHes a second / {per:.2} writes of a cycle = {:.1}", best / per),
            ">= 80 %",
        ]);
        self.writes(what, &o, total, if workers < IN_FLIGHT { "<= 3, 1/5 of 20" } else { "<= 4" });
        cycles
    }

    /// As many dispatches as there are warm workers. `held`: they are there, and the pool is paused, until the clock starts.
    async fn burst(&mut self, held: bool) {
        let total = self.args.workers;
        all_ready(self.client, &self.ns, total + FEW_WORKERS).await;
        let (before, _) = self.plain.best_rate(RATE_SPAN).await;
        let (client, ns) = (self.client, self.ns.clone());
        let o = self
            .measured(total, async |s: &Supervisor| {
                s.reports(false);
                let mut begin = Instant::now();
                if held {
                    set_paused(client, &ns, POOL, true).await;
                    tokio::time::sleep(SETTLE).await;
                }
                let prefix = if held { "release" } else { "burst" };
                let made: Vec<_> = (0..total).map(|n| s.create(POOL, format!("{prefix}-{n}"))).collect();
                for one in made {
                    one.await.unwrap();
                }
                if held {
                    tokio::time::sleep(SETTLE).await;
                    begin = Instant::now();
                    set_paused(client, &ns, POOL, false).await;
                }
                s.all_assigned(total).await;
                s.report_all().await;
                begin
            })
            .await;
        let (after, _) = self.plain.best_rate(RATE_SPAN).await;
        let best = before.max(after);
        let took = o.assigned.as_secs_f64();
        // Reserve and publish; and creation, where it is in the time.
        let writes = total * if held { 2 } else { 3 };
        let what = if held { "held back, released at once" } else { "created at once" };
        row([
            &format!("burst of {total} onto {total} warm workers, {what}"),
            &format!(
                "{:.0} claims a second, all after {took:.2} s: {:.2}x",
                total as f64 / took,
                took * best / writes as f64
            ),
            &format!("{writes} writes / {best:.0} PATCHes a second = {:.2} s", writes as f64 / best),
            if held { "<= 1.25x" } else { "164 a second (4 x 41)" },
        ]);
        if !held {
            self.latency(&format!("burst of {total}"), &o);
            self.writes(&format!("burst of {total}"), &o, total, "<= 4");
        }
    }

    fn latency(&self, what: &str, o: &Outcome) {
        let (a, b) = (percentile(&o.waits, 50), percentile(&o.waits, 99));
        let (p, q) = (percentile(&o.patches, 50), percentile(&o.patches, 99));
        row([
            &format!("{what}: created to Assigned, p50 / p99"),
            &format!("{} / {}: {:.1}x / {:.1}x", ms(a), ms(b), a / p, b / q),
            &format!("one status PATCH {} / {}", ms(p), ms(q)),
            "<= 3x",
        ]);
    }

    fn writes(&self, what: &str, o: &Outcome, total: usize, aim: &str) {
        let (c, per) = (o.cycle, |n: u64| n as f64 / total as f64);
        row([
            &format!("{what}: writes per dispatch"),
            &format!(
                "{:.2} (Worker {:.2}, Dispatch {:.2})",
                per(c.own()),
                per(c.worker_status),
                per(c.dispatch_status)
            ),
            &format!(
                "supervisor {:.2}, deletes {:.2}, reads {:.2}; roll-ups {}, Events {}",
                per(c.supervisor),
                per(c.deletes),
                per(c.reads),
                c.roll_ups,
                c.events
            ),
            aim,
        ]);
        row([
            &format!("{what}: wasted writes"),
            &format!("{:.2} %", c.wasted()),
            &format!("{} refused, {} no-ops, of {}", c.refused, c.no_ops, c.own() + c.roll_ups + c.deletes + c.refused),
            "<= 1 %",
        ]);
    }
}
