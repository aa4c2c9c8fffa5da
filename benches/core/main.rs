//! What one decision costs, and whether it grows with what is there.
//!
//! `cargo bench --bench core`. Ratios compare shapes within one run; `-- --long` measures more cycles,
//! `-- --only N` runs one shape alone, for a profiler.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_precision_loss)]

use std::collections::BTreeMap;

use poolkeeper_testkit::rig::{Rig, Shape, Step};

const SHAPES: [(&str, Shape); 9] = [
    ("one pool, idle", Shape { pools: 1, workers: 10, waiting: 0, credentials: 0 }),
    ("one pool, idle", Shape { pools: 1, workers: 1_000, waiting: 0, credentials: 0 }),
    ("one pool, idle", Shape { pools: 1, workers: 10_000, waiting: 0, credentials: 0 }),
    ("one pool, loaded", Shape { pools: 1, workers: 10, waiting: 100_000, credentials: 0 }),
    ("one pool, loaded", Shape { pools: 1, workers: 1_000, waiting: 100_000, credentials: 0 }),
    ("one pool, loaded", Shape { pools: 1, workers: 10_000, waiting: 100_000, credentials: 0 }),
    ("100 pools, loaded", Shape { pools: 100, workers: 10_000, waiting: 100_000, credentials: 0 }),
    ("4 credentials, loaded", Shape { pools: 1, workers: 10, waiting: 100_000, credentials: 4 }),
    ("4 credentials, loaded", Shape { pools: 1, workers: 10_000, waiting: 100_000, credentials: 4 }),
];

/// Mean and 99th percentile of one decision in ns, and its mean visits.
struct Row {
    mean: f64,
    p99: u64,
    visits: f64,
}

fn main() {
    let arg = |name: &str| std::env::args().skip_while(|a| a != name).nth(1);
    let long = std::env::args().any(|a| a == "--long");
    let only: Option<usize> = arg("--only").and_then(|n| n.parse().ok());
    let (rounds, cycles) = if long { (9, 10_000) } else { (5, 2_000) };
    println!(
        "One decision: an event taken in, and all that follows from it decided. Echoes of own writes are left out."
    );
    println!("Medians of {rounds} rounds of {cycles} dispatches, from created to freed.\n");
    println!("| shape | workers | waiting | mean of all | p99 of all | visits an event | most visits |");
    println!("|---|---|---|---|---|---|---|");
    let mut means = BTreeMap::new();
    let mut steps: BTreeMap<Step, Vec<(usize, Row)>> = BTreeMap::new();
    for (i, (name, shape)) in SHAPES.iter().enumerate().filter(|(i, _)| only.is_none_or(|n| n == *i)) {
        let mut rig = Rig::new(*shape);
        rig.run(cycles); // its history fills up
        let mut all: Vec<Row> = Vec::new();
        let (mut most, mut by_step): (u64, BTreeMap<Step, Vec<Row>>) = (0, BTreeMap::new());
        for _ in 0..rounds {
            rig.costs.clear();
            rig.run(cycles);
            let mut nanos: Vec<u64> = Vec::new();
            let mut visits = 0;
            for (step, cost) in &rig.costs {
                // An echo decides nothing: to count it would halve the mean.
                if *step != Step::Echo {
                    nanos.extend(&cost.nanos);
                    visits += cost.visits;
                }
                most = most.max(cost.most_visits);
                by_step.entry(*step).or_default().push(row(cost.nanos.clone(), cost.visits));
            }
            all.push(row(nanos, visits));
        }
        let all = median(all);
        println!(
            "| {name} | {} | {} | {:.2} µs | {:.2} µs | {:.2} | {most} |",
            shape.workers,
            shape.waiting,
            all.mean / 1000.0,
            all.p99 as f64 / 1000.0,
            all.visits
        );
        means.insert(i, (all.mean, all.visits));
        for (step, rows) in by_step {
            steps.entry(step).or_default().push((i, median(rows)));
        }
        if only.is_none() && shape.waiting == 0 {
            rig.costs.clear();
            rig.replace(50);
            let other = &rig.costs[&Step::Other];
            let events = other.nanos.len() as f64;
            println!(
                "| {name}: a worker dies and is replaced | {} | 0 | {:.2} µs | | {:.2} | {} |",
                shape.workers,
                other.nanos.iter().sum::<u64>() as f64 / events / 1000.0,
                other.visits as f64 / events,
                other.most_visits
            );
        }
    }
    println!("\nBy event, mean µs (shapes in the order above):");
    for (step, rows) in &steps {
        let cells: Vec<String> = rows.iter().map(|(i, r)| format!("{}: {:.2}", i + 1, r.mean / 1000.0)).collect();
        println!("- {step:?}: {}", cells.join(", "));
    }
    println!();
    let ratio = |what: &str, a: usize, b: usize| {
        if let (Some(a), Some(b)) = (means.get(&a), means.get(&b)) {
            println!("{what}: time {:.2}x, visits {:.2}x", b.0 / a.0, b.1 / a.1);
        }
    };
    ratio("10,000 workers against 10, idle", 0, 2);
    ratio("10,000 workers against 10, 100,000 waiting", 3, 5);
    ratio("10,000 workers in 100 pools against in one", 5, 6);
    ratio("10,000 workers against 10, 4 credentials", 7, 8);
    if let Some((mean, _)) = means.get(&5) {
        println!("10,000 workers, 100,000 waiting: {:.2} µs a decision, aim < 10 µs", mean / 1000.0);
    }
}

fn row(mut nanos: Vec<u64>, visits: u64) -> Row {
    nanos.sort_unstable();
    let n = nanos.len();
    Row {
        mean: nanos.iter().sum::<u64>() as f64 / n as f64,
        p99: nanos[(n - 1) * 99 / 100],
        visits: visits as f64 / n as f64,
    }
}

fn median(mut rows: Vec<Row>) -> Row {
    rows.sort_by(|a, b| a.mean.total_cmp(&b.mean));
    rows.swap_remove(rows.len() / 2)
}
