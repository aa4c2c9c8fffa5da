//! `poolkeeper local rotate`: another token and another certificate authority.

use clap::Args;

use super::server::{self, Refused};
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::standalone::resident;

/// Replace the token and the certificate authority of the server
///
/// Use it if another person may have seen them. The kubeconfig is written anew. Programs that have read the old one are
/// disconnected, and must read it again. Workers and their tasks are not affected.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  poolkeeper local rotate")]
pub struct RotateArgs {}

impl Run for RotateArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let home = server::home_that_is()?;
        if home.holder().is_some() {
            server::ask(&home, "rotate").await.map_err(|refused| match refused {
                Refused::Conflict(why) => Failure::new(Exit::Conflict, why),
                Refused::Failed(failure) => failure,
            })?;
        } else {
            resident::rotate(&home, &cx.clock, &cx.ids)?;
        }
        output::say(&format!(
            "{} has another token and another certificate authority: programs that have read the old one must read it again",
            home.kubeconfig().display()
        ));
        Ok(Exit::Success)
    }
}
