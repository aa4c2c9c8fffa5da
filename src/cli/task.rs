//! The subcommand that runs a task in a worker's Pod.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::exit::Exit;
use super::output;
use crate::runtime::process::shim::{in_pod, keeper};

/// Runs a task for a client at the other end of an exec. Started by `poolkeeper run` and `poolkeeper exec` only.
#[derive(Args, Debug)]
pub struct TaskArgs {
    /// Copy this program into a directory, for the other containers of a Pod, and end
    #[arg(long, value_name = "DIR")]
    install: Option<PathBuf>,
    /// Keep the task with this key for clients that come and go
    #[arg(long, value_name = "KEY", conflicts_with = "install")]
    keeper: Option<String>,
}

impl TaskArgs {
    /// Runs it. To be called outside of any async runtime, before any thread is started.
    pub fn run(self) -> ExitCode {
        if let Some(key) = &self.keeper {
            return keeper::main(key);
        }
        let Some(dir) = self.install else { return in_pod::main() };
        match in_pod::install(&dir) {
            Ok(()) => Exit::Success.into(),
            Err(error) => {
                output::say(&format!("{}: {error}", dir.display()));
                Exit::Failed.into()
            }
        }
    }
}
