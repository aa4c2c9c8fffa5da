//! The subcommand that is a Process worker.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::runtime::process::shim;

/// Is a worker. Started by the Process runtime only.
#[derive(Args, Debug)]
pub struct ShimArgs {
    /// Directory of the worker
    #[arg(long)]
    dir: PathBuf,
}

impl ShimArgs {
    /// Runs it. To be called outside of any async runtime, before any thread is started.
    pub fn run(self) -> ExitCode {
        shim::main(&self.dir)
    }
}
