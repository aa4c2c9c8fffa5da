//! What the end of a command means: its result file first, then what it printed last, then its exit code.
//!
//! - [`verdict`]: the result file and the exit code. [`time`]: how long to wait, in the words of programs.
//! - [`tail`]: the end of a stream. [`expression`]: regular expressions over its lines. [`class`]: what they may mean.
//! - [`preset`]: what one program prints, as data. [`presets`]: those that are part of the program.
//! - [`recogniser`]: presets and patterns over the end of both streams.
//! - [`judge`]: all of it together.

pub mod class;
pub mod expression;
mod fields;
pub mod judge;
pub mod preset;
pub mod presets;
pub mod recogniser;
pub mod tail;
pub mod time;
mod usage;
pub mod verdict;

pub use judge::Judge;
pub use recogniser::check_pattern;
pub use recogniser::{Recogniser, Seen, Stream};
pub use verdict::Verdict;
