//! Many workers, all of them busy.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::stage::{SETTLE, Stage, memory};
use super::{head, row};

/// Workers of a pool.
const PER_POOL: usize = 100;
/// How long nothing is asked of the controller.
const REST: Duration = Duration::from_secs(60);

pub async fn run(stage: &Stage) -> bool {
    let pools = stage.args.workers.div_ceil(PER_POOL);
    let workers = pools * PER_POOL;
    let mut feed = stage.feed();
    let controller = stage.controller();
    sleep(SETTLE).await;
    let (empty, _) = controller.memory();
    let begin = Instant::now();
    for n in 0..pools {
        stage.make_pool(&format!("pool-{n}"), PER_POOL, json!({"history": {"ttl": "10s"}})).await;
    }
    stage.all_ready(workers).await;
    let ready = begin.elapsed();
    sleep(SETTLE).await;
    let (idle_cpu, idle_written) = stage.at_rest(&controller, REST).await;
    let (idle, _) = controller.memory();

    let (begin, before) = (Instant::now(), stage.counters().await);
    for k in 0..PER_POOL {
        let made: Vec<_> = (0..pools).map(|n| feed.create(&format!("pool-{n}"), format!("task-{n}-{k}"))).collect();
        for one in made {
            one.await.unwrap();
        }
    }
    let mut names = Vec::new();
    for _ in 0..workers {
        names.push(feed.assigned().await.0);
    }
    let assigned = begin.elapsed();
    sleep(SETTLE).await;
    let cycle = stage.counters().await.since(&before).cycle();
    let (busy_cpu, busy_written) = stage.at_rest(&controller, REST).await;
    let (busy, most) = controller.memory();
    head(["what", "figure", "compared with"]);
    row([
        &format!("{workers} workers in {pools} pools become Ready"),
        &format!("{:.0} a second", workers as f64 / ready.as_secs_f64()),
        &format!("all after {:.0} s", ready.as_secs_f64()),
    ]);
    row([
        &format!("{workers} dispatches, one on each"),
        &format!("{:.0} a second", workers as f64 / assigned.as_secs_f64()),
        &format!(
            "all Assigned {:.0} s after the first was created; {:.2} writes of the controller for each",
            assigned.as_secs_f64(),
            cycle.own() as f64 / workers as f64
        ),
    ]);
    row([
        "all busy: memory",
        &format!("{:.1} MiB above empty, {:.2} kB for each", busy - empty, (busy - empty) * 1_048.576 / workers as f64),
        &format!("{busy:.1} MiB (at most {most:.1}); all idle {idle:.1} MiB; empty {empty:.1} MiB"),
    ]);
    row([&format!("all busy, {} s: writes", REST.as_secs()), &busy_written, &format!("all idle: {idle_written}")]);
    row(["all busy: CPU", &format!("{busy_cpu:.2} % of a core"), &format!("all idle: {idle_cpu:.2} %")]);

    controller.end();
    // The worker of this one takes the next, once there is a controller.
    let name = names.pop().unwrap();
    let pool = format!("pool-{}", name.split('-').nth(1).unwrap());
    feed.report(name).await.unwrap();
    feed.create(&pool, "next".to_owned()).await.unwrap();
    let begin = Instant::now();
    let controller = stage.controller();
    let (_, at) = feed.assigned().await;
    let cpu = controller.cpu();
    sleep(SETTLE).await;
    row([
        "start to the first assignment",
        &format!("{:.1} s", (at - begin).as_secs_f64()),
        &format!("of it {:.1} s of CPU time", cpu.as_secs_f64()),
    ]);
    row(["memory after that start", &memory(&controller), ""]);
    controller.end();
    true
}
