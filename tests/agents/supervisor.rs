//! The same batch by supervisors in bash, on a local server. They report what the agent printed: `report --output`.
use std::os::unix::process::CommandExt;
use std::process::Command;

use kube::api::PostParams;
use kube::{Api, ResourceExt};
use poolkeeper::api::dispatch::DispatchPhase;
use poolkeeper::api::{ContainerPool, Dispatch};
use poolkeeper_testkit::local_server::Rig;
use poolkeeper_testkit::program::kubectl;

use crate::BINARY;
use crate::accounts::{Accounts, Agent, CLAUDE, CODEX, is_whole};

/// After an overload a task waits for 10 s and more, which is left to CI.
const SHORT: Agent = Agent {
    plans: &[
        ("token-a", &["done", "epoch", "words-in-success", "epoch"]),
        ("token-b", &["epoch", "empty", "done", "epoch", "expired"]),
    ],
    ..CLAUDE
};

/// Two accounts, which are mended like those of the other program.
const TWO_OF_CODEX: Agent = Agent {
    plans: &[
        ("token-a", &["done", "relative", "overloaded", "words", "words-in-success"]),
        ("token-b", &["words", "hangs", "busy", "empty", "done", "azure", "overloaded", "clock", "expired"]),
    ],
    ..CODEX
};

/// Runs a batch by a supervisor, which `make` starts on files in a directory.
async fn day(agent: Agent, make: impl FnOnce(&Rig, &Accounts) -> Command) {
    let rig = Rig::new(BINARY);
    rig.up();
    std::fs::create_dir(rig.file("batch")).unwrap();
    std::fs::create_dir(rig.file("state")).unwrap();
    let accounts = Accounts::new(agent, &rig.file("batch"));
    let client = rig.client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(client.clone());
    pools.create(&PostParams::default(), &serde_json::from_value(accounts.pool()).unwrap()).await.unwrap();

    let mut command = make(&rig, &accounts);
    // A program that hangs, or that sleeps on its limit, is ended by the limit of the attempt. So is a call that waits for the plan
    // of the other account, and a task may fail three times: four limits have to be longer than a plan takes. The longest waits for
    // one limit, for two or three minutes until its clock, and after overloads.
    command.env("POOL", "agents").env("STATE", rig.file("state")).env("LIMIT", "2m").process_group(0);
    let said = accounts.mended_during(&rig, command).await;
    let counts = accounts.judge();
    let said = said.exits(0);

    let dispatches: Vec<Dispatch> = Api::default_namespaced(client).list(&Default::default()).await.unwrap().items;
    assert_eq!(dispatches.len(), agent.tasks);
    let mut overloaded = 0;
    for dispatch in &dispatches {
        let status = dispatch.status.clone().unwrap();
        assert_eq!(status.phase, DispatchPhase::Succeeded, "{}: {status:?}\n{}", dispatch.name_any(), said.stderr);
        overloaded += status.retries.unwrap_or_default().overloaded;
    }
    assert_eq!(usize::try_from(overloaded).unwrap(), counts.get("Overloaded").copied().unwrap_or_default());
}

fn script(rig: &Rig, accounts: &Accounts, path: &str) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    format!("exec {root}/{path} {}/tasks.txt {}", rig.file("batch").display(), accounts.wrapper().display())
}

#[tokio::test]
async fn workers_by_acquire() {
    let agent = if is_whole() { CLAUDE } else { SHORT };
    day(agent, |rig, accounts| rig.shell("bash", &script(rig, accounts, "examples/supervisors/agents.sh"))).await;
}

#[tokio::test]
async fn workers_by_annotation() {
    if !is_whole() {
        eprintln!("SKIPPED: POOLKEEPER_WHOLE_BATCH is not set, as it is in CI");
        return;
    }
    let Some(kubectl) = kubectl() else { return };
    day(TWO_OF_CODEX, |rig, accounts| {
        let script = script(rig, accounts, "tests/agents/annotations.sh");
        let path = format!("export PATH=\"$PATH:{}\"; {script}", kubectl.parent().unwrap().display());
        let mut command = rig.shell("bash", &path);
        command.env("KUBECONFIG", rig.kubeconfig());
        command
    })
    .await;
}
