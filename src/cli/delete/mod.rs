//! `poolkeeper delete`: pools, workers and dispatches, without losing work by mistake.
//!
//! - `how`: flags. `worker`, `dispatch`, `pool`: how one of each goes. `unreachable`: workers on a host that is gone for good.

mod dispatch;
mod how;
mod pool;
mod unreachable;
mod worker;

use clap::Args;

use self::how::How;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::print::kinds::Kind;
use super::server::ServerArgs;

/// Delete pools, workers or dispatches
///
/// A busy worker and a dispatch that runs are refused with exit code 4, unless --wait or --force is given. A pool cancels what
/// waits in it and stays until its busy workers are done.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  poolkeeper delete worker agents-0\n  poolkeeper delete worker agents-0 --shrink --wait\n  poolkeeper delete pool agents --timeout 10m"
)]
pub struct DeleteArgs {
    /// What to delete: pool, worker or dispatch, or KIND/NAME
    #[arg(value_name = "KIND")]
    kind: String,
    /// Names
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for DeleteArgs {
    async fn run(mut self, cx: &Context) -> Result<Exit, Failure> {
        if let Some((kind, name)) = self.kind.split_once('/') {
            self.names.insert(0, name.to_owned());
            self.kind = kind.to_owned();
        }
        let kind: Kind = self
            .kind
            .parse()
            .map_err(|_| Failure::usage(format!("{:?} is no kind: expected pool, worker or dispatch", self.kind)))?;
        if self.names.is_empty() {
            return Err(Failure::usage(format!("which {kind}? Add its name")));
        }
        if kind != Kind::Worker && (self.how.shrink || self.how.host_gone) {
            return Err(Failure::usage(format!(
                "--shrink and --host-gone are for workers: leave them out for a {kind}"
            )));
        }
        let server = self.server.connect().await?;
        server.say_which();
        for name in &self.names {
            match kind {
                Kind::Worker if self.how.host_gone => unreachable::forget(&server, name, &self.how).await?,
                Kind::Worker => worker::delete(&server, name, &self.how, cx.clock.now()).await?,
                Kind::Dispatch => dispatch::delete(&server, name, &self.how).await?,
                Kind::Pool => pool::delete(&server, name, &self.how).await?,
            }
        }
        Ok(Exit::Success)
    }
}
