//! An engine that does not answer for a while, and connections to it that are cut, in the midst of batches.
use std::time::{Duration, Instant};

use kube::Api;
use kube::api::PostParams;
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::{Rig, until};
use rustix::process::Signal;

use crate::engine::Engine;
use crate::proxy::Proxy;
use crate::supervisor::{Batch, Supervisor, dispatches, judge};
use crate::swapped::pool;
use crate::{PROGRAM, number};
use poolkeeper_testkit::truth::Truth;

/// Tasks of the server, and as many of the run.
const TASKS: usize = 12;

/// A server and a `run --local` on one engine, both at work.
struct Day<'a> {
    engine: &'a Engine,
    rig: Rig,
    truth: Truth,
    proxy: Proxy,
    supervisor: Supervisor,
    batch: Batch,
}

impl<'a> Day<'a> {
    async fn begin(engine: &'a Engine) -> Self {
        let rig = Rig::with_docker(PROGRAM);
        // A second. A few take longer than the end of a stream is waited for that was cut.
        let enough = "case $name in *-4) test $n -ge 300;; *) test $n -ge 20;; esac";
        let truth = Truth::new(&rig.file("truth"), enough);
        let proxy = Proxy::new(rig.file("docker.sock"), engine.socket());
        rig.local(&["up", "--docker-host", &proxy.address()]).exits(0);
        let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
        pools.create(&PostParams::default(), &pool("boxes", &truth)).await.unwrap();
        let supervisor = Supervisor::start(&rig, "boxes", 3, &truth, &truth.tasks("job", TASKS));
        let batch = Batch::start(&rig, "batch", &proxy.address(), &truth, &truth.tasks("line", TASKS));
        until("all workers work", || truth.count("begin job") >= 2 && truth.count("begin line") >= 2);
        Self { engine, rig, truth, proxy, supervisor, batch }
    }

    /// Every task succeeds, none runs twice at a time, and nothing is left.
    async fn end(self) {
        let said = self.batch.finish(&self.rig, "batch");
        self.supervisor.finish(&self.rig, "boxes");
        let unknown = judge(&self.truth, &dispatches(&self.rig).await, TASKS);
        let ends = self.truth.ends();
        let lines = ends.iter().filter(|(task, _)| task.starts_with("line-")).count();
        assert_eq!(lines, TASKS, "{said}{}", self.truth.said());
        let again = ends.values().sum::<usize>() - ends.len();
        println!("{again} of {} tasks ran to their end again; of the server: {unknown:?}", ends.len());
        assert_eq!(unknown.worker_lost, 0);
        self.rig.local(&["down", "--force"]).exits(0);
        assert_eq!(self.engine.containers(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_engine_is_frozen_and_goes_on() {
    let Some(engine) = Engine::up() else { return };
    let day = Day::begin(&engine).await;
    engine.signal(Signal::STOP);
    // This is what is tested: time without an answer.
    std::thread::sleep(Duration::from_secs(number("POOLKEEPER_FROZEN", 5)));
    engine.signal(Signal::CONT);
    day.end().await;
}

#[tokio::test]
async fn connections_to_the_engine_are_cut_in_the_midst_of_batches() {
    let Some(engine) = Engine::up() else { return };
    let day = Day::begin(&engine).await;
    for cut in 0..number("POOLKEEPER_CUTS", 3) {
        let (begun, start) = (day.truth.count("begin"), Instant::now());
        day.proxy.cut();
        println!("cut {cut} after {begun} begins");
        // Some more work, unless all of it is waited for.
        let limit = Duration::from_secs(5);
        until("work goes on", || day.truth.count("begin") >= begun + 3 || start.elapsed() > limit);
    }
    day.end().await;
}
