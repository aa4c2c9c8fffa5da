//! `poolkeeper run`: xargs -P that knows about rate limits.
//!
//! - `args`: the flags. `render`: how progress is shown. `report`: the page that a run leaves. `work`: the tasks, and the running of them.
//! - `local`: with a pool of its own, in this process. `server`: in a pool of any server. `state`: where its workers see `--state`.

pub mod args;
mod local;
mod render;
pub mod report;
mod server;
mod state;
mod work;

use self::args::RunArgs;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use crate::standalone::state_dir;

impl Run for RunArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let ended =
            if self.local { Box::pin(local::run(self, cx)).await } else { Box::pin(server::run(self, cx)).await };
        state_dir::tidy();
        ended
    }
}
