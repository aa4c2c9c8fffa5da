//! `poolkeeper create`: objects from flags.
//!
//! - `pool`: a pool. `secret`: the values of its credentials that are on this machine.

mod pool;
mod secret;

use clap::{Args, Subcommand};

use super::context::{Context, Run};
use super::exit::{Exit, Failure};

/// Create a pool from flags
#[derive(Args, Debug)]
pub struct CreateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Pool(Box<pool::PoolArgs>),
}

impl Run for CreateArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let What::Pool(args) = self.what;
        args.run(cx).await
    }
}
