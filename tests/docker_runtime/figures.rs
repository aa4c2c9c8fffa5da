//! How long things take. Measures, and asserts nothing: `cargo test --test docker_runtime figures -- --ignored`.

use std::io::Write;
use std::time::Duration;

use poolkeeper::clock::{Clock, SystemClock};
use poolkeeper::runtime::exec::Task;
use poolkeeper::runtime::{LOCAL_HOST, Runtime};

use crate::fixture::{Fixture, words};

const ROUNDS: usize = 20;

#[tokio::test]
#[ignore = "measures"]
async fn start_exec_and_stop() {
    let Some(fx) = Fixture::new().await else { return };
    let clock = SystemClock::new();
    let mut taken: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let t0 = clock.mono();
        let (instance, target) = fx.worker().await;
        let t1 = clock.mono();
        fx.exec(&target, Task { argv: words(&["true"]), ..Task::default() }).await.unwrap().text();
        let t2 = clock.mono();
        fx.runtime.check(LOCAL_HOST, &instance.key).await.unwrap();
        let t3 = clock.mono();
        fx.runtime.stop(LOCAL_HOST, &instance.key).await.unwrap();
        for (list, time) in taken.iter_mut().zip([
            t1.checked_sub(t0).unwrap(),
            t2.checked_sub(t1).unwrap(),
            t3.checked_sub(t2).unwrap(),
            clock.mono().checked_sub(t3).unwrap(),
        ]) {
            list.push(time);
        }
    }
    for (what, mut times) in ["start", "exec true", "check", "stop"].into_iter().zip(taken) {
        times.sort();
        let (half, most) = (times[ROUNDS / 2].as_millis(), times[ROUNDS - 1].as_millis());
        writeln!(std::io::stderr(), "{what}: p50 {half} ms, max {most} ms of {ROUNDS}").unwrap();
    }
}
