//! The examples of the help, each typed into bash against a local server with workers that are processes.
//!
//! They are read from `docs/cli.md`, which is what the help says. A block under `Example:` is one script, a line under
//! `Examples:` too. Each has a row in the table, with what must be there before; a new example without a row fails.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use poolkeeper_testkit::local_server::{Rig, until};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::PROGRAM;

/// How an example is run.
enum Way {
    /// After this script, in the same shell. It ends with 0.
    After(&'static str),
    /// After this script. It goes on for ever, and is ended once it has printed a line.
    Follows(&'static str),
    /// Not here, for this reason.
    Elsewhere(&'static str),
}
use Way::{After, Elsewhere, Follows};

/// A pool with a worker that is ready, whatever was done to it before. There is one worker at most, so it has always the same name.
const POOL: &str = "poolkeeper scale agents 1 --max 1; poolkeeper resume --all; for job in job-1 job-2 task-17; do poolkeeper delete dispatch $job --force; done
    poolkeeper get pool agents >/dev/null 2>&1 ||
        poolkeeper create pool agents --runtime Process --max 1 --credential team-a=env:TOKEN_A || exit
    poolkeeper scale agents 1 && poolkeeper cooldown team-a --clear && until poolkeeper get worker agents-0 | grep -E 'Ready +<none>'; do
        poolkeeper cooldown agents-0 --clear; sleep 0.05; done";
/// A claim for job-1, in the variables of this shell.
const CLAIM: &str = "eval \"$(poolkeeper acquire agents --task job-1 --retry failed=1 --wait 1m)\" || exit";
/// Two tasks that have succeeded.
const DONE: &str = "for job in job-1 job-2; do
        eval \"$(poolkeeper acquire agents --task $job --wait 1m)\" && poolkeeper report Succeeded || exit; done
    poolkeeper wait job-1 job-2";
/// A task that waits.
const WAITING: &str = "poolkeeper get dispatch task-17 || { poolkeeper pause agents
    poolkeeper acquire agents --task task-17 -o json >/dev/null & until poolkeeper get dispatch task-17; do sleep 0.05; done; }";
const ON_A_CLUSTER: &str = "it is for a cluster: tests/failover and the suites of scripts/ci/cluster.d run it";

/// The scripts that come first, in this order, and the beginning of each example.
#[rustfmt::skip]
const ROWS: &[(&[&str], Way, &str)] = &[
    (&[], After(""), "poolkeeper local up && eval "),
    (&[], After(""), "poolkeeper local status -o json"),
    (&[], After(""), "eval \"$(poolkeeper local env)\"\nkubectl get containerpools"),
    (&[], Follows(""), "poolkeeper local logs --tail 20 --follow"),
    (&[], After("mkdir -p ~/.config/systemd/user"), "poolkeeper local unit > "),
    (&[], After(""), "poolkeeper local backup ~/poolkeeper-backup.redb"),
    (&[], After(""), "poolkeeper local rotate"),
    (&[], After(""), "poolkeeper create pool tools --runtime Process --min 1 --dry-run"),
    (&[POOL], After(""), "poolkeeper status"),
    (&[POOL], Follows(""), "poolkeeper status agents -w"),
    (&[POOL], After(""), "poolkeeper status agents -o json"),
    (&[], Elsewhere("it needs a terminal: tests/top runs it"), "poolkeeper top"),
    (&[], Elsewhere("it needs a terminal: tests/top runs it"), "poolkeeper top agents"),
    (&[], Elsewhere("it needs a terminal, and a cluster"), "poolkeeper top -A --context prod"),
    (&[], Elsewhere("it needs a browser: tests/dashboard runs it"), "poolkeeper dashboard"),
    (&[], Elsewhere("its port may be taken: tests/dashboard runs it"), "poolkeeper dashboard --no-browser --port 8090 "),
    (&[], Elsewhere("it needs another machine: tests/docker_hosts runs it"), "poolkeeper doctor --host gpu1=ssh://me@gpu1"),
    (&[POOL], After(""), "poolkeeper health agents || "),
    (&[POOL], After(""), "poolkeeper get pools"),
    (&[POOL, CLAIM], After(""), "poolkeeper get workers --phase Busy -o wide"),
    (&[POOL, CLAIM], Follows(""), "poolkeeper get dispatches --pool agents -w"),
    (&[POOL, DONE], After("poolkeeper delete dispatch job-1"), "eval \"$(poolkeeper acquire agents --task job-1 --wait 10m)\""),
    (&[POOL, CLAIM], After("false"), "poolkeeper report --exit-code $?"),
    (&[POOL, CLAIM], After("echo work >agent.log; true"), "poolkeeper report --exit-code $? --output agent.log --preset claude-code"),
    (&[POOL, CLAIM], After(""), "poolkeeper report Succeeded"),
    (&[POOL, CLAIM], After(""), "poolkeeper report job-1 RateLimited --retry-after 15m --uid UID --attempt 1"),
    (&[POOL, CLAIM], After(""), "poolkeeper cancel job-1"),
    (&[POOL, CLAIM], After("poolkeeper report Failed && eval \"$(poolkeeper acquire agents --task job-1 --again)\""), "poolkeeper cancel job-1 --uid UID --attempt 2"),
    (&[POOL, DONE], After(""), "poolkeeper wait job-1 job-2 --timeout 1h"),
    (&[POOL, CLAIM], After(""), "poolkeeper wait job-1 --for assigned"),
    (&[POOL, DONE], After("poolkeeper delete dispatch job-1; trap 'kill $!' EXIT"), "poolkeeper renew night-run &"),
    (&[], Elsewhere("workers of runtime Process keep no output: docker.rs runs it"), "poolkeeper logs agents-0"),
    (&[], Elsewhere("workers of runtime Process keep no output: docker.rs runs it"), "poolkeeper logs agents-0 --tail 20 -f"),
    (&[POOL, CLAIM], After(""), "poolkeeper exec \"$POOLKEEPER_TASK_ID\" -- make test"),
    (&[POOL, CLAIM], After(""), "echo text | poolkeeper exec job-1 -i -e LANG=C -- wc -w"),
    (&[POOL, DONE], After(""), "poolkeeper exec worker/agents-0 -- ps"),
    (&[POOL, DONE], After("seq 3 >tasks.txt"), "poolkeeper run agents --tasks tasks.txt --out results -- agent -"),
    (&[POOL, DONE], After("seq 3 >tasks.txt"), "poolkeeper run agents --tasks tasks.txt --on limited 'jq -r .worker >> limits' -- agent -"),
    (&[], After("seq 3 >urls.txt; cp \"$(command -v agent)\" fetch.sh"), "poolkeeper run --local --workers 3 --tasks urls.txt -- ./fetch.sh"),
    (&[], Elsewhere("it needs an image with an agent: tests/docker_run.rs runs batches in containers"), "poolkeeper run --local --image agent:1 "),
    (&[], After("seq 2 >tasks.txt; poolkeeper run --local --workers 1 --tasks tasks.txt --out seen -- agent -; rm -r results; mv seen results"), "poolkeeper timeline results"),
    (&[POOL], After("echo renewed >new-token"), "poolkeeper credential set agents/team-a < new-token"),
    (&[POOL], After(""), "poolkeeper credential set agents/team-a --from-env TOKEN_A"),
    (&[], After(""), "poolkeeper preset list"),
    (&[], After(""), "poolkeeper preset show claude-code"),
    (&[], After("echo work >out.txt"), "poolkeeper preset test claude-code out.txt"),
    (&[], After(""), "agent 2>&1 | poolkeeper preset test "),
    (&[], After("echo work >stderr.txt"), "poolkeeper preset test gh stderr.txt "),
    (&[POOL, WAITING], After(""), "poolkeeper why"),
    (&[POOL, WAITING], After(""), "poolkeeper why task-17"),
    (&[POOL, WAITING], After(""), "poolkeeper why pool/agents -o json"),
    (&[POOL], After(""), "poolkeeper cooldown agents-0 --for 5m"),
    (&[POOL], After(""), "poolkeeper cooldown team-a --clear --pool agents"),
    (&[POOL], After(""), "poolkeeper cleanup agents --dry-run"),
    (&[POOL], After(""), "poolkeeper pause agents"),
    (&[POOL], After(""), "poolkeeper pause --all"),
    (&[POOL], After("poolkeeper pause agents && poolkeeper scale agents 1 --max 2"), "poolkeeper scale agents +1"),
    (&[POOL], After("poolkeeper pause agents"), "poolkeeper scale agents 12 --max 12"),
    (&[POOL], After("poolkeeper pause agents"), "poolkeeper resume agents"),
    (&[POOL], After("poolkeeper pause agents"), "poolkeeper resume --all"),
    (&[POOL, DONE], After(""), "poolkeeper delete worker agents-0"),
    (&[POOL, DONE], After(""), "poolkeeper delete worker agents-0 --shrink --wait"),
    (&[POOL, DONE], After(""), "poolkeeper delete pool agents --timeout 10m"),
    (&[], After(""), "poolkeeper create pool agents --image alpine "),
    (&[], After("poolkeeper pause agents"), "poolkeeper set image agents ghcr.io/acme/agent-worker:1.5"),
    (&[], After(""), "poolkeeper doctor"),
    (&[], Elsewhere("it is for a cluster: 55-commands runs doctor on one"), "poolkeeper doctor --context prod -o json"),
    (&[], After(""), "poolkeeper crd | kubectl apply -f -"),
    (&[], After(""), "source <(poolkeeper completion bash)"),
    (&[], After("mkdir -p ~/.config/fish/completions"), "poolkeeper completion fish > "),
    (&[], After("mkdir -p ~/.zfunc"), "poolkeeper completion zsh > "),
    (&[], After(""), "poolkeeper man --dir "),
    (&[], Elsewhere(ON_A_CLUSTER), "poolkeeper controller --context prod --lease-namespace poolkeeper"),
    (&[], Elsewhere(ON_A_CLUSTER), "poolkeeper uninstall --context prod --wait-timeout 30m"),
    (&[], After(""), "poolkeeper local down --wait"),
];

/// Programs of others that the examples use. They are no part of what is tested.
const PROGRAMS: &[(&str, &str)] = &[
    ("agent", "cat >/dev/null"),
    ("make", "[ \"$1\" = test ]"),
    ("kubectl", "[ \"$1\" = get ] && exec grep -q 127.0.0.1 \"$KUBECONFIG\"; grep -q CustomResourceDefinition"),
    ("systemctl", "[ -s ~/.config/systemd/user/poolkeeper.service ]"),
    ("loginctl", "true"),
    ("jq", "cat >/dev/null"),
];

/// The scripts of all examples.
fn examples(page: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for block in page.split("\n```text\n").skip(1).filter_map(|rest| rest.split("\n```").next()) {
        let Some((heading, lines)) = block.rsplit_once("\nExample").and_then(|(_, rest)| rest.split_once(":\n")) else {
            continue;
        };
        let lines: Vec<&str> = lines.lines().map_while(|line| line.strip_prefix("  ")).collect();
        if heading.is_empty() {
            found.push(lines.join("\n"));
        } else {
            found.extend(lines.join("\n").replace("\\\n", " ").lines().map(|line| line.trim().to_owned()));
        }
    }
    found
}

/// True if a row is about this example: its text, or its beginning if that ends in the middle of a line.
fn is_of(row: &str, example: &str) -> bool {
    let rest = example.strip_prefix(row);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('\n') || row.ends_with([' ', '"']))
}

/// The example in a shell of its own, in a process group of its own.
fn shell(rig: &Rig, script: &str) -> Command {
    let mut command = rig.shell("bash", script);
    let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
    let path = format!("{}:{}", rig.file("programs").display(), path.to_string_lossy());
    command.env("PATH", path).env("TOKEN_A", "a").env("TOKEN_B", "b").current_dir(rig.file(""));
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

#[test]
fn each_example_of_the_help_texts_runs() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).unwrap();
    let mut left: BTreeSet<String> = examples(&page).into_iter().collect();
    let rig = Rig::new(PROGRAM);
    std::fs::create_dir_all(rig.file("programs")).unwrap();
    for (name, text) in PROGRAMS {
        let file = rig.file("programs").join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }
    for (before, way, begins) in ROWS {
        let example = left.iter().find(|example| is_of(begins, example)).cloned();
        let example = example.unwrap_or_else(|| panic!("no help has the example {begins:?}"));
        left.remove(&example);
        let (last, follows) = match way {
            After(last) => (last, false),
            Follows(last) => (last, true),
            Elsewhere(reason) => {
                eprintln!("NOT HERE: {example}: {reason}");
                continue;
            }
        };
        let before =
            [before.iter().map(|script| format!("{{ {script}\n}} >&2\n")).collect(), (*last).to_owned()].concat();
        let script = format!("{before}\n{}", example.replace("UID", "\"$POOLKEEPER_TASK_UID\""));
        // To files: what an example leaves in the background keeps them open.
        let files = ["stdout", "stderr"].map(|name| std::fs::File::create(rig.file(name)).unwrap());
        let text = |name: &str| std::fs::read_to_string(rig.file(name)).unwrap();
        let [stdout, stderr] = files;
        let mut running = shell(&rig, &script).stdout(stdout).stderr(stderr).spawn().unwrap();
        let mut ended = None;
        until(&format!("the end of {example}"), || {
            ended = running.try_wait().unwrap();
            ended.is_some() || follows && !text("stdout").is_empty()
        });
        if follows && ended.is_none() {
            kill_process_group(Pid::from_child(&running), Signal::KILL).unwrap();
            running.wait().unwrap();
            continue;
        }
        let code = ended.and_then(|ended| ended.code());
        assert!(code == Some(0) && !follows, "{example}: {code:?}\n{}{}", text("stdout"), text("stderr"));
    }
    assert!(left.is_empty(), "these examples have no row: {left:#?}");
}
