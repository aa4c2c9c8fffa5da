//! `poolkeeper acquire`: a worker is claimed, or certainly not.
use std::process::Stdio;

use kube::api::PostParams;
use kube::{Api, ResourceExt};
use poolkeeper::api::dispatch::{DispatchPhase, DispatchSpec};
use poolkeeper::api::{Dispatch, Period, Worker};
use poolkeeper_testkit::local_server::{Rig, Said, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::get::create_pool;

/// A server with a pool of one worker.
pub async fn one_worker() -> Rig {
    let rig = Rig::new(PROGRAM);
    rig.up();
    create_pool(&rig, "agents", json!({"min": 1, "max": 1, "rateLimit": {"exitCodes": [75]}})).await;
    until("the worker is ready", || rig.run(&["get", "workers"]).stdout.contains(" Ready "));
    rig
}

async fn dispatches(rig: &Rig) -> Api<Dispatch> {
    Api::default_namespaced(rig.client().await)
}

/// The uid of the only worker. It is another one if a worker was lost.
async fn worker(rig: &Rig) -> String {
    let workers: Api<Worker> = Api::default_namespaced(rig.client().await);
    workers.get("agents-0").await.unwrap().uid().unwrap()
}

fn acquire(rig: &Rig, task: &str, more: &[&str]) -> Said {
    rig.run(&[&["acquire", "agents", "--task", task], more].concat())
}

#[tokio::test]
async fn a_claim_is_printed_for_a_shell_for_programs_and_as_an_argv() {
    let rig = one_worker().await;
    let script = "eval \"$(poolkeeper acquire agents --task it.s-1 --note \"it's\" --priority -3)\" || exit
        echo \"$POOLKEEPER_TASK_ID $POOLKEEPER_TASK_UID $POOLKEEPER_ATTEMPT $POOLKEEPER_WORKER\"";
    let said = Said::of(rig.shell("sh", script).output().unwrap()).exits(0);
    let claimed = dispatches(&rig).await.get("it.s-1").await.unwrap();
    assert_eq!(said.stdout, format!("it.s-1 {} 1 agents-0\n", claimed.uid().unwrap()));
    assert_eq!((claimed.spec.priority, claimed.spec.note.as_deref()), (-3, Some("it's")));
    assert_eq!(claimed.spec.queue_timeout, Some(Period::minutes(10)));
    assert_eq!(claimed.spec.timeout, Some(Period::hours(1)), "its holder may die");

    let said = acquire(&rig, "it.s-1", &["-o", "json"]).exits(4);
    assert_eq!(said.stdout, "");
    let problem =
        "task it.s-1 exists and is not finished: attempt 1 is open on worker agents-0; --again prints its claim";
    assert!(said.stderr.contains(problem), "{}", said.stderr);
    let again: Value =
        serde_json::from_str(&acquire(&rig, "it.s-1", &["--again", "-o", "json"]).exits(0).stdout).unwrap();
    let target = claimed.status.unwrap().target.unwrap();
    assert_eq!(
        (&again["uid"], &again["attempt"], &again["worker"]),
        (&json!(claimed.metadata.uid), &json!(1), &json!("agents-0"))
    );
    assert_eq!(again["target"], json!(target));
    let argv: Vec<String> =
        serde_json::from_str(&acquire(&rig, "it.s-1", &["--again", "-o", "argv"]).exits(0).stdout).unwrap();
    assert_eq!(argv, target.argv);

    rig.run(&["report", "it.s-1", "Failed"]).exits(0);
    until("it is closed", || !rig.run(&["get", "dispatches", "--phase", "Failed", "-o", "name"]).stdout.is_empty());
    for flag in [&[][..], &["--again"]] {
        let said = acquire(&rig, "it.s-1", flag).exits(4);
        assert!(
            said.stderr.contains("exists and is finished (Failed: attempt 1 on agents-0 ended as Failed); --replace"),
            "{}",
            said.stderr
        );
    }
    let before = worker(&rig).await;
    acquire(&rig, "it.s-1", &["--replace"]).exits(0);
    assert_ne!(dispatches(&rig).await.get("it.s-1").await.unwrap().uid(), claimed.metadata.uid);
    assert_eq!(worker(&rig).await, before, "the worker of a report is used again");
}

#[tokio::test]
async fn what_cannot_be_claimed_is_refused_and_a_shell_fails() {
    let rig = Rig::new(PROGRAM);
    let failed = |code: i32| {
        format!("unset POOLKEEPER_TASK_ID POOLKEEPER_TASK_UID POOLKEEPER_ATTEMPT POOLKEEPER_WORKER\n(exit {code})\n")
    };
    assert_eq!(acquire(&rig, "a", &[]).exits(6).stdout, failed(6));
    rig.up();
    create_pool(&rig, "agents", json!({"min": 0, "max": 1, "paused": true})).await;
    let refused = [
        (
            &["acquire", "nope", "--task", "a"][..],
            3,
            "there is no pool \"nope\" in namespace default of the local server",
        ),
        (&["acquire", "agents", "--task", ""], 2, "it is empty: is a variable not set?"),
        (&["acquire", "agents"], 2, "--task"),
        (&["acquire", "agents", "--task", "A b"], 2, "\"A b\" is no name"),
        (&["acquire", "agents", "--task", "a", "--retry", "failed"], 2, "write OUTCOME=N, such as rateLimited=3"),
        (&["acquire", "agents", "--task", "a", "--retry", "failed=-2"], 2, "N is a number from -1"),
        (&["acquire", "agents", "--task", "a", "--wait", "5"], 2, "is not a length of time"),
        (
            &["acquire", "agents", "--task", "a", "--wait", "1s"],
            5,
            "task a got no worker of pool agents: no worker took the dispatch within 1s (queueTimeout)",
        ),
    ];
    // A Lease may still come: that is waited for, while the others are refused.
    let mut late = rig.poolkeeper(&["acquire", "agents", "--task", "late", "--lease", "none"]);
    let late = late.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for (args, code, message) in refused {
        let said = rig.run(args).exits(code);
        assert!(said.stderr.contains(message), "{args:?}: {}", said.stderr);
        assert_eq!(said.stdout, failed(code), "{args:?}");
        let said = rig.run(&[args, &["-o", "json"]].concat()).exits(if code == 5 { 4 } else { code });
        assert_eq!(said.stdout, "", "{args:?}");
    }
    let said = Said::of(late.wait_with_output().unwrap()).exits(3);
    assert!(said.stderr.contains("there is no Lease \"none\"") && said.stdout == failed(3), "{}", said.stderr);
    // Nothing of a task runs on this machine itself.
    let marker = rig.file("ran");
    let marker = marker.display();
    for shell in ["sh", "bash"] {
        let claim = |task: &str| {
            let acquire = format!("poolkeeper acquire agents --task {task}-{shell} --wait 500ms");
            format!("POOLKEEPER_TASK_ID=old; eval \"$({acquire})\"")
        };
        let run = format!("poolkeeper exec \"$POOLKEEPER_TASK_ID\" -- touch {marker}");
        let said = Said::of(rig.shell(shell, &format!("{}; echo $?; {run}; echo $?", claim("b"))).output().unwrap());
        assert_eq!(said.stdout, "5\n125\n", "{shell}: {}", said.stderr);
        let said =
            Said::of(rig.shell(shell, &format!("set -e; {}; touch {marker}", claim("c"))).output().unwrap()).exits(5);
        assert_eq!(said.stdout, "");
        assert!(!rig.file("ran").exists(), "{shell}");
    }
}

#[tokio::test]
async fn a_full_queue_is_waited_out() {
    let rig = one_worker().await;
    create_pool(&rig, "narrow", json!({"min": 0, "max": 1, "paused": true, "dispatch": {"queueLimit": 1}})).await;
    let api = dispatches(&rig).await;
    let spec = DispatchSpec { pool: "narrow".into(), ..DispatchSpec::default() };
    api.create(&PostParams::default(), &Dispatch::new("first", spec)).await.unwrap();
    let refused = rig.poolkeeper(&["acquire", "narrow", "--task", "second", "--wait", "2s"]).output().unwrap();
    let refused = Said::of(refused).exits(5);
    assert!(refused.stderr.contains("got no worker of pool narrow"), "{}", refused.stderr);
    // The last one may be made so late that its time is over before the controller refuses it: then it has expired.
    let left = api.get_opt("second").await.unwrap().and_then(|second| second.status);
    let phase = left.map(|status| status.phase);
    assert!(matches!(phase, None | Some(DispatchPhase::Expired)), "the refused one is left behind: {phase:?}");

    let mut waiting = rig.poolkeeper(&["acquire", "narrow", "--task", "third"]);
    let mut waiting = waiting.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    api.delete("first", &Default::default()).await.unwrap();
    until("it is in the queue", || {
        rig.run(&["get", "dispatches", "--phase", "Pending", "-o", "name"]).stdout == "dispatch.poolkeeper.dev/third\n"
    });
    kill_process(Pid::from_child(&waiting), Signal::TERM).unwrap();
    waiting.wait().unwrap();
}

#[tokio::test]
async fn signals_and_a_closed_output_give_the_claim_up_and_cost_no_worker() {
    let rig = one_worker().await;
    let api = dispatches(&rig).await;
    let before = worker(&rig).await;
    acquire(&rig, "busy", &[]).exits(0);
    for (name, signal, code) in [
        ("int", Some(Signal::INT), 130),
        ("term", Some(Signal::TERM), 130),
        ("hup", Some(Signal::HUP), 130),
        ("closed", None, 141),
    ] {
        let mut command = rig.poolkeeper(&["acquire", "agents", "--task", name]);
        let mut waiting = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        until("it waits", || rig.run(&["get", "dispatch", name]).code == 0);
        match signal {
            Some(signal) => kill_process(Pid::from_child(&waiting), signal).unwrap(),
            None => drop(waiting.stdout.take()),
        }
        assert_eq!(waiting.wait().unwrap().code(), Some(code), "{name}");
        until("it is cancelled", || {
            let cancelled = rig.run(&["get", "dispatches", "--phase", "Cancelled", "-o", "name"]).stdout;
            cancelled.contains(&format!("/{name}\n"))
        });
    }
    rig.run(&["report", "busy", "Succeeded"]).exits(0);
    acquire(&rig, "next", &[]).exits(0);
    assert_eq!(worker(&rig).await, before);
    let cancelled = api.get("int").await.unwrap().status.unwrap();
    assert_eq!((cancelled.phase, cancelled.attempt), (DispatchPhase::Cancelled, 0));
}

/// How many rounds: fewer every day than where `POOLKEEPER_ROUNDS` says how many.
fn rounds(standard: u64) -> u64 {
    std::env::var("POOLKEEPER_ROUNDS").ok().map_or(standard, |n| n.parse().unwrap())
}

/// Time-outs and signals that fall on the assignment. `POOLKEEPER_ROUNDS=1000` makes more of them.
#[tokio::test]
async fn the_end_of_the_wait_at_the_moment_of_the_assignment_costs_no_worker() {
    let rounds = rounds(25);
    let rig = one_worker().await;
    let before = worker(&rig).await;
    let (mut claimed, mut not) = (0, 0);
    let mut wait: u64 = 20;
    // Both ends must be seen: on a slow machine that may take more rounds.
    for round in 0..1000 {
        if round >= rounds && claimed > 0 && not > 0 {
            break;
        }
        let (holder, task) = (format!("holder-{round}"), format!("task-{round}"));
        acquire(&rig, &holder, &["-o", "json"]).exits(0);
        // The worker is free at about the time when the wait ends, or the signal comes.
        let by_signal = round % 4 == 3;
        let limit = format!("{}ms", if by_signal { 60_000 } else { wait });
        let mut command = rig.poolkeeper(&["acquire", "agents", "--task", &task, "--wait", &limit, "-o", "json"]);
        let waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&waiting);
        rig.run(&["report", &holder, "Succeeded"]).exits(0);
        if by_signal {
            let _ = kill_process(pid, Signal::INT);
        }
        let said = Said::of(waiting.wait_with_output().unwrap());
        match said.code {
            0 => {
                claimed += 1;
                rig.run(&["report", &task, "Succeeded"]).exits(0);
            }
            // -1: the signal came before the command listened for it, and so before it made anything.
            5 | 130 | -1 => {
                not += 1;
                assert_eq!(said.stdout, "");
            }
            code => panic!("round {round} ended with {code}: {}", said.stderr),
        }
        // Closer to the moment at which both are equally likely.
        if !by_signal {
            wait = if said.code == 0 { (wait * 9 / 10).max(1) } else { wait * 10 / 9 + 1 };
        }
    }
    assert!(claimed > 0 && not > 0, "{claimed} claimed, {not} not: both must be seen");
    assert_eq!(worker(&rig).await, before, "{claimed} claimed, {not} not");
    acquire(&rig, "last", &["--wait", "1m"]).exits(0);
}

/// A supervisor that is killed while it asks: whatever is there then, `--again` finds it, and no worker is lost.
#[tokio::test]
async fn a_killed_acquire_leaves_a_claim_that_is_found_again() {
    let rig = one_worker().await;
    let before = worker(&rig).await;
    let (mut made, mut not) = (0, 0);
    let rounds = rounds(12);
    // Both must be seen: on a slow machine that may take more rounds.
    for round in 0..1000 {
        if round >= rounds && made > 0 && not > 0 {
            break;
        }
        let task = format!("task-{round}");
        let mut command = rig.poolkeeper(&["acquire", "agents", "--task", &task]);
        let mut asking = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Later in each round: before the request, between request and claim, after it.
        std::thread::sleep(std::time::Duration::from_millis(80 * round / rounds));
        asking.kill().unwrap();
        asking.wait().unwrap();
        match rig.run(&["get", "dispatch", &task]).code {
            0 => made += 1,
            _ => not += 1,
        }
        acquire(&rig, &task, &["--again", "-o", "json"]).exits(0);
        rig.run(&["report", &task, "Succeeded"]).exits(0);
    }
    assert!(made > 0 && not > 0, "{made} made, {not} not: both must be seen");
    assert_eq!(worker(&rig).await, before);
}
