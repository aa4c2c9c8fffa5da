//! The local server: its store, its start, `get`, and dispatch cycles. Timings are compared within one run.
//!
//! `cargo bench --bench server [SCENARIO...]`; scenarios: store, start, get, cycles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_precision_loss)]

mod commands;
mod cycles;
mod store;

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|n| n == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if wanted("store") {
            store::run().await;
        }
        if wanted("start") {
            commands::start().await;
        }
        if wanted("get") {
            commands::get().await;
        }
        if wanted("cycles") {
            cycles::run().await;
        }
    });
}
