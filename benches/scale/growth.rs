//! Whether anything grows while many dispatches run, one after the other: samples of the whole run, and its last quarter compared
//! with its second one.

use std::time::{Duration, Instant};

use super::feed::{Feed, Seen};
use super::{head, row};

/// Dispatches at a time.
const IN_FLIGHT: usize = 96;
/// Fewer say nothing about growth.
const FEWEST: usize = 1_000;
/// A multiple of four.
const SAMPLES: usize = 40;
/// What the last quarter may have of what the second one has. Of CPU time nothing is required: other programs change it.
const BOUND: f64 = 1.1;

/// One thing that must not grow.
pub struct Column {
    pub what: &'static str,
    /// How much more is no growth: what there is at a time follows the rate, and so the machine.
    pub slack: f64,
}

/// What a sample found, in the order of the columns, and the time that the program has used on a core.
pub struct Found<const N: usize> {
    pub values: [f64; N],
    pub cpu: Duration,
}

/// How long a run may be.
pub struct Length {
    pub dispatches: usize,
    pub limit: Duration,
}

struct Sample<const N: usize> {
    values: [f64; N],
    /// For each dispatch since the last sample, in ms.
    cpu: f64,
}

fn mean<const N: usize>(samples: &[Sample<N>], value: impl Fn(&Sample<N>) -> f64) -> f64 {
    samples.iter().map(value).sum::<f64>() / samples.len() as f64
}

/// Runs them through a pool, and says whether all stayed flat. Half of the dispatches are deleted by their supervisor as soon as
/// they have ended; the others by the controller, after the pool's `history.ttl`. `measure` gets how many ended since the last
/// sample, and how many in all.
pub async fn judge<const N: usize>(
    mut feed: Feed,
    pool: &str,
    length: &Length,
    columns: &[Column; N],
    mut measure: impl AsyncFnMut(usize, usize) -> Found<N>,
) -> bool {
    let names = columns.each_ref().map(|column| column.what);
    println!("| dispatches | min | {} | CPU for each |", names.join(" | "));
    println!("|---|---|{}---|", "---|".repeat(N));
    let (begin, total) = (Instant::now(), length.dispatches);
    let (mut made, mut ended, mut samples) = (0, 0, Vec::new());
    let (mut sampled, mut cpu) = (0, measure(1, 0).await.cpu);
    while ended < total && begin.elapsed() < length.limit {
        while made < total && made - ended < IN_FLIGHT {
            drop(feed.create(pool, format!("d-{made}")));
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
        let share = (ended as f64 / total as f64).max(begin.elapsed().as_secs_f64() / length.limit.as_secs_f64());
        if share * SAMPLES as f64 >= (samples.len() + 1) as f64 && ended > sampled {
            let found = measure(ended - sampled, ended).await;
            let used = found.cpu.saturating_sub(cpu).as_secs_f64() * 1e3 / (ended - sampled) as f64;
            (sampled, cpu) = (ended, found.cpu);
            let values = found.values.map(|value| format!("{value:.2}")).join(" | ");
            println!("| {ended} | {:.1} | {values} | {used:.2} ms |", begin.elapsed().as_secs_f64() / 60.0);
            samples.push(Sample { values: found.values, cpu: used });
        }
    }
    let took = begin.elapsed();
    println!();
    let quarter = samples.len() / 4;
    assert!(quarter > 0 && ended >= FEWEST, "{ended} dispatches are too few to say whether anything grows");
    let (second, last) = (&samples[quarter..2 * quarter], &samples[samples.len() - quarter..]);
    head(["last quarter against the second", "second", "last", "ratio"]);
    let mut flat = true;
    for (n, Column { what, slack }) in columns.iter().enumerate() {
        let (before, now) = (mean(second, |s| s.values[n]), mean(last, |s| s.values[n]));
        let grew = now > before * BOUND + slack;
        flat &= !grew;
        let ratio = format!("{:.3}{}", now / before, if grew { ": IT GROWS" } else { "" });
        row([what, &format!("{before:.2}"), &format!("{now:.2}"), &ratio]);
    }
    let (before, now) = (mean(second, |s| s.cpu), mean(last, |s| s.cpu));
    let ratio = format!("{:.3}", now / before);
    row(["CPU for each", &format!("{before:.2} ms"), &format!("{now:.2} ms"), &ratio]);
    let verdict = if flat { "flat" } else { "NOT flat" };
    println!("\n{ended} dispatches in {:.1} min: {verdict}", took.as_secs_f64() / 60.0);
    flat
}
