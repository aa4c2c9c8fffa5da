//! The store of the embedded API server on a disk: what is there again after a stop, a crash, a loss of power, an error.

mod disk;
mod files;
mod losses;
mod reopening;
