//! What an election must do, by example, and by a simulation of several candidates.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Now {
    // Wall clocks prove nothing here: this one stands still.
    Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds))
}

fn mono(seconds: u64) -> Duration {
    at(seconds).mono
}

fn held_by(holder: &str, renewed: i64) -> Record {
    Record {
        holder: holder.to_owned(),
        seconds: Some(15),
        acquired: Some(Timestamp::UNIX_EPOCH),
        renewed: Some(Timestamp::from_second(renewed).unwrap()),
        transitions: 3,
    }
}

#[test]
fn a_lease_that_is_not_there_is_created_and_renewed() {
    let mut c = Candidate::new("a", Timing::default());
    assert_eq!(c.step(at(5)), Step::Read);
    c.saw(None, mono(5));
    let Step::Create(record) = c.step(at(5)) else { panic!() };
    assert_eq!((record.holder.as_str(), record.seconds, record.transitions), ("a", Some(15), 0));
    assert!(!c.leads(mono(5)));
    c.wrote(record.clone(), mono(5), mono(6));
    assert!(c.leads(mono(14)) && !c.leads(mono(15)), "10 s from when the write was asked for");
    assert_eq!(c.step(at(6)), Step::Wait(mono(7)));
    let Step::Replace(renewal) = c.step(at(7)) else { panic!() };
    assert_eq!((renewal.acquired, renewal.transitions), (record.acquired, 0));
    c.failed(mono(8));
    assert_eq!(c.step(at(10)), Step::Read, "what became of it is not known");
    assert_eq!(c.step(at(15)), Step::Read);
    assert!(c.deadline().is_none(), "the deadline has passed");
}

#[test]
fn a_lease_is_taken_when_a_look_shows_that_it_ran_out() {
    let mut c = Candidate::new("b", Timing::default());
    c.saw(Some(held_by("a", 1)), mono(100));
    assert_eq!(c.step(at(101)), Step::Wait(mono(102)));
    c.saw(Some(held_by("a", 2)), mono(110));
    assert_eq!(c.step(at(124)), Step::Read);
    c.saw(Some(held_by("a", 2)), mono(124));
    assert_eq!(c.step(at(124)), Step::Wait(mono(125)), "it runs out 15 s after the change, and is looked at then");
    assert_eq!(c.step(at(500)), Step::Read, "only a look shows that it was not renewed");
    c.saw(Some(held_by("a", 2)), mono(500));
    let Step::Replace(record) = c.step(at(500)) else { panic!() };
    assert_eq!((record.holder.as_str(), record.transitions), ("b", 4));
    c.conflicted(mono(501));
    assert!(!c.leads(mono(501)));
    assert_eq!(c.step(at(501)), Step::Wait(mono(503)));
}

#[test]
fn a_release_is_taken_up_at_once_and_another_holder_ends_the_term() {
    let mut c = Candidate::new("a", Timing::default());
    c.saw(Some(Record { holder: String::new(), seconds: Some(1), ..held_by("", 1) }), mono(1));
    let Step::Replace(record) = c.step(at(1)) else { panic!() };
    c.wrote(record, mono(1), mono(1));
    let released = c.release(Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!((released.holder.as_str(), released.seconds, released.transitions), ("", Some(1), 4));
    c.conflicted(mono(3));
    assert_eq!(c.step(at(3)), Step::Read, "no time is lost");
    assert_eq!(c.release(Timestamp::UNIX_EPOCH), None, "it has to be read first");
    c.saw(Some(held_by("b", 9)), mono(3));
    assert!(!c.leads(mono(3)));
    assert_eq!(c.holder(), Some("b"));
}

#[test]
fn times_that_do_not_fit_are_refused() {
    let timing = |lease, deadline, retry| Timing {
        lease: Duration::from_millis(lease),
        renew_deadline: Duration::from_millis(deadline),
        retry: Duration::from_millis(retry),
    };
    assert_eq!(timing(15_000, 10_000, 2000).check(), Ok(()));
    assert_eq!(timing(2000, 1000, 500).check(), Ok(()));
    for (timing, word) in [
        (timing(10_000, 10_000, 2000), "longer than --renew-deadline"),
        (timing(1500, 1000, 100), "whole seconds"),
        (timing(15_000, 3000, 2000), "twice --retry-period"),
        (timing(15_000, 3000, 0), "twice --retry-period"),
    ] {
        assert!(timing.check().unwrap_err().contains(word));
    }
}

/// What happens to one request. Times are ticks of 100 ms.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// Until it takes effect, or never.
    effect: Option<u64>,
    /// Until its sender has the answer, or gave up.
    answer: u64,
    /// How many versions old the answer to a read is.
    stale: usize,
    /// How long its sender then does nothing.
    pause: u64,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let one =
        (prop::option::weighted(0.9, 0u64..60), 0u64..60, 0usize..3, prop_oneof![4 => Just(0u64), 1 => 0u64..250])
            .prop_map(|(effect, answer, stale, pause)| Fate { effect, answer, stale, pause });
    // Mostly fast, so a candidate comes to lead.
    let fast = (0u64..3, 0u64..3).prop_map(|(effect, more)| Fate {
        effect: Some(effect),
        answer: effect + more,
        stale: 0,
        pause: 0,
    });
    prop::collection::vec(prop_oneof![1 => one, 3 => fast], 400)
}

