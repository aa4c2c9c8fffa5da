//! The command line.

pub mod crd;
pub mod run;
pub mod shim;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, filter, fmt};

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
        /// Write them to this directory instead, a file each; may be given again
        #[arg(long)]
        dir: Vec<std::path::PathBuf>,
    },
    #[command(hide = true)]
    Shim(shim::ShimArgs),
    Exec(shim::ExecArgs),
}

/// Variable that asks for a log on stderr: `debug`, `poolkeeper::controller=trace`.
const LOG: &str = "POOLKEEPER_LOG";

/// Writes a log, if one is asked for. What bollard says below a warning is left out whatever is asked for: it prints the
/// bodies of requests, and credentials with them.
fn log() {
    if std::env::var_os(LOG).is_none() {
        return;
    }
    let safe = filter::filter_fn(|meta| !meta.target().starts_with("bollard") || *meta.level() <= tracing::Level::WARN);
    let lines = fmt::layer().with_writer(std::io::stderr).with_filter(EnvFilter::from_env(LOG)).with_filter(safe);
    tracing_subscriber::registry().with(lines).init();
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    log();
    match Cli::parse().command {
        Command::Run(args) => args.run(),
        Command::Crd { dir } => match crd::print(&dir) {
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
