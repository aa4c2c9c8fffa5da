//! Following one engine: a listing, its changes as they happen, a listing again every 30 s.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as Listed, EventMessage};
use bollard::query_parameters::EventsOptionsBuilder;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::engine_error::EngineError;
use super::host::Host;
use super::instance::{self, Labels};
use crate::api::names;
use crate::runtime::{Instance, InstanceState, Observation};

/// Time between two listings. They find what no event reported, and that a remote engine is no longer there.
const RELIST: Duration = Duration::from_secs(30);
/// First pause before a reconnect; doubles to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_millis(100);
/// Longest pause before a reconnect.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Containers looked at in parallel.
const LOOKS: usize = 8;
/// Events after which a container is looked at.
const CHANGES: [&str; 6] = ["start", "die", "oom", "pause", "unpause", "health_status"];
/// What a listing says of a container that takes no task because of its HEALTHCHECK.
const NOT_HEALTHY: [&str; 2] = ["(unhealthy)", "(health: starting)"];
/// The event after which there is nothing to look at.
const DESTROY: &str = "destroy";

type Events = BoxStream<'static, Result<EventMessage, Error>>;
/// What is known of each container, by id: a listing asks only about what is new.
type Seen = BTreeMap<String, Instance>;

/// Follows `host`, endlessly. See [`crate::runtime::Runtime::observe`].
pub(super) fn observe(host: Arc<Host>, installation: String) -> BoxStream<'static, Observation> {
    Box::pin(async_stream::stream! {
        let mut backoff = MIN_BACKOFF;
        let mut said = None;
        loop {
            let lost = 'session: {
                let mut session = match Session::open(&host, &installation).await {
                    Ok(session) => session,
                    Err(error) => break 'session error,
                };
                loop {
                    let next = match session.next().await {
                        Ok(next) => next,
                        Err(error) => break 'session error,
                    };
                    if matches!(next, Observation::Listed(_)) {
                        (backoff, said) = (MIN_BACKOFF, None);
                    }
                    yield next;
                }
            }
            .to_string();
            if said.as_ref() != Some(&lost) {
                yield Observation::Unreachable(lost.clone());
                said = Some(lost);
            }
            tokio::time::sleep(backoff).await;
            backoff = (2 * backoff).min(MAX_BACKOFF);
        }
    })
}

/// One unbroken stream of events, and what follows from it.
struct Session<'a> {
    host: &'a Host,
    docker: Docker,
    installation: String,
    events: Events,
    /// Events that came while something else was waited for.
    early: VecDeque<EventMessage>,
    seen: Seen,
    relist: std::pin::Pin<Box<tokio::time::Sleep>>,
}

impl<'a> Session<'a> {
    async fn open(host: &'a Host, installation: &str) -> Result<Self, EngineError> {
        let docker = host.redial().await?;
        // The engine answers before it has subscribed us. So that nothing is lost in between, it is asked for all
        // events since a moment before the first listing, by its own clock.
        let since = docker.info().await.map_err(|e| host.error(&e))?.system_time;
        let since = since.as_deref().and_then(|time| time.parse::<jiff::Timestamp>().ok()).ok_or_else(|| {
            EngineError::NoAnswer(format!("the Docker Engine at {} does not report its time", host.endpoint))
        })?;
        let actions = CHANGES.iter().chain([&DESTROY]).map(|action| (*action).to_owned()).collect();
        let filters = [
            ("type".to_owned(), vec!["container".to_owned()]),
            ("event".to_owned(), actions),
            ("label".to_owned(), vec![format!("{}={installation}", names::INSTALLATION)]),
        ];
        let options = EventsOptionsBuilder::default()
            .since(&format!("{}.{:09}", since.as_second(), since.subsec_nanosecond()))
            .filters(&filters.into_iter().collect())
            .build();
        let events = {
            let docker = docker.clone();
            // The request borrows the client, so the client goes with it.
            async_stream::stream! {
                let mut events = docker.events(Some(options)).boxed();
                while let Some(event) = events.next().await {
                    yield event;
                }
            }
            .boxed()
        };
        Ok(Self {
            host,
            docker,
            installation: installation.to_owned(),
            events,
            early: VecDeque::new(),
            seen: Seen::new(),
            relist: Box::pin(tokio::time::sleep(Duration::ZERO)),
        })
    }

