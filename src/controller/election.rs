//! Carries out an election over a `coordination.k8s.io/v1` Lease, and runs a controller while it is won.
//!
//! The rules are in [`crate::core::election`]. An annotation of the Lease also holds the installation's id. The process that
//! creates the Lease, or finds it without an id, sets it, and it never changes.

mod lease;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::lease::LeaseError;
use super::health::{Health, Standing};
use crate::clock::{Clock, Ids};
use crate::core::Now;
use crate::core::election::{Candidate, Record, Step, Timing};

/// How long a controller may take to end. Requests that are under way then are dropped, as in a crash.
const END: Duration = Duration::from_secs(20);
/// How often it tries to release the Lease.
const RELEASES: usize = 3;

/// A candidate, and the Lease that it competes for.
#[derive(Clone)]
pub struct Election {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// The identity of this candidate. No other may have the same.
    pub identity: String,
    /// The times of the election.
    pub timing: Timing,
    /// False: the Lease only gives the installation's id, and the controller runs even if others do.
    pub contested: bool,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// Makes the installation's id, if there is none yet.
    pub ids: Ids,
    /// Gets the result, for the probes.
    pub health: Health,
}

/// One period of leading.
pub struct Term {
    /// The id of the installation, which is a label of its instances.
    pub installation: String,
    /// Cancelled when the term ends. The controller must stop then.
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

/// A running controller.
struct Running<E> {
    stop: CancellationToken,
    handle: JoinHandle<Result<(), E>>,
}

struct Elector<F, E> {
    api: Api<Lease>,
    election: Election,
    candidate: Candidate,
    /// The Lease as last read or written, with its version.
    lease: Option<Lease>,
    /// Known once the Lease has it.
    installation: Option<String>,
    begin: F,
    term: Option<Running<E>>,
}

/// The result of a step.
enum Answer {
    Waited,
    Read(Result<Option<Lease>, LeaseError>),
    Wrote(Record, Result<Lease, LeaseError>),
}

/// The first of three possible ends of a step.
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
        // The time of the stop. The Lease is renewed until the controller has ended.
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
            (None, Some(lease)) => Step::Replace(lease::record(lease)),
            (None, None) => Step::Create(Record::default()),
        }
    }

    /// Takes a step, unless a stop or the end of the term comes first. Its request may have taken effect even then.
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
            Step::Read => async move { Answer::Read(lease::answered(limit, api.get_opt(&name)).await) }.boxed(),
            Step::Create(record) => {
                let lease = self.lease_with(None, &record);
                async move {
                    Answer::Wrote(record, lease::answered(limit, api.create(&PostParams::default(), &lease)).await)
                }
                .boxed()
            }
            Step::Replace(record) => {
                let lease = self.lease_with(self.lease.clone(), &record);
                async move {
                    let params = PostParams::default();
                    let write = api.replace(&name, &params, &lease);
                    let gone =
                        |failure| if matches!(failure, LeaseError::Gone(_)) { LeaseError::Conflict } else { failure };
                    Answer::Wrote(record, lease::answered(limit, write).await.map_err(gone))
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

    /// Takes in the result of a step. `asked`: monotonic time just before the step.
    fn take(&mut self, answer: Answer, asked: Duration) {
        let now = self.now().mono;
        let failure = match answer {
            Answer::Waited => return,
            Answer::Read(Ok(lease)) => {
                self.candidate.saw(lease.as_ref().map(lease::record), now);
                if !self.election.contested {
                    self.installation = lease.as_ref().and_then(lease::installation);
                }
                self.lease = lease;
                None
            }
            Answer::Wrote(record, Ok(lease)) => {
                self.candidate.wrote(record, asked, now);
                self.installation = lease::installation(&lease);
                self.lease = Some(lease);
                None
            }
            Answer::Wrote(_, Err(LeaseError::Conflict)) => {
                self.candidate.conflicted(now);
                None
            }
            Answer::Read(Err(failure)) | Answer::Wrote(_, Err(failure)) => {
                self.candidate.failed(now);
                Some(failure)
            }
        };
        self.report(failure.map(|failure| failure.to_string()));
    }

    /// Logs a change, and reports it to the probes. A leader that cannot renew the Lease still leads.
    fn report(&self, failure: Option<String>) {
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

    /// The Lease with this record, and with the installation's id.
    fn lease_with(&self, base: Option<Lease>, record: &Record) -> Lease {
        // A Lease that was deleted under a running installation gets its id again.
        let id = || self.installation.clone().unwrap_or_else(|| self.election.ids.uid());
        lease::with(base, &self.election.name, record, id)
    }

    /// Stops the controller, if one runs, and waits for its end.
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

    /// Releases the Lease so that another process can lead at once. If that fails, the others wait until it expires.
    async fn release(&mut self) {
        if !self.election.contested {
            return;
        }
        let limit = self.election.timing.retry;
        // A renewal that was abandoned for the stop may take effect between the read and the write.
        for _ in 0..RELEASES {
            if !self.candidate.is_current() && self.candidate.deadline().is_some() {
                match lease::answered(limit, self.api.get_opt(&self.election.name)).await {
                    Ok(lease) => {
                        self.candidate.saw(lease.as_ref().map(lease::record), self.now().mono);
                        self.lease = lease;
                    }
                    Err(error) => tracing::warn!(lease = %self.election, %error, "the Lease is not released"),
                }
            }
            let Some(record) = self.candidate.release(self.now().wall) else { return };
            let lease = self.lease_with(self.lease.clone(), &record);
            match lease::answered(limit, self.api.replace(&self.election.name, &PostParams::default(), &lease)).await {
                Ok(_) => return tracing::info!(lease = %self.election, "the Lease is released"),
                Err(LeaseError::Conflict) => self.candidate.failed(self.now().mono),
                Err(error) => return tracing::warn!(lease = %self.election, %error, "the Lease is not released"),
            }
        }
    }
}

/// The result of a task. If the task panicked, so does this process.
fn outcome<T>(joined: Result<T, tokio::task::JoinError>) -> T {
    match joined {
        Ok(result) => result,
        // Only one place aborts it, and that place does not look at its result.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
