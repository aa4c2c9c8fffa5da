//! The pools, wrappers and lists of tasks of `examples/`, as docs/agents.md runs them without Docker.
use std::os::unix::process::CommandExt;
use std::path::Path;

use kube::Api;
use kube::api::PostParams;
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::Rig;

use crate::BINARY;
use crate::accounts::{Accounts, Agent, CLAUDE, CODEX};

async fn example(agent: Agent, variables: [&str; 2]) {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(agent.preset);
    let rig = Rig::new(BINARY);
    let [a, b] = variables.map(str::to_owned);
    rig.local(&["up", "--env", &format!("{a}=token-a"), "--env", &format!("{b}=token-b")]).exits(0);
    let place = rig.file("batch");
    std::fs::create_dir(&place).unwrap();
    let accounts = Accounts::new(agent, &place);
    std::fs::copy(files.join("tasks.txt"), place.join("tasks.txt")).unwrap();
    std::os::unix::fs::symlink(accounts.wrapper(), place.join("bin/agent")).unwrap();

    let pool = std::fs::read_to_string(files.join("pool.yaml")).unwrap();
    let mut pool: serde_json::Value = serde_saphyr::from_str(&pool).unwrap();
    let spec = pool["spec"].as_object_mut().unwrap();
    // As the page says: without image and command, workers are processes.
    assert!(spec.remove("image").is_some() && spec.remove("command").is_some());
    spec.insert("runtime".into(), "Process".into());
    let path = serde_json::json!({"name": "PATH", "value": accounts.path().to_str().unwrap()});
    spec["env"].as_array_mut().unwrap().push(path);
    let name = pool["metadata"]["name"].as_str().unwrap().to_owned();
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();

    let flags = ["run", &name, "--tasks", "tasks.txt", "--state", "state", "--out", "results", "--silence", "20m"];
    let more = ["--retry-failed", "2", "--", "agent"];
    let mut command = rig.poolkeeper(&[&flags[..], &more].concat());
    command.current_dir(&place).process_group(0);
    let ran = accounts.mended_during(&rig, command).await;
    let counts = accounts.judge();
    let ran = ran.exits(0);
    assert!(ran.stderr.contains("tasks: 4 succeeded"), "{}", ran.stderr);
    assert!(counts["RateLimited"] >= 1 && counts["Succeeded"] >= 4, "{counts:?}");
}

const FIRST: Agent = Agent { plans: &[("token-a", &["epoch", "done"]), ("token-b", &["done"])], tasks: 4, ..CLAUDE };
const SECOND: Agent = Agent { plans: &[("token-a", &["relative", "done"]), ("token-b", &["done"])], tasks: 4, ..CODEX };

#[tokio::test]
async fn claude_code() {
    example(FIRST, ["CLAUDE_TOKEN_A", "CLAUDE_TOKEN_B"]).await;
}

#[tokio::test]
async fn codex() {
    example(SECOND, ["CODEX_KEY_A", "CODEX_KEY_B"]).await;
}
