//! The whole controller: dispatch cycles a second, how long an assignment takes, and what is written for it. Each figure
//! is compared with that of plain status PATCHes on the same API in the same run.
//!
//! - `cargo bench --bench cycle`: the controller in this process, over the in-process API and the fake runtime.
//! - `cargo bench --bench cycle -- --kubeconfig FILE [SCENARIO…]`: `poolkeeper controller` as a process of its own, on a
//!   real API server whose nodes only pretend to run Pods. `scripts/bench-cycle.sh` starts one and runs this.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_precision_loss)]

mod cluster;
mod in_process;

use tokio::signal::unix::{SignalKind, signal};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if args.is_empty() {
        runtime.block_on(in_process::run());
    } else {
        // Interrupted, it drops the controller that it started, and so ends it.
        let interrupted = async {
            let mut term = signal(SignalKind::terminate()).unwrap();
            tokio::select! {
                biased;
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        let ended = runtime.block_on(async {
            tokio::select! {
                biased;
                () = interrupted => false,
                () = cluster::run(cluster::Args::parse(&args)) => true,
            }
        });
        std::process::exit(i32::from(!ended));
    }
}
