//! Drives the real binary: what a user types, what comes out, how it ends, and that nothing is left behind.
mod attempts;
mod batch;
mod cleaners;
mod coming;
mod command;
mod costs;
mod docker;
mod ends;
mod hooks;
mod inputs;
mod limits;
mod resume;
mod silence;
mod state;
mod support;
mod task_files;
mod texts;
