//! The run for continuous integration: does every configuration still show what it is known to show?
//!
//! A mutant that no longer shows its violation means that the model has lost its bite; that is as bad as `fixed` failing.

use std::process::ExitCode;

use crate::configs::{CONFIGS, Config};
use crate::search::{Limits, Report, search};

/// About 210 bytes a state: well under 4 GiB.
const CAP: usize = 12_000_000;

/// Runs every configuration with its own budget of faults; one line each, and a traced one for each surprise.
pub fn run() -> ExitCode {
    let mut failed = 0;
    for config in CONFIGS {
        // a mutant is done as soon as it shows anything
        let limits = Limits { faults: config.faults, states: CAP, first: config.shows.is_some() };
        let report = search(&config.rules, limits);
        let passed = as_expected(config, &report);
        failed += usize::from(!passed);
        println!(
            "{} {} F={}: {}, {} states, {:.1}s",
            if passed { "ok  " } else { "FAIL" },
            config.name,
            config.faults,
            verdict(&report),
            report.states,
            report.time.as_secs_f64(),
        );
        if !passed {
            println!("     expected: {}", config.shows.unwrap_or("holds"));
            for (violation, trace) in &report.violations {
                println!("     {violation}\n       {trace}");
            }
        }
    }
    println!("{} passed, {failed} failed", CONFIGS.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn as_expected(config: &Config, report: &Report) -> bool {
    match config.shows {
        None => report.holds(),
        Some(kind) => report.violations.first().is_some_and(|(violation, _)| is_kind(violation, kind)),
    }
}

fn is_kind(violation: &str, kind: &str) -> bool {
    violation.split(':').next() == Some(kind)
}

/// `holds`, `capped`, or the kind of the first violation.
fn verdict(report: &Report) -> &str {
    match report.violations.first() {
        Some((violation, _)) => violation.split(':').next().unwrap_or(violation),
        None if report.capped => "capped",
        None => "holds",
    }
}
