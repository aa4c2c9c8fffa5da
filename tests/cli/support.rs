//! A place to run the program in, and the path of the program.

pub use poolkeeper_testkit::place::{Place, Ran, eventually, examples};

pub const BINARY: &str = env!("CARGO_BIN_EXE_poolkeeper");
