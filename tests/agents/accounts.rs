//! What the accounts of a test do, and what was seen of it.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kube::Api;
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::{Rig, Said};

/// True where this variable is set, as in CI: then what takes a minute happens too.
pub fn is_whole() -> bool {
    std::env::var_os("POOLKEEPER_WHOLE_BATCH").is_some()
}

/// A limit until the next full minute, one that the program sleeps on, and a program that says nothing.
const LONG: [&str; 3] = ["clock", "sleeps", "hangs"];

const STAND_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agents/stand-in.sh");

/// Calls that an account takes at once.
const SLOTS: usize = 2;

/// What happens at the calls with an account, from the first one on. Then every call succeeds.
type Plan = (&'static str, &'static [&'static str]);

/// One of the programs that are played.
#[derive(Clone, Copy)]
pub struct Agent {
    /// Its name, which is that of the file on the PATH.
    pub program: &'static str,
    /// Its directory in `examples/`, and the preset.
    pub preset: &'static str,
    /// The variable that holds an account.
    pub variable: &'static str,
    /// Its accounts.
    pub plans: &'static [Plan],
    /// Tasks of the batch.
    pub tasks: usize,
}

/// Two accounts. The second one is empty, and later its login has expired: a person mends that.
pub const CLAUDE: Agent = Agent {
    program: "claude",
    preset: "claude-code",
    variable: "CLAUDE_CODE_OAUTH_TOKEN",
    plans: &[
        ("token-a", &["done", "epoch", "overloaded", "sleeps", "words-in-success", "epoch"]),
        ("token-b", &["epoch", "hangs", "busy", "empty", "done", "epoch", "overloaded", "clock", "expired", "done"]),
    ],
    tasks: 40,
};

/// Two accounts, and two that are never mended.
pub const CODEX: Agent = Agent {
    program: "codex",
    preset: "codex",
    variable: "CODEX_API_KEY",
    plans: &[
        ("token-a", &["done", "relative", "overloaded", "words", "words-in-success"]),
        ("token-b", &["words", "hangs", "busy", "done", "azure", "overloaded", "clock"]),
        ("token-c", &["empty"]),
        ("token-d", &["expired"]),
    ],
    tasks: 40,
};

impl Agent {
    /// What happens at the calls with each account today.
    fn plans(&self) -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
        let is_whole = is_whole();
        let today = move |plan: &[&'static str]| {
            plan.iter().copied().filter(|happens| is_whole || !LONG.contains(happens)).collect()
        };
        self.plans.iter().map(move |(token, plan)| (*token, today(plan)))
    }
}

/// What happens at a call, as the classes of `docs/limits.md`.
fn outcome(happens: &str) -> &'static str {
    match happens {
        "done" | "words-in-success" => "Succeeded",
        "hangs" => "Failed",
        "overloaded" | "busy" => "Overloaded",
        "empty" | "expired" | "dead" => "Unauthorized",
        _ => "RateLimited",
    }
}

/// The name of the credential with an account.
fn credential(token: &str) -> &str {
    token.trim_start_matches("token-")
}

/// The accounts of a batch, on disk.
pub struct Accounts {
    agent: Agent,
    dir: PathBuf,
    /// The most strikes that each credential had, by its identity.
    strikes: RefCell<BTreeMap<String, i32>>,
}

impl Accounts {
    pub fn new(agent: Agent, dir: &Path) -> Self {
        for (token, plan) in agent.plans() {
            fs::create_dir_all(dir.join("accounts").join(token)).unwrap();
            let plan: String = plan.iter().map(|happens| format!("{happens}\n")).collect();
            fs::write(dir.join("accounts").join(token).join("plan"), plan).unwrap();
            fs::write(dir.join(token), token).unwrap();
        }
        fs::create_dir(dir.join("bin")).unwrap();
        let program = dir.join("bin").join(agent.program);
        let text = format!("#!/bin/sh\nexec bash {STAND_IN} {} {} {SLOTS} \"$@\"\n", agent.program, dir.display());
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let tasks: String = (1..=agent.tasks).map(|n| format!("Write chapter {n} of \"limits\"\n")).collect();
        fs::write(dir.join("tasks.txt"), tasks).unwrap();
        Self { agent, dir: dir.to_owned(), strikes: RefCell::default() }
    }

    /// The wrapper of the example.
    pub fn wrapper(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(self.agent.preset).join("agent.sh")
    }

    /// The PATH with the program that plays the agent.
    pub fn path(&self) -> std::ffi::OsString {
        let machine = std::env::var_os("PATH").unwrap();
        let own = std::iter::once(self.dir.join("bin"));
        std::env::join_paths(own.chain(std::env::split_paths(&machine))).unwrap()
    }

