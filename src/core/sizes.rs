//! How large the tables are. They grow with what exists, and never with time: the tests of long runs compare them.

use super::Core;

impl Core {
    /// Entries of all tables, by what they are about.
    pub fn sizes(&self) -> [(&'static str, usize); 13] {
        let pools = || self.pools.iter().map(|(_, p)| p);
        [
            ("agenda", self.agenda.entries()),
            ("claims", self.claims.entries()),
            ("credentials", self.credentials.entries()),
            ("directories", self.directories.entries()),
            ("dispatches", self.dispatches.len()),
            ("instances", self.instances.entries()),
            ("leases", self.leases.entries()),
            ("pending", self.pending.entries()),
            ("pools", pools().map(|p| 1 + p.entries()).sum()),
            ("queues", pools().map(|p| p.queue.entries()).sum()),
            ("rests", self.rest_ends.len()),
            ("slots", pools().map(|p| p.slots.entries()).sum()),
            ("workers", self.workers.len()),
        ]
    }
}
