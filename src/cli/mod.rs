//! The command line.

pub mod crd;
pub mod shim;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps pools of warm workers and hands work to them.
#[derive(Parser, Debug)]
#[command(version, name = "poolkeeper")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    #[command(hide = true)]
    Shim(shim::ShimArgs),
    Exec(shim::ExecArgs),
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Shim(args) => args.run(),
        Command::Exec(args) => args.run(),
    }
}