    /// A pool that uses these accounts.
    pub fn pool(&self) -> serde_json::Value {
        serde_json::json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"}, "spec": self.spec(),
        })
    }

    pub fn spec(&self) -> serde_json::Value {
        let credential = |(token, _): &(&str, _)| {
            serde_json::json!({
                "name": credential(token), "env": self.agent.variable, "fromFile": self.dir.join(token), "maxConcurrent": SLOTS,
            })
        };
        serde_json::json!({
            "runtime": "Process", "max": 4,
            "rateLimit": {"scope": "Credential", "patterns": [self.agent.preset]},
            "credentials": self.agent.plans.iter().map(credential).collect::<Vec<_>>(),
            "env": [{"name": "PATH", "value": self.path().to_str().unwrap()}, {"name": "TZ", "value": "UTC"}],
        })
    }

    /// What all calls cost, as `stand-in.sh` says it. What was ended says nothing. None: the program names no money.
    pub fn cents(&self) -> Option<u32> {
        let log = self.read("log");
        let happened = log.lines().map(|line| line.split(' ').nth(1).unwrap());
        let cost = |happens: &str| match happens {
            "hangs" | "sleeps" => 0,
            _ if outcome(happens) == "Succeeded" => 25,
            _ => 5,
        };
        (self.agent.program == "claude").then(|| happened.map(cost).sum())
    }

    /// Runs a command to its end, with a person who looks after the accounts meanwhile.
    pub async fn mended_during(&self, rig: &Rig, command: Command) -> Said {
        let output = tokio::process::Command::from(command).kill_on_drop(true).output();
        tokio::select! {
            output = output => Said::of(output.unwrap()),
            () = self.mended(rig) => unreachable!(),
        }
    }

    /// Does for as long as it is polled what a person does: pays, or logs in, and lets the pool know.
    async fn mended(&self, rig: &Rig) {
        let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
        loop {
            let status = pools.get("agents").await.ok().and_then(|pool| pool.status).unwrap_or_default();
            for rest in &status.rate_limits {
                let mut strikes = self.strikes.borrow_mut();
                let most = strikes.entry(rest.key.clone()).or_default();
                *most = rest.strikes.max(*most);
            }
            for (token, _) in self.agent.plans {
                let (name, dead) = (credential(token), self.dir.join("accounts").join(token).join("dead"));
                let is_parked = status.rate_limits.iter().any(|rest| rest.key.ends_with(token) && rest.parked);
                if is_parked && dead.exists() {
                    fs::remove_file(dead).unwrap();
                    rig.run(&["cooldown", name, "--clear"]).exits(0);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    /// How often the calls of the batch came to each outcome, by the record of the accounts. Judges the batch: all that was
    /// planned happened, and nothing happened that must not.
    #[track_caller]
    pub fn judge(&self) -> BTreeMap<&'static str, usize> {
        let log = self.read("log");
        assert_eq!(self.read("wrong"), "", "{log}");
        let calls: Vec<(&str, &str, &str)> = log
            .lines()
            .map(|line| {
                let mut words = line.splitn(3, ' ');
                (words.next().unwrap(), words.next().unwrap(), words.next().unwrap())
            })
            .collect();
        for (token, plan) in self.agent.plans() {
            // A call that began before the pool knew of a limit meets that limit too. The program counts them.
            let of_plan = |call: &&(&str, &str, &str)| call.0 == token && !["refused", "dead"].contains(&call.1);
            let happened: Vec<&str> = calls.iter().filter(of_plan).map(|call| call.1).collect();
            assert!(happened.starts_with(&plan), "{token}: {happened:?} instead of {plan:?}");
            // Limits in a row, which successes end. An overload is none.
            let mut most = (0, 0);
            for happens in &plan {
                most.0 = match outcome(happens) {
                    "Succeeded" => 0,
                    "RateLimited" => most.0 + 1,
                    _ => most.0,
                };
                most.1 = most.0.max(most.1);
            }
            let seen = self.strikes.borrow();
            let seen = seen.iter().find(|(key, _)| key.ends_with(token)).map_or(0, |(_, seen)| *seen);
            assert!(seen <= most.1, "{token}: {seen} strikes, but there were {} limits in a row", most.1);
            // An account that only a person can mend is not asked again, unless one has.
            let is_dead = self.dir.join("accounts").join(token).join("dead").exists();
            assert!(!is_dead || happened.len() == plan.len(), "{token}: {happened:?}");
        }
        // Each task has one session, and came to its end.
        assert_eq!(fs::read_dir(self.dir.join("began")).unwrap().count(), self.agent.tasks, "{log}");
        for task in self.read("tasks.txt").lines() {
            assert!(calls.iter().any(|call| call.2 == task && outcome(call.1) == "Succeeded"), "{task}: {log}");
        }
        let mut counts = BTreeMap::new();
        for (_, happens, _) in calls {
            *counts.entry(outcome(happens)).or_default() += 1;
        }
        counts
    }
}
