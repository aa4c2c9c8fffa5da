//! The command line.

pub mod cluster;
pub mod controller;
pub mod crd;
pub mod run;
pub mod shim;
pub mod uninstall;

use std::io::{IsTerminal, Write};
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
    Controller(Box<controller::ControllerArgs>),
    /// Print the CustomResourceDefinitions as YAML
    Crd {
        /// Write them to this directory instead, a file each; may be given again
        #[arg(long)]
        dir: Vec<std::path::PathBuf>,
    },
    Uninstall(uninstall::UninstallArgs),
    #[command(hide = true)]
    Shim(shim::ShimArgs),
    Exec(shim::ExecArgs),
}

/// Variable that asks for a log on stderr: `debug`, `poolkeeper::controller=trace`.
const LOG: &str = "POOLKEEPER_LOG";

/// What the lines of the log look like.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Writes a log: what the environment asks for, else what `default` says, else none. What bollard says below a warning
/// is left out whatever is asked for: it prints the bodies of requests, and credentials with them.
fn log(default: Option<&str>, format: LogFormat) {
    let filter = match (std::env::var_os(LOG), default) {
        (Some(_), _) => EnvFilter::from_env(LOG),
        (None, Some(default)) => EnvFilter::new(default),
        (None, None) => return,
    };
    let safe = filter::filter_fn(|meta| !meta.target().starts_with("bollard") || *meta.level() <= tracing::Level::WARN);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter).with_filter(safe)).init();
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    match &command {
        Command::Controller(args) => log(Some(controller::LOG), args.log_format),
        _ => log(None, LogFormat::Text),
    }
    match command {
        Command::Run(args) => args.run(),
        Command::Controller(args) => args.run(),
        Command::Crd { dir } => match crd::print(&dir) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "poolkeeper: {error:#}");
                ExitCode::FAILURE
            }
        },
        Command::Uninstall(args) => args.run(),
        Command::Shim(args) => args.run(),
        Command::Exec(args) => args.run(),
    }
}
