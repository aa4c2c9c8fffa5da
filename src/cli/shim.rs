//! The subcommands through which Process workers live: `shim`, which is one, and `exec`, which runs a task in one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::runtime::process::protocol::ExecRequest;
use crate::runtime::process::{exec_client, shim};

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

/// Run a command in a worker of the Process runtime
#[derive(Args, Debug)]
pub struct ExecArgs {
    /// Socket of the worker: `target.id` of the Dispatch
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Set a variable for the command
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// Working directory of the command
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<String>,
}

impl ExecArgs {
    /// Runs it. To be called outside of any async runtime.
    pub fn run(self) -> ExitCode {
        let request = ExecRequest { argv: self.command, env: self.env, working_dir: self.workdir };
        exec_client::main(&self.socket, &request)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
