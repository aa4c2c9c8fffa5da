//! `poolkeeper cancel`, `wait`, `renew` and `logs`.
use std::process::Stdio;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt};
use poolkeeper::api::dispatch::Outcome;
use poolkeeper::api::{Dispatch, Worker};
use poolkeeper_testkit::local_server::{Rig, Said, until};
use poolkeeper_testkit::subject::runs;
use rustix::process::{Pid, Signal, kill_process};

use crate::acquire::one_worker;

fn claim(rig: &Rig, task: &str) {
    rig.run(&["acquire", "agents", "--task", task, "-o", "json"]).exits(0);
}

async fn outcome(rig: &Rig, task: &str) -> Option<Outcome> {
    let api: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    api.get(task).await.unwrap().status?.last_result.map(|last| last.outcome)
}

#[tokio::test]
async fn a_task_is_cancelled_once_and_its_worker_is_removed() {
    let rig = one_worker().await;
    let workers: Api<Worker> = Api::default_namespaced(rig.client().await);
    let before = workers.get("agents-0").await.unwrap().uid();
    claim(&rig, "job");
    let api: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    let uid = api.get("job").await.unwrap().uid().unwrap();
    let refused = [
        (&["cancel"][..], 2, "name the task, or set $POOLKEEPER_TASK_ID"),
        (&["cancel", ""], 2, "the name of the task is empty"),
        (&["cancel", "nope"], 3, "\"nope\" not found"),
        (&["cancel", "job", "--uid", "other", "--attempt", "1"], 4, "task job is another Dispatch by now"),
        (
            &["cancel", "job", "--uid", &uid, "--attempt", "2"],
            4,
            "attempt 2 of task job is not the newest one: that is 1",
        ),
    ];
    for (args, code, message) in refused {
        let said = rig.run(args).exits(code);
        assert!(said.stdout.is_empty() && said.stderr.contains(message), "{args:?}: {}", said.stderr);
    }
    assert_eq!(outcome(&rig, "job").await, None);
    let said = rig.run(&["cancel", "job"]).exits(0);
    assert!(
        said.stderr.contains("worker agents-0 is removed, because the task may still run in it"),
        "{}",
        said.stderr
    );
    until("it is cancelled", || rig.run(&["get", "dispatch", "job"]).stdout.contains(" Cancelled "));
    rig.run(&["cancel", "job"]).exits(0);
    assert_eq!(outcome(&rig, "job").await, Some(Outcome::Cancelled));
    // The next Dispatch of the task begins when nothing of this one can run any more.
    rig.run(&["acquire", "agents", "--task", "job", "--replace", "--wait", "1m"]).exits(0);
    assert_ne!(workers.get("agents-0").await.unwrap().uid(), before);
    rig.run(&["report", "job", "Succeeded"]).exits(0);
    until("it is closed", || rig.run(&["get", "dispatch", "job"]).stdout.contains(" Succeeded "));
    // A time-out that is over before the first answer once made supervisors repeat it for ever.
    for _ in 0..20 {
        rig.run(&["wait", "job", "--timeout", "1ms"]).exits(0);
    }
    let said = rig.run(&["cancel", "job"]).exits(4);
    assert!(said.stderr.contains("task job is finished, as Succeeded: there is nothing to cancel"), "{}", said.stderr);
}

#[tokio::test]
async fn the_end_of_tasks_is_waited_for() {
    let rig = one_worker().await;
    rig.run(&["wait", "nope"]).exits(3);
    rig.run(&["wait", "a b"]).exits(2);
    claim(&rig, "one");
    assert_eq!(rig.run(&["wait", "one", "--for", "assigned"]).exits(0).stdout, "one Assigned\n");
    let said = rig.run(&["wait", "one", "--timeout", "200ms"]).exits(5);
    assert!(said.stderr.contains("the end did not come within 200ms (--timeout)"), "{}", said.stderr);
    let waiting = rig.poolkeeper(&["wait", "one", "task/one"]).stdout(Stdio::piped()).spawn().unwrap();
    rig.run(&["report", "one", "Succeeded"]).exits(0);
    let said = Said::of(waiting.wait_with_output().unwrap()).exits(0);
    assert_eq!(said.stdout, "one Succeeded\none Succeeded\n");
    claim(&rig, "two");
    rig.run(&["report", "two", "Failed"]).exits(0);
    assert_eq!(rig.run(&["wait", "two"]).exits(1).stdout, "two Failed\n");
    rig.run(&["wait", "one", "two"]).exits(1);
    rig.run(&["wait", "two", "--for", "assigned"]).exits(1);
}

#[tokio::test]
async fn a_lease_is_renewed_while_the_supervisor_lives() {
    let rig = one_worker().await;
    let leases: Api<Lease> = Api::default_namespaced(rig.client().await);
    for (args, message) in [
        (&["renew", "A"][..], "\"A\" is no name"),
        (&["renew", "a", "--duration", "1500ms"], "write whole seconds"),
        (&["renew", "a", "--duration", "0s"], "must be above 0s"),
        (&["renew", "a", "--duration", "2s", "--every", "2s"], "--every 2s is no shorter than --duration 2s"),
    ] {
        let said = rig.run(args).exits(2);
        assert!(said.stderr.contains(message), "{args:?}: {}", said.stderr);
    }
    rig.run(&["renew", "once", "--once", "--duration", "5m"]).exits(0);
    let lease = leases.get("once").await.unwrap().spec.unwrap();
    assert_eq!(lease.lease_duration_seconds, Some(300));
    rig.run(&["renew", "once", "--once"]).exits(0);
    let again = leases.get("once").await.unwrap().spec.unwrap();
    assert!(again.renew_time > lease.renew_time && again.lease_duration_seconds == Some(60));

    // A supervisor that is killed: what renews for it ends too, and its worker is freed by the end of the Lease.
    let script = "poolkeeper renew night --duration 2s & echo $!
        eval \"$(poolkeeper acquire agents --task job --lease night)\" || exit
        poolkeeper exec job -- sleep 300";
    let mut supervisor = rig.shell("sh", script).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    until("its task has a worker", || rig.run(&["get", "dispatch", "job"]).stdout.contains(" Assigned "));
    let spec = {
        let api: Api<Dispatch> = Api::default_namespaced(rig.client().await);
        api.get("job").await.unwrap().spec
    };
    assert_eq!((spec.lease_name.as_deref(), spec.timeout), (Some("night"), None));
    let mut renewing = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(supervisor.stdout.take().unwrap()), &mut renewing)
        .unwrap();
    kill_process(Pid::from_child(&supervisor), Signal::KILL).unwrap();
    supervisor.wait().unwrap();
    until("it renews no more", || !runs(renewing.trim()));
    until("its attempt is ended", || rig.run(&["get", "dispatch", "job"]).stdout.contains(" HolderLost "));
    rig.run(&["acquire", "agents", "--task", "next", "--wait", "1m"]).exits(0);
}

#[tokio::test]
async fn a_worker_without_a_log_says_what_to_use() {
    let rig = one_worker().await;
    rig.run(&["logs", "nope"]).exits(3);
    let said = rig.run(&["logs", "agents-0"]).exits(1);
    let problem = "worker agents-0 has runtime Process, which keeps no output: let the pool's command write to a file";
    assert!(said.stdout.is_empty() && said.stderr.contains(problem), "{}", said.stderr);
}
