//! `poolkeeper local status`: whether the server runs, and what it has.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::json;

use super::server;
use crate::api::{ContainerPool, Dispatch, Worker};
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::print::{self, Summary};
use crate::standalone::resident::environment;

/// Show whether the server runs, where, and how much it has
///
/// Exits with 0 if it runs, with 3 if there is none, and with 6 if it does not run or does not answer.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  poolkeeper local status -o json")]
pub struct StatusArgs {
    /// How to print it; json: one object
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Summary,
}

impl Run for StatusArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let home = server::home_that_is()?;
        let status = server::status(&home).await?;
        let client = server::client(&home).await?;
        let address = server::address(&home.kubeconfig());
        // The names alone: a value may be a secret.
        let variables: Vec<String> = environment::read(&home)?.into_keys().collect();
        let lost = |e: kube::Error| server::unreachable(&home, &e.to_string());
        let pools = Api::<ContainerPool>::all(client.clone()).list(&ListParams::default()).await.map_err(lost)?;
        let workers = workers(&client).await.map_err(lost)?;
        let dispatches = dispatches(&client).await.map_err(lost)?;
        let text = match self.output {
            Summary::Json => {
                let value = json!({
                    "pid": status.pid, "version": status.version, "started": status.started, "address": address,
                    "home": home.path(), "pools": pools.items.len(), "workers": workers, "dispatches": dispatches,
                    "environment": variables,
                });
                format!("{value:#}\n")
            }
            Summary::Text => {
                let mut text = String::new();
                let rows = [
                    ("server", format!("process {}, version {}, since {}", status.pid, status.version, status.started)),
                    ("address", address),
                    ("state", home.path().display().to_string()),
                    ("pools", pools.items.len().to_string()),
                    ("workers", sums(&workers)),
                    ("dispatches", sums(&dispatches)),
                ];
                let variables = (!variables.is_empty()).then(|| ("variables", variables.join(", ")));
                for (name, value) in rows.into_iter().chain(variables) {
                    // Writing to a String cannot fail.
                    let _ = writeln!(text, "{name:<12}{value}");
                }
                text
            }
        };
        print::data(&text)?;
        Ok(Exit::Success)
    }
}

async fn workers(client: &Client) -> kube::Result<BTreeMap<String, u64>> {
    let workers = Api::<Worker>::all(client.clone()).list(&ListParams::default()).await?;
    Ok(count(workers.iter().map(|worker| format!("{:?}", worker.status.as_ref().map(|s| s.phase).unwrap_or_default()))))
}

async fn dispatches(client: &Client) -> kube::Result<BTreeMap<String, u64>> {
    let dispatches = Api::<Dispatch>::all(client.clone()).list(&ListParams::default()).await?;
    Ok(count(dispatches.iter().map(|one| format!("{:?}", one.status.as_ref().map(|s| s.phase).unwrap_or_default()))))
}

fn count(phases: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    phases.for_each(|phase| *counts.entry(phase).or_default() += 1);
    counts
}

/// `5 (4 Ready, 1 Busy)`.
fn sums(counts: &BTreeMap<String, u64>) -> String {
    let all: u64 = counts.values().sum();
    let each: Vec<String> = counts.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
    if each.is_empty() { all.to_string() } else { format!("{all} ({})", each.join(", ")) }
}
