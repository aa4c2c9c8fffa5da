//! The same batch by a supervisor in bash, on a local server: `acquire`, `exec`, `report --output`.
use std::os::unix::process::CommandExt;

use kube::api::PostParams;
use kube::{Api, ResourceExt};
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::{ContainerPool, Dispatch};
use poolkeeper_testkit::local_server::{Rig, Said};
use serde_json::json;

use crate::accounts::{Accounts, Agent, CLAUDE, is_whole};
use crate::support::BINARY;

const SUPERVISOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/supervisors/agents.sh");

const SHORT: [(&str, &[&str]); 4] = [
    ("token-a", &["done", "epoch", "words-in-success"]),
    ("token-b", &["epoch", "done", "epoch"]),
    ("token-c", &["empty"]),
    ("token-d", &["expired"]),
];

#[tokio::test]
async fn a_supervisor_in_bash_that_reports_what_the_agent_printed() {
    let rig = Rig::new(BINARY);
    rig.up();
    std::fs::create_dir(rig.file("batch")).unwrap();
    std::fs::create_dir(rig.file("state")).unwrap();
    // After an overload a task waits for 10 s and more, which is left to CI.
    let agent = if is_whole() { CLAUDE } else { Agent { plans: SHORT, ..CLAUDE } };
    let accounts = Accounts::new(agent, &rig.file("batch"));
    let client = rig.client().await;
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"}, "spec": accounts.spec(),
    });
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();

    let script =
        format!("exec {SUPERVISOR} {}/tasks.txt {}", rig.file("batch").display(), accounts.wrapper().display());
    let mut command = rig.shell("bash", &script);
    // A program that hangs, or that sleeps on its limit, is ended by the limit of the attempt.
    command.env("POOL", "agents").env("STATE", rig.file("state")).env("LIMIT", "30s").process_group(0);
    let said = Said::of(command.output().unwrap());
    let counts = accounts.judge();
    let said = said.exits(0);

    let dispatches: Vec<Dispatch> = Api::default_namespaced(client).list(&Default::default()).await.unwrap().items;
    assert_eq!(dispatches.len(), 40);
    let mut overloaded = 0;
    for dispatch in &dispatches {
        let status = dispatch.status.clone().unwrap();
        assert_eq!(status.phase, DispatchPhase::Succeeded, "{}: {status:?}\n{}", dispatch.name_any(), said.stderr);
        overloaded += status.retries.unwrap_or_default().overloaded;
    }
    assert_eq!(usize::try_from(overloaded).unwrap(), counts.get("Overloaded").copied().unwrap_or_default());
    // The last calls with token-b met a limit, an overload and a limit. The overload is no third strike.
    let pool = pools.get("agents").await.unwrap();
    for rest in &pool.status.as_ref().unwrap().rate_limits {
        assert!(rest.strikes <= 2, "an overload was counted: {rest:?}");
    }
}
