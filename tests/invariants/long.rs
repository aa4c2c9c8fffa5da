//! A long run: whether what the controller and the store remember grows with time.

use std::collections::BTreeMap;

use poolkeeper::controller::health::Health;
use poolkeeper_testkit::audit;

use crate::plan::{Plan, ROUND};
use crate::users::{dispatches, pools, workers};
use crate::world::{self, World};

/// Entries by table: those of the controller, and the objects in the store.
pub type Sizes = BTreeMap<String, usize>;

/// What there is now. The controller's tables are read as its metrics show them.
pub async fn sizes(world: &World) -> Sizes {
    let slot = &world.slots[0];
    let metrics = slot.metrics.lock().unwrap().clone();
    let text = metrics.render(&Health::default(), &*slot.clock).await;
    let entry = |line: &str| {
        let (table, entries) = line.strip_prefix("poolkeeper_loop_entries{table=\"")?.split_once("\"} ")?;
        Some((table.to_owned(), entries.parse().unwrap()))
    };
    let mut sizes: Sizes = text.lines().filter_map(entry).collect();
    assert!(!sizes.is_empty(), "no controller answered: {text}");
    for (kind, objects) in [
        ("pools", pools(world).await.len()),
        ("workers", workers(world).await.len()),
        ("dispatches", dispatches(world).await.len()),
    ] {
        sizes.insert(format!("store: {kind}"), objects);
    }
    sizes
}

/// The mean size of each table.
fn means(samples: &[Sizes]) -> BTreeMap<&str, f64> {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for (table, entries) in samples.iter().flatten() {
        *sums.entry(table).or_default() += *entries as f64;
    }
    sums.into_iter().map(|(table, sum)| (table, sum / samples.len() as f64)).collect()
}

/// Compares the last quarter with the second one, and returns the tables that grew.
fn grown(samples: &[Sizes]) -> Vec<String> {
    let quarter = samples.len() / 4;
    let (second, last) = (means(&samples[quarter..2 * quarter]), means(&samples[3 * quarter..]));
    let mut grown = Vec::new();
    for (table, now) in &last {
        let before = second.get(table).copied().unwrap_or_default();
        println!("{before:8.1} {now:8.1}  {table}");
        // A round leaves more than another one, and a quarter of one hour is one round. What a controller never forgets of its dispatches is
        // hundreds of entries more in the last quarter.
        if *now > before * 1.5 + 40.0 {
            grown.push(format!("{table}: {before:.1} in the second quarter, {now:.1} in the last"));
        }
    }
    grown
}

/// `POOLKEEPER_HOURS` of virtual time; default 1.
#[test]
fn nothing_grows_with_time() {
    let hours = crate::env("POOLKEEPER_HOURS").unwrap_or(1);
    let seed = crate::env("POOLKEEPER_FIRST_SEED").unwrap_or(1);
    let run = world::run(&Plan::long(seed, hours * 3600 / ROUND));
    let (violations, tally) = audit::audit(&run.evidence);
    for (what, n) in &tally {
        println!("{n:8}  {what}");
    }
    println!(
        "{hours} h of virtual time, {} writes; entries in the second quarter and in the last:",
        run.evidence.records.len()
    );
    let grown = grown(&run.sizes);
    assert!(violations.is_empty(), "{} violations\n{}", violations.len(), crate::tell(&violations));
    assert!(grown.is_empty(), "{}", grown.join("\n"));
}

#[test]
fn what_is_never_forgotten_is_found() {
    let samples: Vec<Sizes> =
        (0..24).map(|n| [("leak".to_owned(), n), ("flat".to_owned(), 40 + n % 3)].into()).collect();
    let small = grown(&samples);
    assert!(small.is_empty(), "a difference of a few says nothing: {small:?}");
    let samples: Vec<Sizes> =
        (0..24).map(|n| [("leak".to_owned(), 10 * n), ("flat".to_owned(), 40 + n % 3)].into()).collect();
    assert!(matches!(&*grown(&samples), [one] if one.starts_with("leak")));
}
