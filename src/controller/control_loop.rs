//! The loop: it applies inputs to the core, and starts the actions that the core decides.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::FutureExt;
use futures::stream::{BoxStream, SelectAll};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::Api;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::changed::ChangedCredentials;
use super::events::Recorder;
use super::log::Log;
use super::metrics::{Answer, Milestone, words};
use super::options::Options;
use super::orders::{self, Runtimes};
use super::work_queue::WorkQueue;
use super::{watch, writes};
use crate::api::dispatch::Target;
use crate::core::{Action, Config, Core, HostKey, Input, LeaseFact, Now, ObjectKey, Verb};
use crate::runtime::Instance;

/// Requests to the API server at a time. More would not make it faster (`docs/performance.md`).
const WRITES: usize = 32;
/// Reads of Leases at a time, in addition to those.
const LEASE_READS: usize = 8;
/// The longest wait before the next try to read a Lease.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the loop waits for runtimes at its end. The next leader starts only after that.
const ORDERS_AT_END: Duration = Duration::from_secs(1);
/// Inputs applied before the core decides: what happened together is decided together.
const BATCH: usize = 256;

pub(super) struct ControlLoop {
    client: Client,
    options: Options,
    runtimes: Runtimes,
    core: Core,
    inputs: SelectAll<BoxStream<'static, Input>>,
    writes: WorkQueue,
    /// Reads of Leases. They are retried without end, so they need a queue of their own: a write must not wait for them.
    lease_reads: WorkQueue,
    lease_turns: Arc<Semaphore>,
    orders: WorkQueue,
    log: Log,
    recorder: Recorder,
}

impl ControlLoop {
    pub fn new(client: Client, options: Options) -> Self {
        let runtimes: Runtimes = options.runtimes.iter().map(|r| (r.kind(), r.clone())).collect();
        let targets = runtimes.clone();
        let config = Config {
            default_runtime: options.runtimes.first().map_or(crate::api::RuntimeKind::Process, |r| r.kind()),
            runtimes: options.runtimes.iter().map(|r| r.kind()).collect(),
            hosts: options.runtimes.iter().map(|r| (r.kind(), r.hosts())).collect(),
            rollup_interval: options.rollup_interval,
            local_credentials: options.local_credentials,
            standing_down: options.standing_down,
            check_pattern: options.check_pattern,
            target: Arc::new(move |host: &HostKey, instance: &Instance| match targets.get(&host.runtime) {
                Some(runtime) => runtime.target(instance),
                // Instances are only ever observed by a runtime that exists.
                None => {
                    Target { runtime: host.runtime, host: None, id: String::new(), argv: Vec::new(), endpoint: None }
                }
            }),
        };
        let orders = options.runtimes.iter().map(|r| r.parallel()).max().unwrap_or(1);
        let ns = options.namespace.as_deref();
        let mut inputs = SelectAll::new();
        inputs.push(watch::watch(client.clone(), ns, &options.health, Input::Pool));
        inputs.push(watch::watch(client.clone(), ns, &options.health, Input::Worker));
        inputs.push(watch::watch(client.clone(), ns, &options.health, Input::Dispatch));
        for stream in orders::observe(&runtimes, &options.health) {
            inputs.push(stream);
        }
        inputs.extend(options.changed_credentials.clone().map(ChangedCredentials::inputs));
        Self {
            client,
            options,
            runtimes,
            core: Core::new(config),
            inputs,
            writes: WorkQueue::new(WRITES),
            lease_reads: WorkQueue::new(usize::MAX),
            lease_turns: Arc::new(Semaphore::new(LEASE_READS)),
            orders: WorkQueue::new(orders),
            log: Log::default(),
            recorder: Recorder::default(),
        }
    }

