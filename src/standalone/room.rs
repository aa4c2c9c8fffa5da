//! How many workers this process has room for: each one needs open files.

use crate::runtime::process;

/// Open files that are needed without any worker.
const BASE: u64 = 30;
/// Open files that a worker needs: 5 while it works (measured), and some more while it starts or ends.
const PER_WORKER: u64 = 8;

/// How many open files `workers` need.
pub const fn needed(workers: u64) -> u64 {
    BASE + PER_WORKER * workers
}

/// The limit of open files of this process, after it was raised as far as it goes. None: there is no limit.
pub fn limit() -> Option<u64> {
    // If it cannot be raised, fewer workers fit.
    let _ = process::raise_open_files();
    process::open_files()
}

/// How many workers fit into a limit of open files.
pub const fn fitting(limit: u64) -> u64 {
    limit.saturating_sub(BASE) / PER_WORKER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_not_more_than_there_is() {
        for limit in [0, 30, 37, 38, 128, 1024, 1_048_576] {
            let workers = fitting(limit);
            assert!(workers == 0 || needed(workers) <= limit, "{limit}");
            assert!(needed(workers + 1) > limit, "{limit}");
        }
    }
}
