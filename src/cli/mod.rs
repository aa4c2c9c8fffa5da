//! The command line. A command is a file with its flags and an implementation of `Run`.
//!
//! - `exit`: every exit code, and the error of a command. `output`: everything that is printed. `context`: what every
//!   command needs. `signals`, `log`, `cluster`, `pool_flags`, `change`: what several commands share.
//! - Each other file is a command, or a few that belong together.

mod change;
pub mod cleanup;
pub mod cluster;
pub mod completion;
pub mod context;
pub mod controller;
pub mod cooldown;
pub mod crd;
pub mod create;
pub mod credential;
pub mod dashboard;
pub mod delete;
pub mod dispatches;
pub mod doctor;
pub mod exec;
pub mod exit;
pub mod feed;
pub mod get;
pub mod health;
pub mod local;
pub mod log;
pub mod man;
pub mod output;
mod plugin;
pub mod pool_flags;
pub mod preset;
pub mod print;
#[cfg(test)]
mod reference;
pub mod run;
pub mod scale;
pub mod server;
pub mod set;
pub mod shell;
pub mod shim;
mod signals;
pub mod status;
pub mod task;
pub mod timeline;
pub mod top;
pub mod uninstall;
pub mod why;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::context::block_on;
use self::exec::failure::{Problem, Why};
use self::exit::Exit;
pub use self::log::LogFormat;

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
    Local(local::LocalArgs),
    Status(Box<status::StatusArgs>),
    Top(Box<top::TopArgs>),
    Health(Box<health::HealthArgs>),
    Get(Box<get::GetArgs>),
    Acquire(Box<dispatches::acquire::AcquireArgs>),
    Report(Box<dispatches::report::ReportArgs>),
    Cancel(Box<dispatches::cancel::CancelArgs>),
    Wait(Box<dispatches::wait::WaitArgs>),
    Renew(Box<dispatches::renew::RenewArgs>),
    Logs(Box<dispatches::logs::LogsArgs>),
    Create(Box<create::CreateArgs>),
    Credential(Box<credential::CredentialArgs>),
    Scale(Box<scale::ScaleArgs>),
    Set(Box<set::SetArgs>),
    Pause(Box<set::PauseArgs>),
    Resume(Box<set::ResumeArgs>),
    Delete(Box<delete::DeleteArgs>),
    Why(why::WhyArgs),
    Dashboard(Box<dashboard::DashboardArgs>),
    Timeline(timeline::TimelineArgs),
    Cleanup(Box<cleanup::CleanupArgs>),
    Cooldown(Box<cooldown::CooldownArgs>),
    Preset(preset::PresetArgs),
    Doctor(doctor::DoctorArgs),
    Controller(Box<controller::ControllerArgs>),
    Crd(crd::CrdArgs),
    Completion(completion::CompletionArgs),
    Man(man::ManArgs),
    #[command(name = "__complete", hide = true)]
    Complete(completion::CompleteArgs),
    Uninstall(uninstall::UninstallArgs),
    #[command(hide = true)]
    Shim(shim::ShimArgs),
    #[command(hide = true)]
    Task(task::TaskArgs),
    Exec(Box<exec::ExecArgs>),
}

/// The commands with their flags. As a plugin of kubectl, help names what people type there.
fn commands() -> clap::Command {
    let commands = Cli::command();
    if server::is_plugin() { plugin::renamed(commands, server::program()) } else { commands }
}

/// Reads the arguments and runs the command that they name.
pub fn main() -> ExitCode {
    let read = commands().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let command = match read {
        Ok(cli) => cli.command,
        Err(error) => return misused(&error),
    };
    match &command {
        Command::Controller(args) => log::start(Some(controller::LOG), args.log_format),
        Command::Local(args) if args.is_server() => log::start(Some(controller::LOG), LogFormat::Text),
        _ => log::start(None, LogFormat::Text),
    }
    let ended = match command {
        Command::Run(args) => block_on(*args),
        Command::Local(args) => block_on(args),
        Command::Status(args) => block_on(*args),
        Command::Health(args) => block_on(*args),
        Command::Get(args) => block_on(*args),
        Command::Acquire(args) => block_on(*args),
        Command::Report(args) => block_on(*args),
        Command::Cancel(args) => block_on(*args),
        Command::Wait(args) => block_on(*args),
        Command::Renew(args) => block_on(*args),
        Command::Logs(args) => block_on(*args),
        Command::Create(args) => block_on(*args),
        Command::Credential(args) => block_on(*args),
        Command::Scale(args) => block_on(*args),
        Command::Set(args) => block_on(*args),
        Command::Pause(args) => block_on(*args),
        Command::Resume(args) => block_on(*args),
        Command::Delete(args) => block_on(*args),
        Command::Why(args) => block_on(args),
        Command::Dashboard(args) => block_on(*args),
        Command::Timeline(args) => block_on(args),
        Command::Top(args) => block_on(*args),
        Command::Cleanup(args) => block_on(*args),
        Command::Cooldown(args) => block_on(*args),
        Command::Preset(args) => block_on(args),
        Command::Doctor(args) => block_on(args),
        Command::Controller(args) => block_on(*args),
        Command::Crd(args) => block_on(args),
        Command::Completion(args) => block_on(args),
        Command::Man(args) => block_on(args.on(Cli::command())),
        Command::Complete(args) => block_on(args.on(Cli::command())),
        Command::Uninstall(args) => block_on(args),
        // These are small programs of their own: they must run before any thread is started.
        Command::Shim(args) => return args.run(),
        Command::Task(args) => return args.run(),
        Command::Exec(args) => return args.run(),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::say(&failure.to_string());
            failure.exit.into()
        }
    }
}

/// The end of a command whose arguments are wrong, or that was asked for its help.
fn misused(error: &clap::Error) -> ExitCode {
    // Nothing is left to do about a closed stream.
    let _ = error.print();
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        _ if !error.use_stderr() => Exit::Success.into(),
        Some("exec") => Problem::new(Why::Usage, "the arguments of exec are wrong").say().into(),
        Some("acquire") if !words.iter().any(|word| word.ends_with("json") || word.ends_with("argv")) => {
            let _ = output::data(dispatches::acquire::failed_in_a_shell(Exit::Usage).as_bytes());
            Exit::Usage.into()
        }
        _ => Exit::Usage.into(),
    }
}