    pub async fn run(mut self, stop: CancellationToken) {
        let mut questions = self.options.metrics.begin_loop();
        loop {
            let now = self.now();
            self.options.health.beat(now.mono);
            for action in self.core.decide(now) {
                self.start(action);
            }
            let pause = self.pause(now);
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(question) = questions.recv() => {
                    // The reader of the metrics may be gone.
                    let _ = question.send(self.answer(now));
                    None
                }
                input = self.writes.next() => input,
                input = self.orders.next() => input,
                input = self.lease_reads.next() => input,
                input = self.inputs.next() => input,
                () = tokio::time::sleep(pause) => Some(Input::Tick),
            };
            let now = self.now();
            self.take(first, now);
            for _ in 0..BATCH {
                let ready = self.writes.next().now_or_never().or_else(|| self.orders.next().now_or_never());
                let ready = ready.or_else(|| self.lease_reads.next().now_or_never());
                let Some(input) = ready.or_else(|| self.inputs.next().now_or_never()) else { break };
                self.take(input, now);
            }
        }
        self.options.health.ended();
        // A write that was sent will take effect, so wait for its end. An order can take as long as the pull of an image;
        // the next leader gives it again.
        let orders = tokio::time::timeout(ORDERS_AT_END, self.orders.finish());
        let ((), _) = futures::join!(self.writes.finish(), orders);
    }

    fn answer(&self, now: Now) -> Answer {
        let own = [("events", self.recorder.len()), ("log", self.log.len())];
        Answer {
            pools: self.core.census(now),
            writes: self.writes.len(),
            orders: self.orders.len(),
            tables: self.core.sizes().into_iter().chain(own).collect(),
        }
    }

    fn now(&self) -> Now {
        Now::new(self.options.clock.now(), self.options.clock.mono())
    }

    fn take(&mut self, input: Option<Input>, now: Now) {
        if let Some(input) = input {
            tracing::trace!(?input, "seen");
            self.options.metrics.took(&input);
            self.log.sees(&input, |key| self.core.worker(key));
            self.core.apply(input, now);
        }
    }

    /// How long to wait for an input before the core has something to do by itself.
    fn pause(&self, now: Now) -> Duration {
        let (wall, mono) = self.core.next_wake();
        let wall = wall.map(|t| Duration::try_from(t.duration_since(now.wall)).unwrap_or(Duration::ZERO));
        let mono = mono.map(|t| t.saturating_sub(now.mono));
        [wall, mono].into_iter().flatten().fold(self.options.look_again, Duration::min)
    }

    fn start(&mut self, action: Action) {
        tracing::trace!(?action, "do");
        self.log.begins(&action);
        let client = self.client.clone();
        let (counts, clock) = (self.options.metrics.clone(), self.options.clock.clone());
        match action {
            Action::Write(subject, verb) => {
                let (labels, urgent) = (words::request(&verb), verb.assigns());
                let milestone = match &verb {
                    Verb::DispatchStatus(base, next) => {
                        Milestone::of(base, next, self.core.waiting_since(&ObjectKey::of(&**base)))
                    }
                    _ => None,
                };
                let work = async move {
                    let start = clock.mono();
                    let settled = writes::carry_out(client, verb).await;
                    counts.wrote(labels, words::result(&settled), clock.mono().saturating_sub(start));
                    if let Some(milestone) = milestone {
                        counts.reached(&milestone, &settled, &*clock);
                    }
                    Some(Input::Settled(subject, settled))
                };
                // A dispatch waits for these. They cannot displace the others for long: without those no worker becomes free.
                if urgent {
                    self.writes.push_urgent(work.boxed());
                } else {
                    self.writes.push(work.boxed());
                }
            }
            Action::Runtime(order) => {
                let runtimes = self.runtimes.clone();
                let labels = words::operation(&order);
                let work = async move {
                    let start = clock.mono();
                    let input = orders::carry_out(runtimes, order).await;
                    counts.ran(labels, words::answer(&input), clock.mono().saturating_sub(start));
                    Some(input)
                };
                self.orders.push(work.boxed());
            }
            Action::GetLease(key) => self.lease_reads.push(get_lease(client, self.lease_turns.clone(), key).boxed()),
            Action::Record(event) => {
                let recorded = self.recorder.record(client, self.options.ids.clone(), event, clock.mono());
                let work = async move {
                    let start = clock.mono();
                    let result = if recorded.await { "done" } else { "failed" };
                    counts.wrote(("Event", "create"), result, clock.mono().saturating_sub(start));
                    None
                };
                self.writes.push(work.boxed());
            }
        }
    }
}

/// Reads a Lease. Retries until the API server answers whether it exists.
async fn get_lease(client: Client, turns: Arc<Semaphore>, key: ObjectKey) -> Option<Input> {
    let api: Api<Lease> = Api::namespaced(client, &key.namespace);
    let mut pause = Duration::from_secs(1);
    let found = loop {
        let turn = turns.acquire().await;
        let answer = tokio::time::timeout(Duration::from_secs(10), api.get_opt(&key.name)).await;
        drop(turn);
        if let Ok(Ok(found)) = answer {
            break found;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    };
    let spec = found.and_then(|l| l.spec);
    let stamp = spec.as_ref().map(|s| format!("{:?} {:?}", s.renew_time, s.holder_identity));
    let seconds = spec.and_then(|s| s.lease_duration_seconds);
    // A real API server refuses a Lease of 0 s. It would be read again without a pause.
    let duration = seconds.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0).map(Duration::from_secs);
    Some(Input::Lease(key, LeaseFact { stamp, duration }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Ids, SystemClock};

    /// A dispatch may name any Lease, even in a namespace in which the controller may not read Leases.
    #[tokio::test(start_paused = true)]
    async fn leases_that_cannot_be_read_delay_no_write_and_no_stop() {
        let answer = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            let forbidden =
                r#"{"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403}"#;
            let body = kube::client::Body::from(forbidden.as_bytes().to_vec());
            http::Response::builder().status(403).body(body)
        });
        let options = Options::new(Vec::new(), Arc::new(SystemClock::new()), Ids::random());
        let mut control_loop = ControlLoop::new(Client::new(answer, "n"), options);
        for n in 0..2 * WRITES {
            control_loop.start(Action::GetLease(ObjectKey::new("n", format!("lease-{n}"))));
        }
        assert_eq!(control_loop.writes.len(), (0, 0), "they are in the way of writes");
        let stop = CancellationToken::new();
        let ends = control_loop.run(stop.clone());
        tokio::pin!(ends);
        assert!(tokio::time::timeout(Duration::from_secs(60), &mut ends).await.is_err());
        stop.cancel();
        assert!(tokio::time::timeout(Duration::from_secs(60), ends).await.is_ok(), "it cannot be stopped");
    }
}
