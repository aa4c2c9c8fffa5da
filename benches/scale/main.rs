//! Scale, and long runs: `poolkeeper controller` as a process of its own on a real API server, with more dispatches, waiting
//! dispatches and busy workers than anyone should have. `scripts/soak.sh` starts the server and runs this.
//!
//! - `stage`: the controller and what is measured. `pods`: the nodes. `feed`: the supervisor's watch and its requests.
//! - `soak`: many dispatches, one after the other. `local`: the same through the local server. `growth`: what both compare.
//! - `waiting`: many dispatches at a time. `busy`: many workers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod busy;
mod feed;
mod growth;
mod local;
mod pods;
#[path = "../cycle/cluster/process.rs"]
mod process;
#[allow(dead_code, reason = "the other benchmark asks for more")]
#[path = "../cycle/cluster/server.rs"]
mod server;
mod soak;
mod stage;
mod waiting;

use std::path::PathBuf;
use std::time::Duration;

use stage::Stage;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str =
    "scripts/soak.sh soak|local [--dispatches N] [--minutes N] | waiting [--waiting N] | busy [--workers N]
All but local ask for --kubeconfig FILE and --etcd URL. The cluster is for nothing else: what is made there stays.
$POOLKEEPER: the controller's binary, instead of the one just built.";

pub struct Args {
    kubeconfig: PathBuf,
    /// Where etcd answers HTTP.
    etcd: String,
    controller: PathBuf,
    /// Dispatches of `soak` and `local`, and after how many minutes they end in any case.
    dispatches: usize,
    minutes: u64,
    waiting: usize,
    workers: usize,
    scenario: String,
}

impl Args {
    fn parse(args: &[String]) -> Self {
        let controller = std::env::var_os("POOLKEEPER").unwrap_or_else(|| env!("CARGO_BIN_EXE_poolkeeper").into());
        let mut parsed = Self {
            kubeconfig: PathBuf::new(),
            etcd: String::new(),
            controller: controller.into(),
            dispatches: 1_000_000,
            minutes: 24 * 60,
            waiting: 100_000,
            workers: 10_000,
            scenario: String::new(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| panic!("{arg} wants a value\n{USAGE}"));
            let number = |text: &String| text.parse::<usize>().unwrap_or_else(|e| panic!("{arg} {text}: {e}\n{USAGE}"));
            match arg.as_str() {
                "--kubeconfig" => parsed.kubeconfig = value().into(),
                "--etcd" => parsed.etcd.clone_from(value()),
                "--dispatches" => parsed.dispatches = number(value()),
                "--minutes" => parsed.minutes = number(value()) as u64,
                "--waiting" => parsed.waiting = number(value()),
                "--workers" => parsed.workers = number(value()),
                name @ ("soak" | "local" | "waiting" | "busy") => name.clone_into(&mut parsed.scenario),
                _ => panic!("{arg}?\n{USAGE}"),
            }
        }
        let cluster = [parsed.kubeconfig.to_str().unwrap(), &parsed.etcd];
        let has_cluster = cluster.iter().all(|value| !value.is_empty());
        assert!(parsed.scenario == "local" || (has_cluster && !parsed.scenario.is_empty()), "{USAGE}");
        parsed
    }

    fn length(&self) -> growth::Length {
        growth::Length { dispatches: self.dispatches, limit: Duration::from_secs(60 * self.minutes) }
    }
}

/// A line of a table.
fn row<const N: usize>(cells: [&str; N]) {
    println!("| {} |", cells.join(" | "));
}

fn head<const N: usize>(cells: [&str; N]) {
    row(cells);
    println!("|{}", "---|".repeat(N));
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').take(3).collect::<Vec<_>>().join(" ")
}

async fn run(args: Args) -> bool {
    println!("load before: {}\n", load());
    let good = if args.scenario == "local" {
        local::run(&args).await
    } else {
        let stage = Stage::set(args).await;
        match &*stage.args.scenario {
            "soak" => soak::run(&stage).await,
            "waiting" => waiting::run(&stage).await,
            _ => busy::run(&stage).await,
        }
    };
    println!("\nload after: {}", load());
    good
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if args.is_empty() {
        // `cargo bench` and `cargo test --benches` run all of them, and there is no server.
        println!("{USAGE}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // Interrupted, it drops the controller that it started, and so ends it.
    let interrupted = async {
        let mut term = signal(SignalKind::terminate()).unwrap();
        tokio::select! {
            biased;
            _ = term.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    let good = runtime.block_on(async {
        tokio::select! {
            biased;
            () = interrupted => false,
            good = run(Args::parse(&args)) => good,
        }
    });
    std::process::exit(i32::from(!good));
}
