//! Carries out an election over a `coordination.k8s.io/v1` Lease, and runs a controller while it is won.
//!
//! The rules are in [`crate::core::election`]. The Lease is also where the installation's id is kept, in an annotation:
//! whoever makes the Lease, or finds it without, sets it, and it stays for ever.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::causes::with_causes;
use super::health::{Health, Standing};
use crate::api::names;
use crate::clock::{Clock, Ids};
use crate::core::Now;
use crate::core::election::{Candidate, Record, Step, Timing};

/// How long the end of a controller is waited for. What is under way then is dropped, as a crash would.
const END: Duration = Duration::from_secs(20);
/// Tries to release the Lease.
const RELEASES: usize = 3;

/// Who stands for election, and where.
#[derive(Clone)]
pub struct Election {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Of this candidate. Nobody else may have the same.
    pub identity: String,
    /// Its times.
    pub timing: Timing,
    /// False: the Lease is only asked for the installation's id, and the controller runs whoever else does.
    pub contested: bool,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The installation's id, if there is none yet.
    pub ids: Ids,
    /// Told how it goes.
    pub health: Health,
}

/// One time of leading.
pub struct Term {
    /// Id of the installation: what its instances are labelled with.
    pub installation: String,
    /// Cancelled when the term ends. Whoever leads has to end then.
    pub stop: CancellationToken,
}

impl fmt::Display for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Runs `begin` in each term that is won, until `stop` is cancelled or it returns by itself. Then the Lease is released.
///
/// # Errors
/// What `begin` returned.
pub async fn lead<F, Fut, E>(client: Client, election: Election, stop: CancellationToken, begin: F) -> Result<(), E>
where
    F: FnMut(Term) -> Fut,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Send + 'static,
{
    let api = Api::namespaced(client, &election.namespace);
    let candidate = Candidate::new(election.identity.clone(), election.timing);
    let elector = Elector { api, election, candidate, lease: None, installation: None, begin, term: None };
    elector.run(stop).await
}

/// Why a request brought nothing.
#[derive(thiserror::Error, Debug)]
enum Failure {
    /// The Lease is another version, or there is one already.
    #[error("somebody else wrote it")]
    Conflict,
    /// The Lease, or its namespace, is not there.
    #[error("{0}")]
    Gone(String),
    #[error("{0}")]
    Other(String),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            kube::Error::Api(status) if status.code == 404 => Self::Gone(status.message),
            kube::Error::Api(status) => Self::Other(status.message),
            error => Self::Other(with_causes(&error)),
        }
    }
}

/// A controller that runs.
struct Running<E> {
    stop: CancellationToken,
    handle: JoinHandle<Result<(), E>>,
}

struct Elector<F, E> {
    api: Api<Lease>,
    election: Election,
    candidate: Candidate,
    /// As last read or written, with its version.
    lease: Option<Lease>,
    /// Known once it stands in the Lease.
    installation: Option<String>,
    begin: F,
    term: Option<Running<E>>,
}

/// What a step came to.
enum Answer {
    Waited,
    Read(Result<Option<Lease>, Failure>),
    Wrote(Record, Result<Lease, Failure>),
}

/// What came first.
enum First<E> {
    Stop,
    Ended(Result<(), E>),
    Answer(Box<Answer>),
}

impl<F, Fut, E> Elector<F, E>
where
    F: FnMut(Term) -> Fut,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Send + 'static,
{
    async fn run(mut self, stop: CancellationToken) -> Result<(), E> {
        // Since when it is stopping. The Lease is renewed until the controller has ended.
        let mut stopping: Option<Duration> = None;
        let result = loop {
            let now = self.now();
            if stopping.is_some_and(|since| self.term.is_none() || now.mono >= since + END) {
                break Ok(());
            }
            let leads = self.leads(now);
            if !leads && self.term.is_some() {
                tracing::warn!(lease = %self.election, "the Lease is lost: the controller is stopped");
                if let Err(error) = self.end_term().await {
                    break Err(error);
                }
                continue;
            }
            if leads
                && self.term.is_none()
                && let Some(installation) = self.installation.clone()
            {
                self.begin_term(installation);
            }
            let step = self.step(now);
            match self.first(step, now, stopping.is_none().then_some(&stop)).await {
                First::Stop => {
                    tracing::info!("stopping");
                    stopping = Some(self.now().mono);
                    self.candidate.failed(now.mono);
                    if let Some(term) = &self.term {
                        term.stop.cancel();
                    }
                }
                First::Ended(result) => {
                    self.term = None;
                    self.candidate.failed(now.mono);
                    break result;
                }
                First::Answer(answer) => self.take(*answer, now.mono),
            }
        };
        let ended = self.end_term().await;
        self.release().await;
        result.and(ended)
    }

    fn begin_term(&mut self, installation: String) {
        let standing = if self.election.contested { Standing::Leader } else { Standing::Alone };
        tracing::info!(lease = %self.election, identity = self.election.identity, installation, "the controller starts");
        self.election.health.stands(standing);
        let stop = CancellationToken::new();
        let handle = tokio::spawn((self.begin)(Term { installation, stop: stop.clone() }));
        self.term = Some(Running { stop, handle });
    }
}

