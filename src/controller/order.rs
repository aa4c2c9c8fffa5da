//! What runtimes are asked, and what they tell by themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;

use crate::api::RuntimeKind;
use crate::core::{Event, HostKey, RuntimeFact, RuntimeOrder};
use crate::runtime::{Runtime, RuntimeError, StartError};

/// The runtimes of a controller, by kind.
pub(super) type Runtimes = BTreeMap<RuntimeKind, Arc<dyn Runtime>>;

/// Follows every host of every runtime.
pub(super) fn observe(runtimes: &Runtimes) -> Vec<BoxStream<'static, Event>> {
    let mut streams = Vec::new();
    for (kind, runtime) in runtimes {
        for name in runtime.hosts() {
            let host = HostKey { runtime: *kind, host: name.clone() };
            let events = runtime.observe(&name);
            streams.push(events.map(move |o| Event::Runtime(RuntimeFact::Observed(host.clone(), o))).boxed());
        }
    }
    streams
}

/// Carries out one order.
pub(super) async fn carry_out(runtimes: Runtimes, order: RuntimeOrder) -> Event {
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
        RuntimeOrder::Check(host, key, limit) => match runtimes.get(&host.runtime) {
            Some(runtime) => {
                let answer = tokio::time::timeout(limit, runtime.check(&host.host, &key)).await;
                let late = || Err(RuntimeError::Unreachable(format!("no answer within {}s", limit.as_secs_f64())));
                RuntimeFact::Checked(key, answer.unwrap_or_else(|_| late()))
            }
            None => RuntimeFact::Checked(key, Err(RuntimeError::Refused(missing(&host)))),
        },
    };
    Event::Runtime(fact)
}
