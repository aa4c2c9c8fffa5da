//! `run POOL`, and each example of a supervisor, that is ended by a signal while its tasks run in containers, where they outlive it,
//! and is started again.
use std::path::Path;
use std::process::{Child, Stdio};

use kube::Api;
use kube::api::PostParams;
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::{Rig, Said, until};
use poolkeeper_testkit::program::kubectl;
use rustix::process::{Pid, Signal, kill_process};

use crate::engine::Engine;
use crate::supervisor::{Supervisor, dispatches, example, judge};
use crate::{PROGRAM, number, swapped};
use poolkeeper_testkit::truth::Truth;

const TASKS: usize = 8;

fn start(rig: &Rig, truth: &Truth, tasks: &Path, resume: bool) -> Child {
    let mut run = rig.poolkeeper(&["run", "boxes", "--tasks"]);
    run.arg(tasks).arg("--out").arg(rig.file("out")).args(resume.then_some("--resume"));
    run.args(["--", "sh", "-c", &format!("exec {} \"$TASK\"", truth.command())]);
    run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[tokio::test]
async fn a_run_on_containers_is_ended_and_resumed() {
    let Some(engine) = Engine::up() else { return };
    let rig = Rig::with_docker(PROGRAM);
    let truth = Truth::new(&rig.file("truth"), "test $n -ge 20");
    rig.local(&["up", "--docker-host", &engine.address()]).exits(0);
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
    pools.create(&PostParams::default(), &swapped::pool("boxes", &truth)).await.unwrap();
    let tasks = truth.tasks("job", TASKS);
    let signals = [Signal::KILL, Signal::INT, Signal::KILL, Signal::TERM];
    let rounds = usize::try_from(number("POOLKEEPER_ROUNDS", 2)).unwrap();
    for (round, signal) in signals.iter().cycle().take(rounds).enumerate() {
        let begun = truth.count("begin");
        let mut run = start(&rig, &truth, &tasks, round > 0);
        let mut ended = None;
        until("a task begins", || {
            ended = run.try_wait().unwrap();
            truth.count("begin") > begun || ended.is_some()
        });
        // The server goes with it at times.
        if round % 3 == 2 {
            rig.kill();
        }
        if ended.is_none() {
            kill_process(Pid::from_child(&run), *signal).unwrap();
        }
        let said = Said::of(run.wait_with_output().unwrap());
        println!("round {round}: {signal:?}, {}", said.code);
        if round % 3 == 2 {
            rig.up();
        }
    }
    Said::of(start(&rig, &truth, &tasks, true).wait_with_output().unwrap()).exits(0);
    truth.check();
    assert_eq!(truth.ends().len(), TASKS, "{}", truth.said());
    rig.local(&["down", "--force"]).exits(0);
    assert_eq!(engine.containers(), Vec::<String>::new());
}

#[tokio::test]
async fn each_example_is_ended_in_the_midst_of_tasks_in_containers() {
    let Some(engine) = Engine::up() else { return };
    let mut examples = vec![("bash", format!("exec {}", example("supervisor.sh").display()))];
    if let Some(kubectl) = kubectl() {
        let path = format!("PATH={}:$PATH", kubectl.parent().unwrap().display());
        examples.push(("kubectl", format!("{path} exec {}", example("supervisor-kubectl.sh").display())));
    }
    if let Some(python) = std::env::var_os("POOLKEEPER_PYTHON") {
        let script = format!("exec {} {}", python.display(), example("supervisor.py").display());
        examples.push(("python", format!("{script} --pool $POOL --state $STATE")));
    }
    for (name, command) in examples {
        let rig = Rig::with_docker(PROGRAM);
        let truth = Truth::new(&rig.file("truth"), "test $n -ge 20");
        rig.local(&["up", "--docker-host", &engine.address()]).exits(0);
        let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
        pools.create(&PostParams::default(), &swapped::pool("boxes", &truth)).await.unwrap();
        let tasks = truth.tasks("job", TASKS);
        let dashes = if name == "python" { "--" } else { "" };
        let command = format!("{command} {} {dashes} {}", tasks.display(), truth.command());
        for (signal, all) in [(Signal::KILL, true), (Signal::INT, true), (Signal::TERM, false), (Signal::KILL, false)] {
            let begun = truth.count("begin");
            let mut supervisor = Supervisor::of(&rig, "boxes", 2, &command);
            until("a task begins", || truth.count("begin") > begun || supervisor.has_ended());
            supervisor.end(signal, all);
            truth.check();
        }
        Supervisor::of(&rig, "boxes", 2, &command).finish(&rig, "boxes");
        println!("{name}: {:?}", judge(&truth, &dispatches(&rig).await, TASKS));
        rig.local(&["down", "--force"]).exits(0);
        assert_eq!(engine.containers(), Vec::<String>::new());
    }
}
