//! Drives the real binary: what a user types, what comes out, how it ends, and that nothing is left behind.
mod attempts;
mod batch;
mod cleaners;
mod command;
mod costs;
mod docker;
mod ends;
mod inputs;
mod limits;
mod resume;
mod silence;
mod state;
mod support;
mod task_files;
mod texts;
