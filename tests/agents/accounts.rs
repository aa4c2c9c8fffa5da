//! What the accounts of a test do, and what was seen of it.
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// True where this variable is set, as in CI: then what takes a minute happens too.
pub fn is_whole() -> bool {
    std::env::var_os("POOLKEEPER_WHOLE_BATCH").is_some()
}

/// A limit until the next full minute, one that the program sleeps on, and a program that says nothing.
const LONG: [&str; 3] = ["clock", "sleeps", "hangs"];

const STAND_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agents/stand-in.sh");

/// One of the programs that are played.
#[derive(Clone, Copy)]
pub struct Agent {
    /// Its name, which is that of the file on the PATH.
    pub program: &'static str,
    /// Its directory in `examples/`, and the preset.
    pub preset: &'static str,
    /// The variable that holds an account.
    pub variable: &'static str,
    /// What happens at the calls with each account, from the first one on. Then every call succeeds.
    pub plans: [(&'static str, &'static [&'static str]); 4],
}

pub const CLAUDE: Agent = Agent {
    program: "claude",
    preset: "claude-code",
    variable: "CLAUDE_CODE_OAUTH_TOKEN",
    plans: [
        ("token-a", &["done", "epoch", "overloaded", "sleeps", "words-in-success"]),
        ("token-b", &["epoch", "hangs", "busy", "done", "epoch", "overloaded", "clock"]),
        ("token-c", &["empty"]),
        ("token-d", &["expired"]),
    ],
};

pub const CODEX: Agent = Agent {
    program: "codex",
    preset: "codex",
    variable: "CODEX_API_KEY",
    plans: [
        ("token-a", &["done", "relative", "overloaded", "words", "words-in-success"]),
        ("token-b", &["words", "hangs", "busy", "done", "azure", "overloaded", "clock"]),
        ("token-c", &["empty"]),
        ("token-d", &["expired"]),
    ],
};

impl Agent {
    /// What happens at the calls with each account today.
    fn plans(&self) -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
        let is_whole = is_whole();
        let today = move |plan: &[&'static str]| {
            plan.iter().copied().filter(|happens| is_whole || !LONG.contains(happens)).collect()
        };
        self.plans.into_iter().map(move |(token, plan)| (token, today(plan)))
    }
}

/// What happens at a call, as the classes of `docs/limits.md`.
fn outcome(happens: &str) -> &'static str {
    match happens {
        "done" | "words-in-success" => "Succeeded",
        "hangs" => "Failed",
        "overloaded" | "busy" => "Overloaded",
        "empty" | "expired" => "Unauthorized",
        _ => "RateLimited",
    }
}

/// The accounts of a batch, on disk.
pub struct Accounts {
    agent: Agent,
    dir: PathBuf,
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
        let text = format!("#!/bin/sh\nexec bash {STAND_IN} {} {} \"$@\"\n", agent.program, dir.display());
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let tasks: String = (1..=40).map(|n| format!("Write chapter {n} of \"limits\"\n")).collect();
        fs::write(dir.join("tasks.txt"), tasks).unwrap();
        Self { agent, dir: dir.to_owned() }
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

    /// The fields of a pool that uses these accounts, one task at a time on each.
    pub fn spec(&self) -> serde_json::Value {
        let credential = |(token, _): &(&str, _)| {
            let name = token.trim_start_matches("token-");
            serde_json::json!({
                "name": name, "env": self.agent.variable, "fromFile": self.dir.join(token), "maxConcurrent": 1,
            })
        };
        serde_json::json!({
            "runtime": "Process", "max": 4,
            "rateLimit": {"scope": "Credential", "patterns": [self.agent.preset]},
            "credentials": self.agent.plans.iter().map(credential).collect::<Vec<_>>(),
            "env": [{"name": "PATH", "value": self.path().to_str().unwrap()}, {"name": "TZ", "value": "UTC"}],
        })
    }

    /// What all calls cost, as `stand-in.sh` says it. What was ended says nothing.
    pub fn cents(&self) -> u32 {
        let log = self.read("log");
        let happened = log.lines().map(|line| line.split(' ').nth(1).unwrap());
        let cost = |happens: &str| match happens {
            "hangs" | "sleeps" => 0,
            _ if outcome(happens) == "Succeeded" => 25,
            _ => 5,
        };
        happened.map(cost).sum()
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
            let happened: Vec<&str> = calls.iter().filter(|call| call.0 == token).map(|call| call.1).collect();
            assert!(happened.starts_with(&plan), "{token}: {happened:?} instead of {plan:?}");
            // An account that only a person can mend is asked once.
            assert!(happened.len() == 1 || !["empty", "expired"].contains(&plan[0]), "{token}: {happened:?}");
        }
        // Each task has one session, and came to its end.
        assert_eq!(fs::read_dir(self.dir.join("began")).unwrap().count(), 40, "{log}");
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
