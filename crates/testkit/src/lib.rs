//! What several tests and benches share. It sees Poolkeeper from outside, as any other user of the crate does: unit tests
//! inside `src` cannot use it.
//!
//! - [`fake`]: a runtime in memory, with faults; the ground truth of the simulation.
//! - [`audit`]: judges what the store and the runtime remember, without the code under test.
//! - [`program`]: starts the program under test. [`place`]: a directory for it, and what must hold afterwards. [`truth`]: what the tasks
//!   themselves saw.
//! - [`subject`], [`contract`], [`exec_contract`]: a runtime under test, and what every runtime and executor must do.
//! - [`cluster`]: the real cluster under test, where there is one.
//! - [`files`]: the files of a directory.
//! - [`gadget`], [`rules`]: a test kind for API servers, and the table of what they must accept and refuse.
//! - [`embedded_server`]: the API in this process, on a port. [`local_server`]: a local server of its own for a test, and the commands on it.
//! - [`objects`], [`rig`]: objects for a core, and a core that is driven without a controller.
//! - [`source`]: reads Rust sources, for tests of their structure.
//! - [`watched`]: a value that many tasks wait for, woken in order.
//! - [`writes`]: counts writes by their purpose.
#![allow(clippy::missing_panics_doc, clippy::missing_errors_doc, reason = "a test fails by a panic")]

pub mod audit;
pub mod cluster;
pub mod contract;
pub mod embedded_server;
pub mod exec_contract;
pub mod fake;
pub mod files;
pub mod gadget;
pub mod local_server;
pub mod objects;
pub mod place;
pub mod program;
pub mod rig;
pub mod rules;
pub mod source;
pub mod subject;
pub mod truth;
pub mod watched;
pub mod writes;
