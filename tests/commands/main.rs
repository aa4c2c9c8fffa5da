//! The commands of a supervisor's day, on a local server with workers that are processes.
#![allow(clippy::unwrap_used)]

mod acquire;
mod away;
mod changing;
mod completion;
mod creating;
mod credentials;
mod credentials_seen;
mod docker;
mod doctor;
mod examples;
mod exec;
mod get;
mod long_tasks;
mod plugin;
mod preset;
mod report;
mod run;
mod server_choice;
mod states;
mod supervisors_page;
mod task;
mod terminal;
mod tidying;
mod waiting;
mod why;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_poolkeeper");
