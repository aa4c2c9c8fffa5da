//! `poolkeeper report`: on the attempt that is meant, and on no other.
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use poolkeeper::api::dispatch::{DispatchPhase, Outcome, ReportedOutcome};
use poolkeeper::api::{Dispatch, Period, Worker};
use poolkeeper_testkit::local_server::{Rig, Said, until};
use serde_json::json;

use crate::PROGRAM;
use crate::acquire::one_worker;

async fn get(rig: &Rig, name: &str) -> Dispatch {
    let api: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    api.get(name).await.unwrap()
}

#[tokio::test]
async fn the_exit_code_of_a_command_is_judged_by_the_rule_of_its_pool() {
    let rig = one_worker().await;
    for (code, outcome) in [
        (0, ReportedOutcome::Succeeded),
        (1, ReportedOutcome::Failed),
        (127, ReportedOutcome::Failed),
        (125, ReportedOutcome::Lost),
        (75, ReportedOutcome::RateLimited),
    ] {
        // The variables of `acquire` name the attempt.
        let script =
            format!("eval \"$(poolkeeper acquire agents --task t-{code})\" && poolkeeper report --exit-code {code}");
        Said::of(rig.shell("sh", &script).output().unwrap()).exits(0);
        let result = get(&rig, &format!("t-{code}")).await.spec.result.unwrap();
        assert_eq!((result.attempt, result.outcome), (1, outcome), "{code}");
    }
}

#[tokio::test]
async fn a_report_is_taken_once_and_only_for_the_attempt_that_is_open() {
    let rig = one_worker().await;
    rig.run(&["acquire", "agents", "--task", "job", "--retry", "rateLimited=2"]).exits(0);
    let uid = get(&rig, "job").await.uid().unwrap();
    let limited = ["report", "job", "RateLimited", "--retry-after", "1s", "--message", "429"];
    rig.run(&limited).exits(0);
    // A reported attempt is over for its holder, also before it is closed.
    rig.run(&["exec", "job", "--", "true"]).exits(125);
    let first = get(&rig, "job").await.spec.result.unwrap();
    assert_eq!((first.retry_after, first.message.as_deref()), (Some(Period::seconds(1)), Some("429")));
    until("attempt 2 is open", || {
        rig.run(&["acquire", "agents", "--task", "job", "--again", "-o", "json"]).stdout.contains("\"attempt\":2")
    });

    // Without a number it is not clear any more which attempt is meant.
    let said = rig.run(&["report", "job", "Succeeded"]).exits(2);
    assert!(
        said.stderr.contains(&format!("more than one attempt: say which one is meant by --uid {uid} --attempt N")),
        "{}",
        said.stderr
    );
    let named = |attempt: &'static str, uid: &str, outcome: &'static str| {
        rig.run(&["report", "job", outcome, "--uid", uid, "--attempt", attempt])
    };
    let said = named("1", &uid, "Succeeded").exits(4);
    assert!(said.stderr.contains("attempt 1 of task job is not the newest one: that is 2"), "{}", said.stderr);
    named("2", "another", "Succeeded").exits(4);
    named("2", &uid, "Succeeded").exits(0);
    named("2", &uid, "Succeeded").exits(0);
    until("it is closed", || rig.run(&["get", "dispatch", "job"]).stdout.contains(" Succeeded "));
    named("2", &uid, "Succeeded").exits(0);
    let said = named("2", &uid, "Lost").exits(4);
    assert!(
        said.stderr.contains("attempt 2 of task job has ended before, as Succeeded: Lost is not reported"),
        "{}",
        said.stderr
    );
    assert_eq!(get(&rig, "job").await.status.unwrap().last_result.unwrap().outcome, Outcome::Succeeded);
}

/// The task is done, and used up what the service allows.
#[tokio::test]
async fn a_success_that_names_a_time_lets_its_worker_rest() {
    let rig = one_worker().await;
    rig.run(&["acquire", "agents", "--task", "job"]).exits(0);
    rig.run(&["report", "job", "Succeeded", "--retry-after", "2h", "--message", "the window is used up"]).exits(0);
    let workers: Api<Worker> = Api::default_namespaced(rig.client().await);
    let mut rest = None;
    for _ in 0..600 {
        let worker = workers.list(&ListParams::default()).await.unwrap().items.remove(0).status.unwrap();
        rest = worker.cooldown;
        if rest.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let rest = rest.expect("the worker rests");
    let job = get(&rig, "job").await.status.unwrap();
    assert_eq!((job.phase, rest.strikes), (DispatchPhase::Succeeded, 0));
    assert_eq!((rest.until, rest.reason.as_deref()), (job.last_result.unwrap().until, Some("the window is used up")));
}

#[tokio::test]
async fn what_cannot_be_reported_is_refused() {
    let rig = one_worker().await;
    let refused = [
        (&["report"][..], 2, "say how the attempt ended: Succeeded, Failed"),
        (&["report", "Succeeded"], 2, "name the task, or set $POOLKEEPER_TASK_ID"),
        (&["report", "", "Succeeded"], 2, "the name of the task is empty"),
        (&["report", "a", "Great"], 2, "\"Great\" is no outcome"),
        (&["report", "a", "Failed", "--exit-code", "1"], 2, "cannot be used together"),
        (
            &["report", "a", "Failed", "--retry-after", "1m"],
            2,
            "--retry-after goes with the outcomes RateLimited, Overloaded and Succeeded only",
        ),
        (&["report", "a", "RateLimited", "--retry-after", "soon"], 2, "--retry-after: \"soon\" is not a time"),
        (&["report", "a", "Failed", "--uid", "u"], 2, "--attempt"),
        (&["report", "a/b", "Failed"], 2, "is no name"),
        (&["report", "a", "Failed"], 3, "there is no task \"a\" on the local server"),
    ];
    for (args, code, message) in refused {
        let said = rig.run(args).exits(code);
        assert!(said.stdout.is_empty() && said.stderr.contains(message), "{args:?}: {}", said.stderr);
    }
    rig.run(&["acquire", "agents", "--task", "first"]).exits(0);
    let waiting = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch", "metadata": {"name": "waits"}, "spec": {"pool": "agents"}});
    let api: Api<Dispatch> = Api::default_namespaced(rig.client().await);
    api.patch("waits", &PatchParams::default(), &Patch::Merge(&json!({}))).await.unwrap_err();
    api.create(&Default::default(), &serde_json::from_value(waiting).unwrap()).await.unwrap();
    let said = rig.run(&["report", "waits", "Failed"]).exits(4);
    assert!(said.stderr.contains("task waits has no attempt yet"), "{}", said.stderr);
}

#[tokio::test]
async fn a_report_waits_for_a_server_that_is_away() {
    let none = Rig::new(PROGRAM);
    let said = none.run(&["report", "a", "Failed"]).exits(6);
    assert!(
        said.stderr.contains("there is no server to talk to") && !said.stderr.contains("repeating it"),
        "{}",
        said.stderr
    );

    let rig = one_worker().await;
    rig.run(&["acquire", "agents", "--task", "job"]).exits(0);
    rig.kill();
    rig.run(&["report", "job", "Succeeded", "--patience", "500ms"]).exits(6);
    let reporting =
        rig.poolkeeper(&["report", "job", "Succeeded"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    rig.up();
    let said = Said::of(reporting.wait_with_output().unwrap()).exits(0);
    assert!(
        said.stderr.is_empty() || said.stderr.contains("repeating it") || said.stderr.contains("using"),
        "{}",
        said.stderr
    );
    assert_eq!(get(&rig, "job").await.spec.result.unwrap().outcome, ReportedOutcome::Succeeded);
}
