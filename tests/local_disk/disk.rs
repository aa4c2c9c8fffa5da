//! A disk that loses power, and one that fails.
use std::io;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use redb::StorageBackend;

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Default)]
struct State {
    /// What is there for certain.
    durable: Vec<u8>,
    /// What a read sees.
    current: Vec<u8>,
    /// What was not synced since the last sync.
    unsynced: Vec<Change>,
    calls: u64,
    /// The call from which on there is no power.
    off: Option<u64>,
    /// The one call that fails.
    fails: Option<u64>,
}

#[derive(Debug, Clone)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Length(length) => to.resize(*length, 0),
            Self::Bytes(at, bytes) => {
                if to.len() < at + bytes.len() {
                    to.resize(at + bytes.len(), 0);
                }
                to[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

/// A disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub fn with(content: Vec<u8>) -> Self {
        let state = State { durable: content.clone(), current: content, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Takes the power away at that many calls from now.
    pub fn off_after(&self, calls: u64) {
        let mut state = self.0.lock().unwrap();
        state.off = Some(state.calls + calls);
    }

    /// Fails the call that is that many from now, and no other.
    pub fn fail_after(&self, calls: u64) {
        let mut state = self.0.lock().unwrap();
        state.fails = Some(state.calls + calls);
    }

    pub fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }

    /// What is on the disk when the power is back: of what was not synced, any part, in any order, in whole sectors.
    pub fn after_power_loss(&self, seed: u64) -> Vec<u8> {
        let mut rng = StdRng::seed_from_u64(seed);
        let state = self.0.lock().unwrap();
        let (mut content, mut left) = (state.durable.clone(), Vec::new());
        let survives = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        for change in &state.unsynced {
            match change {
                Change::Length(_) => left.push(change.clone()),
                Change::Bytes(at, bytes) => {
                    // Sectors lie at multiples of their size, wherever the write begins.
                    let first = SECTOR - at % SECTOR;
                    let (head, tail) = bytes.split_at(first.min(bytes.len()));
                    left.push(Change::Bytes(*at, head.to_vec()));
                    left.extend(
                        tail.chunks(SECTOR)
                            .enumerate()
                            .map(|(n, part)| Change::Bytes(at + first + n * SECTOR, part.to_vec())),
                    );
                }
            }
        }
        left.retain(|_| rng.random_bool(survives));
        if rng.random_bool(0.5) {
            left.shuffle(&mut rng);
        }
        for change in &left {
            change.apply(&mut content);
        }
        content
    }

    /// What a kill of the process leaves: everything that was written.
    pub fn after_kill(&self) -> Vec<u8> {
        self.0.lock().unwrap().current.clone()
    }

    fn call<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        state.calls += 1;
        if state.off.is_some_and(|off| state.calls > off) {
            return Err(io::Error::other("no power"));
        }
        if state.fails == Some(state.calls) {
            let kind = if state.calls.is_multiple_of(2) { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
            return Err(io::Error::new(kind, "a call that fails"));
        }
        work(&mut state)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.call(|state| Ok(state.current.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.call(|state| {
            let at = usize::try_from(offset).unwrap();
            let bytes = state.current.get(at..at + out.len());
            out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(|state| {
            let change = Change::Length(usize::try_from(len).unwrap());
            change.apply(&mut state.current);
            state.unsynced.push(change);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call(|state| {
            state.unsynced.clear();
            state.durable = state.current.clone();
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.call(|state| {
            let change = Change::Bytes(usize::try_from(offset).unwrap(), data.to_vec());
            change.apply(&mut state.current);
            state.unsynced.push(change);
            Ok(())
        })
    }
}
