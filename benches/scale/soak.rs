//! Many dispatches through one controller, one after the other: whether anything grows with their number.

use std::time::{Duration, Instant};

use kube::api::{Api, ListParams};
use poolkeeper::api::Dispatch;
use serde_json::json;

use super::feed::Seen;
use super::process::Controller;
use super::server::Counters;
use super::stage::Stage;
use super::{head, row};

const POOL: &str = "agents";
const WORKERS: usize = 32;
/// Dispatches at a time.
const IN_FLIGHT: usize = 96;
/// Fewer say nothing about growth.
const FEWEST: usize = 1_000;
/// A multiple of four.
const SAMPLES: usize = 40;
/// What the last quarter may have of what the second one has. Of CPU time nothing is required: other programs change it.
const BOUND: f64 = 1.1;

/// What is compared, in the order of [`Sample::values`], and how much more is no growth: what there is at a time follows the
/// rate, and so the machine.
const COMPARED: [(&str, f64); 6] = [
    ("memory (RSS), MiB", 1.0),
    ("dispatches in the store", 200.0),
    ("keys in etcd", 200.0),
    ("etcd after compaction, MiB", 1.0),
    ("writes for each", 0.1),
    ("entries", 400.0),
];

struct Sample {
    ended: usize,
    at: Duration,
    values: [f64; 6],
    /// Of the controller for each dispatch since the last sample, in ms.
    cpu: f64,
}

struct Meter<'a> {
    stage: &'a Stage,
    controller: &'a Controller,
    begin: Instant,
    ended: usize,
    cpu: Duration,
    counters: Counters,
}

impl Meter<'_> {
    async fn sample(&mut self, ended: usize) -> Sample {
        let counters = self.stage.counters().await;
        let cycle = counters.since(&self.counters).cycle();
        let (cpu, more) = (self.controller.cpu(), (ended - self.ended) as f64);
        let used = cpu.saturating_sub(self.cpu).as_secs_f64() * 1e3 / more;
        (self.ended, self.cpu, self.counters) = (ended, cpu, counters);
        let api: Api<Dispatch> = Api::namespaced(self.stage.client.clone(), &self.stage.ns);
        let page = api.list(&ListParams::default().limit(1)).await.unwrap();
        let there = page.metadata.remaining_item_count.unwrap_or(0) + i64::try_from(page.items.len()).unwrap();
        let store = self.stage.compacted().await;
        let values = [
            self.controller.memory().0,
            there as f64,
            store.keys,
            store.mib,
            cycle.own() as f64 / more,
            self.stage.entries().await,
        ];
        let sample = Sample { ended, at: self.begin.elapsed(), values, cpu: used };
        let [rss, there, keys, mib, writes, entries] = sample.values;
        let cells = [
            format!("{ended}"),
            format!("{:.1}", sample.at.as_secs_f64() / 60.0),
            format!("{rss:.1} MiB"),
            format!("{there:.0}"),
            format!("{keys:.0}"),
            format!("{mib:.1} MiB"),
            format!("{writes:.2}"),
            format!("{entries:.0}"),
            format!("{:.2} ms", sample.cpu),
        ];
        row(cells.each_ref().map(String::as_str));
        sample
    }
}

fn mean(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    samples.iter().map(value).sum::<f64>() / samples.len() as f64
}

/// Half of the dispatches are deleted by their supervisor as soon as they have ended; the others by the controller, after the
/// pool's `history.ttl`.
pub async fn run(stage: &Stage) -> bool {
    let (total, limit) = (stage.args.dispatches, Duration::from_secs(60 * stage.args.minutes));
    let mut feed = stage.feed();
    let controller = stage.controller();
    stage.make_pool(POOL, WORKERS, json!({"history": {"ttl": "5s", "limit": 100_000}})).await;
    stage.all_ready(WORKERS).await;
    head(["dispatches", "min", "RSS", "in the store", "keys", "etcd", "writes for each", "entries", "CPU for each"]);
    let begin = Instant::now();
    let mut meter = Meter {
        stage,
        controller: &controller,
        begin,
        ended: 0,
        cpu: controller.cpu(),
        counters: stage.counters().await,
    };
    let (mut made, mut ended, mut samples) = (0, 0, Vec::new());
    while ended < total && begin.elapsed() < limit {
        while made < total && made - ended < IN_FLIGHT {
            drop(feed.create(POOL, format!("d-{made}")));
            made += 1;
        }
        match feed.next().await {
            Seen::Assigned(name, _) => drop(feed.report(name)),
            Seen::Ended(name) => {
                ended += 1;
                if name.ends_with(['0', '2', '4', '6', '8']) {
                    feed.delete(name);
                }
            }
        }
        // By time too, where that comes first.
        let share = (ended as f64 / total as f64).max(begin.elapsed().as_secs_f64() / limit.as_secs_f64());
        if share * SAMPLES as f64 >= (samples.len() + 1) as f64 && ended > meter.ended {
            samples.push(meter.sample(ended).await);
        }
    }
    println!();
    let quarter = samples.len() / 4;
    assert!(quarter > 0 && ended >= FEWEST, "{ended} dispatches are too few to say whether anything grows");
    let (second, last) = (&samples[quarter..2 * quarter], &samples[samples.len() - quarter..]);
    head(["last quarter against the second", "second", "last", "ratio"]);
    let mut flat = true;
    for (n, (what, slack)) in COMPARED.into_iter().enumerate() {
        let (before, now) = (mean(second, |s| s.values[n]), mean(last, |s| s.values[n]));
        let grew = now > before * BOUND + slack;
        flat &= !grew;
        let ratio = format!("{:.3}{}", now / before, if grew { ": IT GROWS" } else { "" });
        row([what, &format!("{before:.2}"), &format!("{now:.2}"), &ratio]);
    }
    let (before, now) = (mean(second, |s| s.cpu), mean(last, |s| s.cpu));
    let ratio = format!("{:.3}", now / before);
    row(["CPU for each", &format!("{before:.2} ms"), &format!("{now:.2} ms"), &ratio]);
    let last = samples.last().unwrap();
    println!(
        "\n{} dispatches in {:.1} min: {}",
        last.ended,
        last.at.as_secs_f64() / 60.0,
        if flat { "flat" } else { "NOT flat" }
    );
    controller.end();
    flat
}
