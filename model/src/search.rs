//! Breadth-first search over all states, traces of what it finds, and the check that a good end stays reachable.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use crate::reduce::{canonical, reduce};
use crate::rules::Rules;
use crate::state::State;
use crate::steps::successors;

/// The name of the violation that the search itself finds.
pub const STUCK: &str = "V_STUCK: no good state can be reached any more";

/// What a search found.
pub struct Report {
    pub states: usize,
    pub edges: usize,
    /// The search ended at its cap on states: what it did not find may still be there.
    pub capped: bool,
    /// Each kind of violation once, with its shortest trace.
    pub violations: Vec<(&'static str, String)>,
    pub time: Duration,
}

impl Report {
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && !self.capped
    }
}

/// How far to search.
#[derive(Clone, Copy)]
pub struct Limits {
    pub faults: u8,
    pub states: usize,
    /// Stop at the first violation.
    pub first: bool,
}

struct Search<'a> {
    rules: &'a Rules,
    start: State,
    states: Table,
    /// The state from which each one was first reached.
    parents: Vec<u32>,
    /// Fault-free edges by source: `targets[heads[i]..heads[i + 1]]`.
    heads: Vec<usize>,
    targets: Vec<u32>,
}

/// Explores every state that these rules allow.
pub fn search(rules: &Rules, limits: Limits) -> Report {
    let began = Instant::now();
    let start = State::initial(limits.faults);
    let mut search =
        Search { rules, start, states: Table::default(), parents: vec![0], heads: vec![0], targets: Vec::new() };
    search.states.insert(canonical(&start, rules));
    let mut found = BTreeSet::new();
    let mut violations = Vec::new();
    let mut capped = false;
    let mut at = 0;
    while at < search.states.all.len() && (violations.is_empty() || !limits.first) {
        for step in successors(&search.states.all[at], rules, false) {
            if let Some(violation) = step.violation {
                if found.insert(violation) {
                    violations.push((violation, search.trace(at, Some(violation))));
                }
                continue; // not followed further
            }
            let (id, new) = search.states.insert(canonical(&step.state, rules));
            if new {
                search.parents.push(at as u32);
            }
            if !step.fault {
                search.targets.push(id);
            }
        }
        search.heads.push(search.targets.len());
        at += 1;
        if search.states.all.len() > limits.states {
            capped = true;
            break;
        }
    }
    if at == search.states.all.len()
        && let Some(stuck) = search.first_stuck()
    {
        violations.push((STUCK, search.trace(stuck, None)));
    }
    Report { states: search.states.all.len(), edges: search.targets.len(), capped, violations, time: began.elapsed() }
}

impl Search<'_> {
    /// The labels of the steps to a state, replayed without renaming, so names stay the same along the trace.
    fn trace(&self, to: usize, violation: Option<&'static str>) -> String {
        let mut path = Vec::new();
        let mut at = to;
        while at != 0 {
            path.push(at);
            at = self.parents[at] as usize;
        }
        let mut now = reduce(&self.start, self.rules);
        let mut labels = Vec::new();
        for &at in path.iter().rev() {
            let next = successors(&now, self.rules, true)
                .into_iter()
                .find(|step| step.violation.is_none() && canonical(&step.state, self.rules) == self.states.all[at]);
            let Some(step) = next else {
                labels.push("(the renaming of states is no symmetry: a bug in the model)".to_owned());
                break;
            };
            labels.push(step.label);
            now = reduce(&step.state, self.rules);
        }
        if violation.is_some() {
            let last = successors(&now, self.rules, true).into_iter().find(|step| step.violation == violation);
            labels.extend(last.map(|step| step.label));
        }
        labels.join("; ")
    }

    /// The first state from which no good state can be reached without further faults (AG EF good is violated).
    fn first_stuck(&self) -> Option<usize> {
        let states = &self.states.all;
        let mut heads = vec![0usize; states.len() + 1];
        for &target in &self.targets {
            heads[target as usize + 1] += 1;
        }
        for i in 0..states.len() {
            heads[i + 1] += heads[i];
        }
        let mut sources = vec![0u32; self.targets.len()];
        let mut next = heads.clone();
        for source in 0..states.len() {
            for &target in &self.targets[self.heads[source]..self.heads[source + 1]] {
                sources[next[target as usize]] = source as u32;
                next[target as usize] += 1;
            }
        }
        let mut reaches: Vec<bool> = states.iter().map(State::is_good).collect();
        let mut work: Vec<usize> = (0..states.len()).filter(|&i| reaches[i]).collect();
        while let Some(at) = work.pop() {
            for &source in &sources[heads[at]..heads[at + 1]] {
                if !std::mem::replace(&mut reaches[source as usize], true) {
                    work.push(source as usize);
                }
            }
        }
        reaches.iter().position(|reaches| !reaches)
    }
}

/// The states in the order of their discovery, found again through an open-addressing table of their numbers:
/// a map would keep each state twice.
#[derive(Default)]
struct Table {
    all: Vec<State>,
    /// State number + 1, or 0.
    slots: Vec<u32>,
}

impl Table {
    /// The number of a state, and whether it is new.
    fn insert(&mut self, state: State) -> (u32, bool) {
        if self.all.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut slot = hash(&state) as usize & mask;
        loop {
            match self.slots[slot] {
                0 => {
                    self.all.push(state);
                    self.slots[slot] = self.all.len() as u32;
                    return (self.all.len() as u32 - 1, true);
                }
                id if self.all[id as usize - 1] == state => return (id - 1, false),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(1024);
        self.slots = vec![0; size];
        for (id, state) in self.all.iter().enumerate() {
            let mut slot = hash(state) as usize & (size - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            self.slots[slot] = id as u32 + 1;
        }
    }
}

fn hash(state: &State) -> u64 {
    let mut hasher = Fx(0);
    state.hash(&mut hasher);
    // the low bits choose the slot, and multiplication leaves them the weakest
    hasher.0 ^ (hasher.0 >> 32)
}

/// A multiplicative hash: fast, the same in every run, and good enough for keys that no attacker chooses.
struct Fx(u64);

impl Hasher for Fx {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, i: u8) {
        self.write_u64(u64::from(i));
    }

    fn write_isize(&mut self, i: isize) {
        self.write_u64(i as u64);
    }

    fn write_u64(&mut self, i: u64) {
        self.0 = (self.0.rotate_left(5) ^ i).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}