struct Sent {
    step: Step,
    base: usize,
    asked: u64,
    fate: Fate,
    /// Its result: the version that was read or written, or that the Lease had another one.
    result: Option<Result<usize, ()>>,
}

/// A Lease: every version it had, None where it was not there.
struct Store(Vec<Option<Record>>);

impl Store {
    fn newest(&self) -> usize {
        self.0.len() - 1
    }

    fn carry_out(&mut self, sent: &mut Sent) {
        sent.result = Some(match &sent.step {
            Step::Create(r) | Step::Replace(r) if sent.base == self.newest() => {
                self.0.push(Some(r.clone()));
                Ok(self.newest())
            }
            Step::Create(_) | Step::Replace(_) => Err(()),
            _ => Ok(self.newest().saturating_sub(sent.fate.stale)),
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is lost, late, stale or paused: two candidates never lead at the same time, and mostly one does.
    #[test]
    fn never_do_two_lead(fates in fates(), offsets in prop::collection::vec(0u64..100_000, 3)) {
        let time = |tick: u64, who: usize| Duration::from_millis(100 * tick + offsets[who]);
        let mut store = Store(vec![None]);
        let mut all: Vec<(Candidate, usize, u64)> =
            (0..3).map(|i| (Candidate::new(format!("c{i}"), Timing::default()), 0, 0)).collect();
        let mut sent: Vec<(usize, Sent, bool)> = Vec::new();
        let (mut fates, mut led) = (fates.into_iter(), BTreeSet::new());
        'run: for tick in 0..6000 {
            for (_, s, _) in &mut sent {
                if s.fate.effect.is_some_and(|e| s.asked + e <= tick) && s.result.is_none() {
                    store.carry_out(s);
                }
            }
            for (who, (c, base, busy_until)) in all.iter_mut().enumerate() {
                if *busy_until > tick {
                    continue;
                }
                let now = Now::new(Timestamp::from_second(i64::try_from(tick / 10).unwrap()).unwrap(), time(tick, who));
                if let Some((_, s, over)) = sent.iter_mut().find(|(w, _, over)| *w == who && !over) {
                    if s.asked + s.fate.answer > tick {
                        continue;
                    }
                    *over = true;
                    *busy_until = tick + s.fate.pause;
                    match (&s.step, s.result) {
                        (_, None) => c.failed(now.mono),
                        (_, Some(Err(()))) => c.conflicted(now.mono),
                        (Step::Create(r) | Step::Replace(r), Some(Ok(version))) => {
                            *base = version;
                            c.wrote(r.clone(), time(s.asked, who), now.mono);
                        }
                        (_, Some(Ok(version))) => {
                            *base = version;
                            c.saw(store.0[version].clone(), now.mono);
                        }
                    }
                    continue;
                }
                let step = c.step(now);
                if !matches!(step, Step::Wait(_)) {
                    let Some(fate) = fates.next() else { break 'run };
                    sent.push((who, Sent { step, base: *base, asked: tick, fate, result: None }, false));
                }
            }
            let leaders: Vec<usize> = (0..all.len()).filter(|i| all[*i].0.leads(time(tick, *i))).collect();
            prop_assert!(leaders.len() <= 1, "tick {tick}: {leaders:?}");
            led.extend(leaders);
        }
        prop_assert!(!led.is_empty(), "no candidate ever led");
    }
}
