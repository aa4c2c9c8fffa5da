//! Orders to runtimes, and the observations that they report by themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;

use super::health::Health;
use crate::api::RuntimeKind;
use crate::core::{HostKey, Input, RuntimeFact, RuntimeOrder};
use crate::runtime::{Observation, Runtime, RuntimeError, StartError};

/// The name of the watch on Pods in the probes.
const POD: &str = "Pod";

/// The runtimes of a controller, by kind.
pub(super) type Runtimes = BTreeMap<RuntimeKind, Arc<dyn Runtime>>;

/// Observes every host of every runtime.
pub(super) fn observe(runtimes: &Runtimes, health: &Health) -> Vec<BoxStream<'static, Input>> {
    let mut streams = Vec::new();
    for (kind, runtime) in runtimes {
        for name in runtime.hosts() {
            let host = HostKey { runtime: *kind, host: name.clone() };
            streams.push(follow(host, runtime.observe(&name), health));
        }
    }
    streams
}

/// Observes one host. Without the watch on Pods nothing works, so the probes report it like the watches on the three kinds.
/// They do not report a Docker Engine, which may be one host of several.
fn follow(host: HostKey, observations: BoxStream<'static, Observation>, health: &Health) -> BoxStream<'static, Input> {
    let watched = (host.runtime == RuntimeKind::Pod).then(|| health.clone());
    if let Some(health) = &watched {
        health.follows(POD);
    }
    let inputs = observations.map(move |observation| {
        if let Some(health) = &watched {
            report(health, &observation);
        }
        Input::Runtime(RuntimeFact::Observed(host.clone(), observation))
    });
    inputs.boxed()
}

fn report(health: &Health, observation: &Observation) {
    match observation {
        Observation::Listed(_) => {
            if health.listed(POD) {
                tracing::info!(kind = POD, "all is listed again");
            }
        }
        Observation::Unreachable(why) => {
            if health.failed(POD, false, why.clone()) {
                tracing::warn!(kind = POD, error = why, "a watch failed; it is started again");
            }
        }
        Observation::Changed(_) | Observation::Gone(_) => {}
    }
}

/// Carries out one order, and returns its result.
pub(super) async fn carry_out(runtimes: Runtimes, order: RuntimeOrder) -> Input {
    let missing = |host: &HostKey| format!("this controller has no runtime {}", host.runtime);
    let fact = match order {
        RuntimeOrder::Start(host, spec) => {
            let key = spec.key.clone();
            match runtimes.get(&host.runtime) {
                Some(runtime) => RuntimeFact::Started(key, runtime.start(&spec).await),
                None => RuntimeFact::Started(key, Err(StartError::Refused(missing(&host)))),
            }
        }
        RuntimeOrder::Stop(host, key) => match runtimes.get(&host.runtime) {
            Some(runtime) => {
                let result = runtime.stop(&host.host, &key).await;
                RuntimeFact::Stopped(key, result)
            }
            None => RuntimeFact::Stopped(key, Err(RuntimeError::Refused(missing(&host)))),
        },
        RuntimeOrder::SetPaused(host, key, paused, limit) => match runtimes.get(&host.runtime) {
            Some(runtime) => {
                let answer = tokio::time::timeout(limit, runtime.set_paused(&host.host, &key, paused)).await;
                RuntimeFact::PausedSet(key, paused, answer.unwrap_or_else(|_| late(limit)))
            }
            None => RuntimeFact::PausedSet(key, paused, Err(RuntimeError::Refused(missing(&host)))),
        },
        RuntimeOrder::Check(host, key, limit) => match runtimes.get(&host.runtime) {
            Some(runtime) => {
                let answer = tokio::time::timeout(limit, runtime.check(&host.host, &key)).await;
                RuntimeFact::Checked(key, answer.unwrap_or_else(|_| late(limit)))
            }
            None => RuntimeFact::Checked(key, Err(RuntimeError::Refused(missing(&host)))),
        },
    };
    Input::Runtime(fact)
}

fn late<T>(limit: Duration) -> Result<T, RuntimeError> {
    Err(RuntimeError::Unreachable(format!("no answer within {}s", limit.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;
    use crate::controller::health::Standing;

    fn observed(kind: RuntimeKind, health: &Health) -> BoxStream<'static, Input> {
        let (listed, lost) = (Observation::Listed(Vec::new()), Observation::Unreachable("forbidden".to_owned()));
        health.stands(Standing::Leader);
        let host = HostKey { runtime: kind, host: "local".to_owned() };
        follow(host, stream::iter([listed.clone(), lost, listed]).boxed(), health)
    }

    #[tokio::test]
    async fn without_the_watch_on_pods_the_controller_is_not_ready() {
        let health = Health::default();
        let mut inputs = observed(RuntimeKind::Pod, &health);
        assert_eq!(health.ready().unwrap_err(), "Pod: the first list is under way");
        inputs.next().await;
        assert_eq!(health.ready().unwrap(), "leader");
        inputs.next().await;
        assert_eq!(health.ready().unwrap_err(), "the watch on Pod is lost: forbidden");
        inputs.next().await;
        assert_eq!(health.ready().unwrap(), "leader");
    }

    /// It may be one host of several, and the controller has to serve the others.
    #[tokio::test]
    async fn an_unreachable_engine_leaves_the_controller_ready() {
        let health = Health::default();
        let mut inputs = observed(RuntimeKind::Docker, &health);
        health.follows("Worker");
        health.listed("Worker");
        for _ in 0..3 {
            assert_eq!(health.ready().unwrap(), "leader");
            inputs.next().await;
        }
    }
}
