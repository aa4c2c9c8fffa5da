//! The subcommand that runs a task in a worker's Pod.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::exit::Exit;
use super::output;
use crate::runtime::process::shim::{by_mark, in_pod, keeper};

/// Runs a task for a client at the other end of an exec. Started by `poolkeeper run` and `poolkeeper exec` only.
#[derive(Args, Debug)]
pub struct TaskArgs {
    /// Copy this program into a directory, for the other containers of a Pod, and end
    #[arg(long, value_name = "DIR")]
    install: Option<PathBuf>,
    /// Keep the task with this key for clients that come and go
    #[arg(long, value_name = "KEY", conflicts_with = "install")]
    keeper: Option<String>,
    /// End all processes that have this variable in their environment
    #[arg(long, value_name = "NAME=VALUE", conflicts_with_all = ["install", "keeper"])]
    end: Option<String>,
}

impl TaskArgs {
    /// Runs it. To be called outside of any async runtime, before any thread is started.
    pub fn run(self) -> ExitCode {
        if let Some(key) = &self.keeper {
            return keeper::main(key);
        }
        if let Some(mark) = &self.end {
            return by_mark::main(mark);
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
