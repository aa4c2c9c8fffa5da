//! `poolkeeper credential`: values of the credentials of pools.
//!
//! - `set`: gives a credential another value.

mod set;

use clap::{Args, Subcommand};

use super::context::{Context, Run};
use super::exit::{Exit, Failure};

/// Change the values of a pool's credentials
#[derive(Args, Debug)]
pub struct CredentialArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Set(Box<set::SetArgs>),
}

impl Run for CredentialArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let What::Set(args) = self.what;
        args.run(cx).await
    }
}
