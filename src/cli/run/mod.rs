//! `poolkeeper run`: xargs -P that knows about rate limits.
//!
//! - `args`: the flags. `render`: how progress is shown. `work`: the tasks, and the running of them.
//! - `local`: with a pool of its own, in this process. `server`: in a pool of any server.

pub mod args;
mod local;
mod render;
mod server;
mod work;

use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use self::args::RunArgs;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::signals;
use crate::standalone::state_dir;

impl Run for RunArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let ended =
            if self.local { Box::pin(local::run(self, cx)).await } else { Box::pin(server::run(self, cx)).await };
        state_dir::tidy();
        ended
    }
}

/// Signals that stop the run. One that is ignored stays so. `left` is said when a second one ends it at once.
fn listen(left: &'static str) -> Result<CancellationToken, Failure> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let listening = signals::listen(&signals::unless_ignored(&kinds), Some(left));
    listening.map_err(|e| Failure::poolkeeper("listening for signals", e))
}
