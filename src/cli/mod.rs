//! The command line.

pub mod crd;
pub mod run;
pub mod shim;

use std::io::Write;
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
    Run(Box<run::args::RunArgs>),
    /// Print the CustomResourceDefinitions as YAML
    Crd {
        /// Write them to this directory instead, a file each
        #[arg(long)]
        dir: Option<std::path::PathBuf>,
    },
    #[command(hide = true)]
    Shim(shim::ShimArgs),
    Exec(shim::ExecArgs),
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => args.run(),
        Command::Crd { dir } => match crd::print(dir.as_deref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "poolkeeper: {error:#}");
                ExitCode::FAILURE
            }
        },
        Command::Shim(args) => args.run(),
        Command::Exec(args) => args.run(),
    }
}