impl<F, E: Send + 'static> Elector<F, E> {
    fn now(&self) -> Now {
        Now::new(self.election.clock.now(), self.election.clock.mono())
    }

    fn leads(&self, now: Now) -> bool {
        !self.election.contested || self.candidate.leads(now.mono)
    }

    fn step(&mut self, now: Now) -> Step {
        if self.election.contested {
            return self.candidate.step(now);
        }
        match (&self.installation, &self.lease) {
            (Some(_), _) => Step::Wait(now.mono + Duration::from_secs(3600)),
            (None, _) if !self.candidate.is_current() => match self.candidate.step(now) {
                Step::Wait(until) => Step::Wait(until),
                _ => Step::Read,
            },
            (None, Some(lease)) => Step::Replace(record(lease)),
            (None, None) => Step::Create(Record::default()),
        }
    }

    /// Takes a step, unless a stop or the end of the term comes first. A request may then have had an effect.
    async fn first(&mut self, step: Step, now: Now, stop: Option<&CancellationToken>) -> First<E> {
        let (api, name) = (self.api.clone(), self.election.name.clone());
        let timing = &self.election.timing;
        // A holder must be able to try twice before its deadline.
        let left = self.candidate.deadline().map_or(Duration::MAX, |deadline| deadline.saturating_sub(now.mono));
        let limit = left.min(timing.renew_deadline / 2);
        let act = match step {
            Step::Wait(until) => {
                let pause = until.saturating_sub(now.mono);
                async move {
                    tokio::time::sleep(pause).await;
                    Answer::Waited
                }
                .boxed()
            }
            Step::Read => async move { Answer::Read(answered(limit, api.get_opt(&name)).await) }.boxed(),
            Step::Create(record) => {
                let lease = self.lease_with(None, &record);
                async move { Answer::Wrote(record, answered(limit, api.create(&PostParams::default(), &lease)).await) }
                    .boxed()
            }
            Step::Replace(record) => {
                let lease = self.lease_with(self.lease.clone(), &record);
                async move {
                    let params = PostParams::default();
                    let write = api.replace(&name, &params, &lease);
                    let gone = |failure| if matches!(failure, Failure::Gone(_)) { Failure::Conflict } else { failure };
                    Answer::Wrote(record, answered(limit, write).await.map_err(gone))
                }
                .boxed()
            }
        };
        let stopped = async {
            match stop {
                Some(stop) => stop.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let ended = async {
            match &mut self.term {
                Some(term) => outcome((&mut term.handle).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stopped => First::Stop,
            result = ended => First::Ended(result),
            answer = act => First::Answer(Box::new(answer)),
        }
    }

    /// `asked`: monotonic time just before the step.
    fn take(&mut self, answer: Answer, asked: Duration) {
        let now = self.now().mono;
        let failure = match answer {
            Answer::Waited => return,
            Answer::Read(Ok(lease)) => {
                self.candidate.saw(lease.as_ref().map(record), now);
                if !self.election.contested {
                    self.installation = lease.as_ref().and_then(installation);
                }
                self.lease = lease;
                None
            }
            Answer::Wrote(record, Ok(lease)) => {
                self.candidate.wrote(record, asked, now);
                self.installation = installation(&lease);
                self.lease = Some(lease);
                None
            }
            Answer::Wrote(_, Err(Failure::Conflict)) => {
                self.candidate.conflicted(now);
                None
            }
            Answer::Read(Err(failure)) | Answer::Wrote(_, Err(failure)) => {
                self.candidate.failed(now);
                Some(failure)
            }
        };
        self.tell(failure.map(|failure| failure.to_string()));
    }

    /// What people are told. A leader that cannot renew still leads.
    fn tell(&self, failure: Option<String>) {
        let health = &self.election.health;
        if let Some(why) = failure {
            let text = format!("the Lease {} cannot be had: {why}", self.election);
            if self.term.is_some() {
                tracing::warn!("{text}");
            } else if health.stands(Standing::Failing(text.clone())) {
                tracing::warn!("{text}; trying again");
            }
        } else if self.election.contested && !self.candidate.is_current() && self.term.is_none() {
            let holder = self.candidate.holder().map(str::to_owned);
            if health.stands(Standing::Standby(holder.clone())) {
                tracing::info!(lease = %self.election, holder, "standing by");
            }
        }
    }

    /// The Lease as it is to be: what is there, with this record, and with an installation's id.
    fn lease_with(&self, base: Option<Lease>, record: &Record) -> Lease {
        let mut lease = base.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.election.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        let annotations = lease.metadata.annotations.get_or_insert_default();
        // A Lease that was deleted under a running installation comes back with its id.
        let id = || self.installation.clone().unwrap_or_else(|| self.election.ids.uid());
        annotations.entry(names::INSTALLATION.to_owned()).or_insert_with(id);
        if *record != Record::default() {
            let spec = lease.spec.get_or_insert_default();
            spec.holder_identity = Some(record.holder.clone());
            spec.lease_duration_seconds = record.seconds;
            spec.acquire_time = record.acquired.map(MicroTime);
            spec.renew_time = record.renewed.map(MicroTime);
            spec.lease_transitions = Some(record.transitions);
        }
        lease
    }

    /// Stops the controller, if there is one, and waits for its end.
    async fn end_term(&mut self) -> Result<(), E> {
        let Some(mut term) = self.term.take() else { return Ok(()) };
        self.election.health.stands(Standing::Starting);
        term.stop.cancel();
        match timeout(END, &mut term.handle).await {
            Ok(joined) => outcome(joined),
            Err(_) => {
                tracing::warn!(
                    "what the controller had under way did not end within {}s: it is dropped",
                    END.as_secs()
                );
                term.handle.abort();
                let _ = term.handle.await;
                self.election.health.ended();
                Ok(())
            }
        }
    }

    /// Lets the next one take over at once. That it could not be said costs the others the rest of the Lease.
    async fn release(&mut self) {
        if !self.election.contested {
            return;
        }
        let limit = self.election.timing.retry;
        // A renewal that was given up for the stop may have its effect between the look and the write.
        for _ in 0..RELEASES {
            if !self.candidate.is_current() && self.candidate.deadline().is_some() {
                match answered(limit, self.api.get_opt(&self.election.name)).await {
                    Ok(lease) => {
                        self.candidate.saw(lease.as_ref().map(record), self.now().mono);
                        self.lease = lease;
                    }
                    Err(error) => tracing::warn!(lease = %self.election, %error, "the Lease is not released"),
                }
            }
            let Some(record) = self.candidate.release(self.now().wall) else { return };
            let lease = self.lease_with(self.lease.clone(), &record);
            match answered(limit, self.api.replace(&self.election.name, &PostParams::default(), &lease)).await {
                Ok(_) => return tracing::info!(lease = %self.election, "the Lease is released"),
                Err(Failure::Conflict) => self.candidate.failed(self.now().mono),
                Err(error) => return tracing::warn!(lease = %self.election, %error, "the Lease is not released"),
            }
        }
    }
}

/// How a task ended. One that panicked ends this process the same way.
fn outcome<T>(joined: Result<T, tokio::task::JoinError>) -> T {
    match joined {
        Ok(result) => result,
        // It is aborted in one place only, which does not ask.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn answered<T>(limit: Duration, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match timeout(limit, request).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_) => Err(Failure::Other(format!("no answer within {}s", limit.as_secs_f64()))),
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        seconds: spec.lease_duration_seconds,
        acquired: spec.acquire_time.map(|t| t.0),
        renewed: spec.renew_time.map(|t| t.0),
        transitions: spec.lease_transitions.unwrap_or(0),
    }
}

fn installation(lease: &Lease) -> Option<String> {
    let id = lease.metadata.annotations.as_ref()?.get(names::INSTALLATION)?;
    (!id.is_empty()).then(|| id.clone())
}