    /// The next observation. `Err`: the session is over.
    async fn next(&mut self) -> Result<Observation, EngineError> {
        loop {
            let event = match self.early.pop_front() {
                Some(event) => event,
                None => tokio::select! {
                    biased;
                    () = &mut self.relist => return self.list().await,
                    () = self.host.doubted.notified() => return self.list().await,
                    event = self.events.next() => heard(self.host, event)?,
                },
            };
            if let Some(observation) = self.follow(event).await? {
                return Ok(observation);
            }
        }
    }

    async fn list(&mut self) -> Result<Observation, EngineError> {
        let listing = listing(self.host, &self.docker, &self.installation, &self.seen);
        let listed = while_hearing(self.host, &mut self.events, &mut self.early, listing).await??;
        self.seen = listed.iter().map(|instance| (instance.handle.id.clone(), instance.clone())).collect();
        self.relist = Box::pin(tokio::time::sleep(RELIST));
        Ok(Observation::Listed(listed))
    }

    /// What an event means. The container is looked at rather than the event believed: it may be old.
    async fn follow(&mut self, event: EventMessage) -> Result<Option<Observation>, EngineError> {
        let Some(actor) = event.actor else { return Ok(None) };
        let labels: Labels = actor.attributes.unwrap_or_default();
        let (Some(id), Some(key)) = (actor.id, instance::key(&labels)) else { return Ok(None) };
        if event.action.as_deref() == Some(DESTROY) {
            self.seen.remove(&id);
            return Ok(Some(Observation::Gone(key)));
        }
        let look = instance::look(self.host, &self.docker, &id);
        Ok(match while_hearing(self.host, &mut self.events, &mut self.early, look).await?? {
            Some(instance) => {
                self.seen.insert(id, instance.clone());
                Some(Observation::Changed(instance))
            }
            // Its `destroy` follows.
            None => None,
        })
    }
}

/// Waits for `work` and keeps what is heard meanwhile. A stream that breaks ends the wait: the engine may hang.
async fn while_hearing<T>(
    host: &Host,
    events: &mut Events,
    early: &mut VecDeque<EventMessage>,
    work: impl Future<Output = T>,
) -> Result<T, EngineError> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            event = events.next() => early.push_back(heard(host, event)?),
        }
    }
}

fn heard(host: &Host, event: Option<Result<EventMessage, Error>>) -> Result<EventMessage, EngineError> {
    match event {
        Some(Ok(event)) => Ok(event),
        Some(Err(e)) => Err(host.error(&e)),
        None => Err(EngineError::NoAnswer(format!(
            "the Docker Engine at {} (host {}) closed the connection",
            host.endpoint, host.name
        ))),
    }
}

/// All instances of the installation, sorted by key.
async fn listing(host: &Host, docker: &Docker, installation: &str, seen: &Seen) -> Result<Vec<Instance>, EngineError> {
    let found = instance::list(host, docker, &[format!("{}={installation}", names::INSTALLATION)]).await?;
    let looks = found.into_iter().map(|container| async move {
        let id = container.id.clone().unwrap_or_default();
        match seen.get(&id).filter(|known| is_still(known, &container)) {
            Some(known) => Ok(Some(known.clone())),
            None => instance::look(host, docker, &id).await,
        }
    });
    let looked: Vec<Option<Instance>> = stream::iter(looks).buffered(LOOKS).try_collect().await?;
    host.confirm(docker).await?;
    let mut instances: Vec<Instance> = looked.into_iter().flatten().collect();
    instances.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(instances)
}

/// True if the listing agrees with what is known. A restart in between would have been heard of.
fn is_still(known: &Instance, listed: &ContainerSummary) -> bool {
    match known.state {
        InstanceState::Starting | InstanceState::NotReady { .. } | InstanceState::Leaving(_) => false,
        InstanceState::Running => {
            let says = listed.status.as_deref().unwrap_or_default();
            listed.state == Some(Listed::RUNNING) && !NOT_HEALTHY.iter().any(|words| says.contains(words))
        }
        InstanceState::Paused => listed.state == Some(Listed::PAUSED),
        InstanceState::Exited(_) => listed.state == Some(Listed::EXITED),
    }
}
