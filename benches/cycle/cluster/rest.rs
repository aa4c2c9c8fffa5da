//! Many workers with nothing to do.

use std::time::{Duration, Instant};

use kube::Client;

use super::process::Controller;
use super::server::Counters;
use super::{Args, all_ready, make_pool, namespace, row};

/// Until an empty controller has started, and until a full one has written all that it had to.
const SETTLE: Duration = Duration::from_secs(15);

/// What a controller uses over a time: percent of a core, resident MiB, its most.
async fn usage(controller: &Controller, span: Duration) -> (f64, f64, f64) {
    let (begin, cpu) = (Instant::now(), controller.cpu());
    tokio::time::sleep(span).await;
    let share = 100.0 * controller.cpu().saturating_sub(cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
    let (now, most) = controller.memory();
    (share, now, most)
}

pub async fn run(client: &Client, args: &Args) {
    let ns = format!("pk-rest-{}", std::process::id());
    namespace(client, &ns).await;
    let controller = Controller::start(&args.controller, &args.kubeconfig, &ns);
    tokio::time::sleep(SETTLE).await;
    let (empty_cpu, empty, _) = usage(&controller, Duration::from_secs(args.rest_seconds / 4)).await;
    let begin = Instant::now();
    for n in 0..args.pools {
        make_pool(client, &ns, &format!("pool-{n}"), args.per_pool).await;
    }
    let workers = args.pools * args.per_pool;
    all_ready(client, &ns, workers).await;
    let up = begin.elapsed();
    tokio::time::sleep(SETTLE).await;
    let before = Counters::read(client).await;
    let (cpu, memory, most) = usage(&controller, Duration::from_secs(args.rest_seconds)).await;
    let seen = Counters::read(client).await.since(&before);
    controller.end();
    let what = format!("{workers} workers in {} pools at rest, {} s", args.pools, args.rest_seconds);
    let ours = seen.describe(|group, resource| group == "poolkeeper.dev" || ["pods", "events"].contains(&resource));
    let leases = seen.describe(|_, resource| resource == "leases");
    row([
        &format!("{what}: writes"),
        &if ours.is_empty() { "none".to_owned() } else { ours.join(", ") },
        &format!(
            "Leases, with those of the nodes: {}; all Ready {:.0} s after the first pool was made",
            leases.join(", "),
            up.as_secs_f64()
        ),
        "the Lease alone",
    ]);
    row([&format!("{what}: CPU"), &format!("{cpu:.2} % of a core"), &format!("empty: {empty_cpu:.2} %"), "< 1 %"]);
    row([
        &format!("{what}: memory"),
        &format!("{:.1} MiB above empty", memory - empty),
        &format!("{memory:.1} MiB (at most {most:.1}); empty {empty:.1} MiB"),
        "<= 64 MiB",
    ]);
}
