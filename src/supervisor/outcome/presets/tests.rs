//! Every preset against its samples, and each file against what a preset must have.
use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::super::preset::Sample;
use super::super::recogniser::{Moment, Recogniser, Seen, Stream, after};
use super::*;

fn all() -> Vec<Preset> {
    let read = |(name, text): &(&str, &str)| {
        let preset: Preset = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(preset.name, *name);
        preset
    };
    FILES.iter().map(read).collect()
}

/// Rule and time that a sample gives, if all of it comes on `stream`.
fn judged(preset: &Preset, sample: &Sample, stream: Stream) -> (Option<String>, Option<jiff::Timestamp>) {
    let recogniser = Recogniser::of([preset.name.as_str()]).unwrap();
    let zone = sample.zone.as_deref().map_or(TimeZone::UTC, |name| TimeZone::get(name).unwrap());
    let at = Moment { now: sample.now.unwrap_or(jiff::Timestamp::UNIX_EPOCH), zone };
    let mut seen = Seen::default();
    seen.feed(stream, sample.output.as_bytes());
    let found = match sample.exit_code {
        Some(code) => recogniser.ended(&seen, code, &at),
        None => recogniser.asleep(&seen, &at),
    };
    let until = found.as_ref().and_then(|found| found.wait).and_then(|wait| after(at.now, wait));
    (found.map(|found| found.rule), until)
}

#[test]
fn every_expression_is_valid() {
    let all = Recogniser::of(names()).unwrap();
    assert!(all.expressions().count() > 100);
    for expression in all.expressions() {
        expression.compile().unwrap();
    }
}

#[test]
fn every_sample_gives_its_verdict_and_its_time_on_either_stream() {
    let mut wrong = Vec::new();
    for preset in all() {
        for sample in &preset.samples {
            let wanted = (sample.rule.as_ref().map(|rule| format!("{}/{rule}", preset.name)), sample.until);
            for stream in [Stream::Stdout, Stream::Stderr] {
                let got = judged(&preset, sample, stream);
                if got != wanted {
                    wrong.push(format!(
                        "{} {stream:?} {:?}\n  got {got:?}\n  not {wanted:?}",
                        preset.name, sample.output
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_sample_with_costs_gives_them_and_every_meter_has_one() {
    for preset in all() {
        let recogniser = Recogniser::of([preset.name.as_str()]).unwrap();
        let costs: Vec<_> = preset.samples.iter().filter(|sample| sample.spent.is_some()).collect();
        assert!(costs.len() >= preset.usage.len(), "{}: a meter without a sample", preset.name);
        for sample in costs {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let mut seen = Seen::default();
                seen.feed(stream, sample.output.as_bytes());
                assert_eq!(recogniser.spent(&seen), sample.spent, "{} {:?}", preset.name, sample.output);
            }
        }
    }
}

#[test]
fn every_rule_has_a_sample_and_every_preset_a_run_that_is_no_limit() {
    for preset in all() {
        let name = &preset.name;
        let rules: BTreeSet<_> = preset.rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(rules.len(), preset.rules.len(), "{name}: two rules with one name");
        let shown: BTreeSet<_> = preset.samples.iter().filter_map(|sample| sample.rule.as_deref()).collect();
        assert_eq!(rules, shown, "{name}: rules, and rules with samples");
        let negatives = preset.samples.iter().filter(|sample| sample.rule.is_none()).collect::<Vec<_>>();
        assert!(negatives.iter().any(|sample| sample.exit_code == Some(0)), "{name}: no run that succeeded");
        for sample in negatives.iter().filter(|sample| sample.exit_code == Some(0)) {
            assert!(sample.output.lines().count() > 0, "{name}");
        }
    }
}

#[test]
fn every_file_is_complete() {
    let month = regex::Regex::new(r"^20\d\d-(0[1-9]|1[0-2])$").unwrap();
    for preset in all() {
        let name = &preset.name;
        assert!(is_name(name) && month.is_match(&preset.seen), "{name}");
        assert!(!preset.program.is_empty() && preset.advice.len() > 40 && (1..=10).contains(&preset.within), "{name}");
        for rule in &preset.rules {
            let matches = rule.text.is_some() || rule.event.is_some() || !rule.exit_codes.is_empty();
            assert!(matches, "{name}/{}: it would hold for every output", rule.name);
            assert!(rule.resets.is_none() || rule.class.rests(), "{name}/{}", rule.name);
        }
        for sample in &preset.samples {
            let timed = sample.until.is_some();
            assert!(!timed || sample.now.is_some(), "{name}: {:?} has a time without now", sample.output);
            assert!(!sample.source.is_empty());
        }
    }
    let names: Vec<_> = names().collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
}

/// A program that is given another one's output must not see a limit of its own in a run that succeeded.
#[test]
fn no_run_that_succeeded_is_a_limit_for_a_program_whose_exit_code_can_be_trusted() {
    let presets = all();
    let runs: Vec<&Sample> =
        presets.iter().flat_map(|p| &p.samples).filter(|s| s.rule.is_none() && s.exit_code == Some(0)).collect();
    assert!(runs.len() >= 12);
    for preset in presets.iter().filter(|p| p.exit_zero == super::super::preset::ExitZero::Success) {
        for sample in &runs {
            assert_eq!(judged(preset, sample, Stream::Stdout), (None, None), "{}: {:?}", preset.name, sample.output);
        }
    }
}
