//! `exec` and `report` that are ended by a signal at any moment. What follows depends on what the dead one said, and on nothing else:
//! so no two tasks ever run in a worker at a time.
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kube::api::PostParams;
use kube::{Api, ResourceExt};
use poolkeeper::api::{ContainerPool, Dispatch, Worker};
use poolkeeper_testkit::local_server::{Rig, until};
use rustix::process::{Pid, Signal, kill_process};

use crate::engine::Engine;
use crate::server::processes;
use crate::swapped;
use crate::{PROGRAM, number};
use poolkeeper_testkit::truth::Truth;

const SIGNALS: [(&str, Signal); 3] = [("int", Signal::INT), ("term", Signal::TERM), ("kill", Signal::KILL)];

/// A server with one pool of one worker.
struct Stage {
    rig: Rig,
    truth: Truth,
    rounds: u32,
}

impl Stage {
    async fn new(engine: Option<&Engine>) -> Self {
        let rig = if engine.is_some() { Rig::with_docker(PROGRAM) } else { Rig::new(PROGRAM) };
        let truth = Truth::new(&rig.file("truth"), "test $n -ge 4");
        match engine {
            Some(engine) => rig.local(&["up", "--docker-host", &engine.address()]).exits(0),
            None => rig.local(&["up"]).exits(0),
        };
        let mut pool = if engine.is_some() { swapped::pool("agents", &truth) } else { processes() };
        pool.metadata.name = Some("agents".to_owned());
        (pool.spec.min, pool.spec.max) = (1, 1);
        let api: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
        api.create(&PostParams::default(), &pool).await.unwrap();
        let rounds = u32::try_from(number("POOLKEEPER_ROUNDS", 2)).unwrap();
        Self { rig, truth, rounds }
    }

    fn acquire(&self, task: &str) {
        self.rig.run(&["acquire", "agents", "--task", task, "--wait", "1m", "-o", "json"]).exits(0);
    }

    fn exec(&self, task: &str) -> Command {
        self.rig.poolkeeper(&["exec", task, "--", &self.truth.command(), task])
    }

    /// A command that gets a signal at one of `rounds` moments of the time that it takes. Returns its exit code, if it has one.
    fn ended(&self, mut command: Command, takes: Duration, round: u32, signal: Signal) -> Option<i32> {
        let start = Instant::now();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // This is what is tested: each moment of its life, and a little more, since some take longer than others.
        let moment = takes * 6 / 5 * (2 * round + 1) / (2 * self.rounds);
        std::thread::sleep(moment.saturating_sub(start.elapsed()));
        // It may have ended.
        let _ = kill_process(Pid::from_child(&child), signal);
        child.wait().unwrap().code()
    }

    async fn worker(&self) -> Option<String> {
        let workers: Api<Worker> = Api::default_namespaced(self.rig.client().await);
        workers.get("agents-0").await.unwrap().uid()
    }

    /// How long a command takes that is left alone.
    fn measure(mut command: Command) -> Duration {
        let start = Instant::now();
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
        start.elapsed()
    }

    /// What a holder does: only a command that is known to have ended may have another one follow it.
    fn reports(&self, task: &str, code: Option<i32>) -> &'static str {
        let outcome = match code {
            Some(0) => "Succeeded",
            Some(130) => "Failed",
            _ => "Lost",
        };
        self.rig.run(&["report", task, outcome]).exits(0);
        outcome
    }

    /// Ends a command once its task has begun. False: the task was faster.
    fn is_interrupted(&self, task: &str) -> bool {
        self.acquire(task);
        let mut child = self.exec(task).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begin = format!("begin {task} ");
        until("its task begins", || self.truth.count(&begin) > 0 || child.try_wait().unwrap().is_some());
        let _ = kill_process(Pid::from_child(&child), Signal::INT);
        self.reports(task, child.wait().unwrap().code()) == "Failed"
    }

    fn exec_is_ended(self) {
        self.acquire("first");
        let takes = Self::measure(self.exec("first"));
        self.rig.run(&["report", "first", "Succeeded"]).exits(0);
        let mut codes: BTreeMap<String, u32> = BTreeMap::new();
        for (name, signal) in SIGNALS {
            for round in 0..self.rounds {
                let task = format!("{name}-{round}");
                self.acquire(&task);
                let code = self.ended(self.exec(&task), takes, round, signal);
                let outcome = self.reports(&task, code);
                *codes.entry(format!("{name}: {code:?} {outcome}")).or_default() += 1;
            }
        }
        // The moments above may all miss its task, on a machine that does other work too.
        let mut round = 0;
        until("a signal ends a command in the midst of its task", || {
            round += 1;
            self.is_interrupted(&format!("midst-{round}"))
        });
        // The last one may still be there.
        self.acquire("last");
        assert!(self.exec("last").stdout(Stdio::null()).status().unwrap().success());
        println!("{takes:?}; {codes:?}; {} began", self.truth.count("begin"));
        self.truth.check();
    }

    async fn report_is_ended(self) {
        self.acquire("first");
        assert!(self.exec("first").stdout(Stdio::null()).status().unwrap().success());
        let takes = Self::measure(self.rig.poolkeeper(&["report", "first", "Succeeded"]));
        let before = self.worker().await;
        let dispatches: Api<Dispatch> = Api::default_namespaced(self.rig.client().await);
        let (mut reported, mut not) = (0, 0);
        for (name, signal) in SIGNALS {
            for round in 0..self.rounds {
                let task = format!("{name}-{round}");
                self.acquire(&task);
                assert!(self.exec(&task).stdout(Stdio::null()).status().unwrap().success());
                let report = self.rig.poolkeeper(&["report", &task, "Succeeded"]);
                self.ended(report, takes, round, signal);
                let there = dispatches.get(&task).await.unwrap().spec.result.is_some();
                *(if there { &mut reported } else { &mut not }) += 1;
                // The holder starts again, and says it again.
                self.rig.run(&["report", &task, "Succeeded"]).exits(0);
                until("it is closed", || self.rig.run(&["wait", &task, "--timeout", "10s"]).code == 0);
            }
        }
        println!("{takes:?}; {reported} reported, {not} not");
        assert!(self.rounds < 10 || (reported > 0 && not > 0), "both must be seen");
        assert_eq!(self.worker().await, before, "no worker was lost");
        self.truth.check();
        assert!(self.truth.ends().values().all(|n| *n == 1), "{}", self.truth.said());
    }
}

#[tokio::test]
async fn exec_in_a_process_is_ended_at_any_moment() {
    Stage::new(None).await.exec_is_ended();
}

#[tokio::test]
async fn report_on_a_process_is_ended_at_any_moment() {
    Stage::new(None).await.report_is_ended().await;
}

#[tokio::test]
async fn exec_and_report_in_a_container_are_ended_at_any_moment() {
    let Some(engine) = Engine::up() else { return };
    Stage::new(Some(&engine)).await.exec_is_ended();
    Stage::new(Some(&engine)).await.report_is_ended().await;
}
