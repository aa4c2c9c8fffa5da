//! What only the embedded API server has: its options, its record, what it leaves out, what it forgets on request.
//!
//! What it has in common with a real one is in `tests/conformance`.

mod bodies;
mod commits;
mod embedding;
mod fuzz;
mod speed;
mod tables;
mod watching;
