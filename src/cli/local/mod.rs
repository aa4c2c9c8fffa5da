//! `poolkeeper local`: the server of this user on this machine.
//!
//! - A file for each subcommand: `up`, `down`, `status`, `env`, `logs`, `unit`, `backup`, `rotate`.
//! - `server`: how they reach it. `background`: how it is started without a terminal.

mod background;
mod backup;
mod down;
mod env;
mod logs;
mod rotate;
pub(super) mod server;
mod status;
mod unit;
mod up;

use clap::{Args, Subcommand};

use super::context::{Context, Run};
use super::exit::{Exit, Failure};

/// Keep pools on this machine with a server that stays
///
/// The server is one process of this user. It serves the Kubernetes API on 127.0.0.1 for kubectl and client libraries, keeps
/// pools of Docker containers and of processes, and its objects outlive it. Its state is in $POOLKEEPER_HOME, else in
/// $XDG_STATE_HOME/poolkeeper, else in ~/.local/state/poolkeeper.
#[derive(Args, Debug)]
pub struct LocalArgs {
    #[command(subcommand)]
    command: LocalCommand,
}

#[derive(Subcommand, Debug)]
enum LocalCommand {
    Up(up::UpArgs),
    Down(down::DownArgs),
    Status(status::StatusArgs),
    Env(env::EnvArgs),
    Logs(logs::LogsArgs),
    Unit(unit::UnitArgs),
    Backup(backup::BackupArgs),
    Rotate(rotate::RotateArgs),
}

impl LocalArgs {
    /// True if this process is the server.
    pub fn is_server(&self) -> bool {
        matches!(&self.command, LocalCommand::Up(args) if args.is_server())
    }
}

impl Run for LocalArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        match self.command {
            LocalCommand::Up(args) => args.run(cx).await,
            LocalCommand::Down(args) => args.run(cx).await,
            LocalCommand::Status(args) => args.run(cx).await,
            LocalCommand::Env(args) => args.run(cx).await,
            LocalCommand::Logs(args) => args.run(cx).await,
            LocalCommand::Unit(args) => args.run(cx).await,
            LocalCommand::Backup(args) => args.run(cx).await,
            LocalCommand::Rotate(args) => args.run(cx).await,
        }
    }
}
