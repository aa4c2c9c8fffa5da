//! Many dispatches that wait, for few workers.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::feed::Feed;
use super::process::Controller;
use super::stage::{SETTLE, Stage, median, memory, ms};
use super::{head, row};

const POOL: &str = "agents";
const WORKERS: usize = 10;
/// Times that a worker gets free, for each figure.
const TIMES: usize = 50;
/// How long nothing is asked of the controller.
const REST: Duration = Duration::from_secs(60);

/// The dispatches that hold a worker.
struct Held(Vec<String>);

impl Held {
    /// From the answer to a report until the watch shows the next dispatch Assigned.
    async fn next(&mut self, feed: &mut Feed) -> Duration {
        let reported = feed.report(self.0.remove(0)).await.unwrap();
        let (name, at) = feed.assigned().await;
        self.0.push(name);
        at.saturating_duration_since(reported)
    }

    /// A controller starts when one worker is free: the time until the next assignment.
    async fn start(&mut self, stage: &Stage, feed: &mut Feed) -> (Duration, Controller) {
        feed.report(self.0.remove(0)).await.unwrap();
        let begin = Instant::now();
        let controller = stage.controller();
        let (name, at) = feed.assigned().await;
        self.0.push(name);
        (at - begin, controller)
    }
}

pub async fn run(stage: &Stage) -> bool {
    let waiting = stage.args.waiting;
    let mut feed = stage.feed();
    let controller = stage.controller();
    stage.make_pool(POOL, WORKERS, json!({"queueLimit": waiting + 1_000, "history": {"ttl": "10s"}})).await;
    stage.all_ready(WORKERS).await;
    let mut held = Held(Vec::new());
    for n in 0..WORKERS {
        feed.create(POOL, format!("first-{n}")).await.unwrap();
        held.0.push(feed.assigned().await.0);
    }
    let mut few = Vec::new();
    for n in 0..TIMES {
        feed.create(POOL, format!("few-{n}")).await.unwrap();
        sleep(Duration::from_millis(300)).await;
        few.push(held.next(&mut feed).await);
    }
    feed.create(POOL, "before".to_owned()).await.unwrap();
    controller.end();
    let (start_few, controller) = held.start(stage, &mut feed).await;
    sleep(SETTLE).await;
    let (empty_cpu, _) = stage.at_rest(&controller, REST / 2).await;
    let (empty, _) = controller.memory();

    let (begin, cpu, before) = (Instant::now(), controller.cpu(), stage.counters().await);
    for n in 0..waiting / 1_000 {
        let made: Vec<_> = (0..1_000).map(|k| feed.create(POOL, format!("many-{n}-{k}"))).collect();
        for one in made {
            one.await.unwrap();
        }
    }
    let made = begin.elapsed();
    let waiting = waiting / 1_000 * 1_000;
    while stage.waiting().await < waiting {
        sleep(Duration::from_secs(1)).await;
    }
    sleep(SETTLE).await;
    let taken = controller.cpu().saturating_sub(cpu);
    let cycle = stage.counters().await.since(&before).cycle();
    let (cpu, written) = stage.at_rest(&controller, REST).await;
    let (now, most) = controller.memory();
    head(["what", "figure", "compared with"]);
    row([
        &format!("{waiting} dispatches that wait: memory"),
        &format!("{:.2} kB for each", (now - empty) * 1_048.576 / waiting as f64),
        &format!("{now:.1} MiB (at most {most:.1}); empty {empty:.1} MiB"),
    ]);
    row([
        "they were created",
        &format!("{:.0} a second", waiting as f64 / made.as_secs_f64()),
        &format!(
            "{:.0} us of the controller's CPU time for each; its writes: {} of Dispatches and Workers, {} roll-ups",
            taken.as_secs_f64() * 1e6 / waiting as f64,
            cycle.own(),
            cycle.roll_ups
        ),
    ]);
    row([&format!("while they wait, {} s: writes", REST.as_secs()), &written, ""]);
    row(["while they wait: CPU", &format!("{cpu:.2} % of a core"), &format!("empty: {empty_cpu:.2} %")]);
    let mut many = Vec::new();
    for _ in 0..TIMES {
        sleep(Duration::from_millis(300)).await;
        many.push(held.next(&mut feed).await);
    }
    let (many, few) = (median(many), median(few));
    row([
        &format!("report to the next assignment, median of {TIMES}"),
        &format!("{}: {:.2}x", ms(many), many / few),
        &format!("one dispatch waits: {}", ms(few)),
    ]);
    controller.end();
    let (start, controller) = held.start(stage, &mut feed).await;
    let start_cpu = controller.cpu();
    sleep(SETTLE).await;
    row([
        "start to the first assignment",
        &format!("{:.1} s, of it {:.1} s of CPU time", start.as_secs_f64(), start_cpu.as_secs_f64()),
        &format!("one dispatch waits: {:.1} s", start_few.as_secs_f64()),
    ]);
    row(["memory after that start", &memory(&controller), ""]);
    controller.end();
    true
}
