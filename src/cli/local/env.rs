//! `poolkeeper local env`: the variables with which a shell uses the server.

use clap::Args;

use super::server;
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::print;
use crate::cli::shell::quoted;

/// Print the variables with which a shell uses the server
///
/// If there is no server, it prints a command that fails, because a shell ignores the exit code inside "$(…)".
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  eval \"$(poolkeeper local env)\"\n  kubectl get containerpools")]
pub struct EnvArgs {}

impl Run for EnvArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let (text, ended) = match server::home_that_is() {
            Ok(home) => {
                (format!("export KUBECONFIG={}\n", quoted(&home.kubeconfig().to_string_lossy())), Ok(Exit::Success))
            }
            Err(failure) => (format!("(exit {})\n", failure.exit.code()), Err(failure)),
        };
        print::data(&text)?;
        ended
    }
}
