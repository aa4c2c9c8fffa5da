//! What the core takes in, and what it asks for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::worker_end::WorkerEnd;
use super::{HostKey, ObjectKey};
use crate::api::dispatch::{DispatchResult, DispatchStatus};
use crate::api::pool::ContainerPoolStatus;
use crate::api::vocabulary::EventReason;
use crate::api::worker::WorkerStatus;
use crate::api::{ContainerPool, Dispatch, Worker};
use crate::runtime::{Instance, InstanceKey, InstanceSpec, Observation, RuntimeError, StartError};

/// One object that something is decided about. The order is the order of decisions in one round: what closes
/// comes before what is freed, and that before what is chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A Dispatch.
    Dispatch(ObjectKey),
    /// A Worker.
    Worker(ObjectKey),
    /// A ContainerPool.
    Pool(ObjectKey),
    /// A Lease that holders renew.
    Lease(ObjectKey),
    /// An instance without a Worker. Boxed, since it is rare and the largest: the others must not take as much memory.
    Orphan(Box<InstanceKey>),
}

/// An object as a watch shows it.
#[derive(Clone, Debug)]
pub enum Seen<K> {
    /// It was made or changed.
    Present(Arc<K>),
    /// It is gone; this was its last version.
    Gone(Arc<K>),
    /// The watch was (re)started: objects of this kind that are not named here are not there.
    Listed(BTreeSet<ObjectKey>),
}

/// What a live GET showed. Unlike absence from a watch this is a fact, at the time of asking.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// The Worker of that name, if there is one.
    Worker(Option<Arc<Worker>>),
    /// The Dispatch of that name, if there is one.
    Dispatch(Option<Arc<Dispatch>>),
    /// The pool of that name, if there is one.
    Pool(Option<Arc<ContainerPool>>),
}

/// How a [`Verb`] ended.
#[derive(Clone, Debug)]
pub enum Settled {
    /// Done; this is the object now (None: it is gone, or the verb has no object).
    Done(Option<Fetched>),
    /// The object is not the version that it was decided on: this is the object now.
    Refreshed(Fetched),
    /// The server refused, and would refuse again. Its message.
    Refused(String),
    /// Not done, or the outcome is unknown: it is decided anew after a while. The object as it is now, if it could be read, and why.
    Failed(Option<Fetched>, String),
}

/// What a runtime answered.
#[derive(Clone, Debug)]
pub enum RuntimeFact {
    /// From the observation of a host.
    Observed(HostKey, Observation),
    /// Answer to [`RuntimeOrder::Start`].
    Started(InstanceKey, Result<Instance, StartError>),
    /// Answer to [`RuntimeOrder::Stop`].
    Stopped(InstanceKey, Result<(), RuntimeError>),
    /// Answer to [`RuntimeOrder::Check`]. `Err` too when the check took longer than it may.
    Checked(InstanceKey, Result<Option<Instance>, RuntimeError>),
    /// Answer to [`RuntimeOrder::SetPaused`], and what was asked. `Err` too when it took longer than it may.
    PausedSet(InstanceKey, bool, Result<Option<Instance>, RuntimeError>),
}

/// A Lease as seen by a GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseFact {
    /// `spec.renewTime` with `spec.holderIdentity`, as text: only its changes matter. None: there is no such Lease.
    pub stamp: Option<String>,
    /// `spec.leaseDurationSeconds`.
    pub duration: Option<Duration>,
}

/// Something that happened, for [`super::Core::apply`].
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "each is taken in as soon as it is there; what runtimes report is the most frequent"
)]
pub enum Input {
    /// From the watch on pools.
    Pool(Seen<ContainerPool>),
    /// From the watch on Workers.
    Worker(Seen<Worker>),
    /// From the watch on Dispatches.
    Dispatch(Seen<Dispatch>),
    /// The end of an [`Action::Write`].
    Settled(Subject, Settled),
    /// From a runtime.
    Runtime(RuntimeFact),
    /// The end of an [`Action::GetLease`].
    Lease(ObjectKey, LeaseFact),
    /// The value of a credential changed, as the program that starts the workers found: a file, a Secret of the local server, or what a
    /// command prints. A credential that was refused is no longer parked, its other rests last on, and workers that were
    /// created before are replaced.
    CredentialChanged {
        /// Namespace of its pools.
        namespace: Arc<str>,
        /// [`crate::api::pool::Credential::identity`].
        identity: String,
        /// True if workers that run see the new value: none is replaced.
        in_place: bool,
    },
    /// Time has passed.
    Tick,
}

/// A request to the API server about one object. Each, except creates, carries the version that it was decided on and takes
/// effect on that version only.
#[derive(Clone, Debug)]
pub enum Verb {
    /// Create a Worker. That the name is free is the lock.
    CreateWorker(Box<Worker>),
    /// Create a Dispatch that an annotation asks for.
    CreateDispatch(Box<Dispatch>),
    /// Write a pool's status.
    PoolStatus(Arc<ContainerPool>, Box<ContainerPoolStatus>),
    /// Write a Worker's status.
    WorkerStatus(Arc<Worker>, Box<WorkerStatus>),
    /// Write a Dispatch's status.
    DispatchStatus(Arc<Dispatch>, Box<DispatchStatus>),
    /// Write a Dispatch's `spec.result`, as an annotation asked.
    DispatchResult(Arc<Dispatch>, Box<DispatchResult>),
    /// Put the finalizer on a pool.
    AddPoolFinalizer(Arc<ContainerPool>),
    /// Remove the finalizer of a pool.
    RemovePoolFinalizer(Arc<ContainerPool>),
    /// Remove annotations of a pool, by key and value: all of them, if each still has its value.
    RemovePoolAnnotations(Arc<ContainerPool>, Vec<(String, String)>),
    /// Remove the finalizer of a Worker.
    RemoveWorkerFinalizer(Arc<Worker>),
    /// Delete a Worker, for this reason: preconditions uid and resourceVersion.
    DeleteWorker(Arc<Worker>, WorkerEnd),
    /// Delete a Dispatch: preconditions uid and resourceVersion.
    DeleteDispatch(Arc<Dispatch>),
    /// A live GET.
    GetWorker(ObjectKey),
    /// A live GET.
    GetDispatch(ObjectKey),
    /// A live GET.
    GetPool(ObjectKey),
}

impl Verb {
    /// True if it gives a dispatch its worker: reserves one for it, or publishes that.
    pub fn assigns(&self) -> bool {
        match self {
            Self::WorkerStatus(base, next) => {
                next.dispatch.is_some() && base.status.as_ref().is_none_or(|s| s.dispatch != next.dispatch)
            }
            Self::DispatchStatus(base, next) => {
                let was_open = base.status.as_ref().is_some_and(DispatchStatus::is_open);
                next.is_open() && !was_open
            }
            _ => false,
        }
    }
}

/// A request to a runtime.
#[derive(Clone, Debug)]
pub enum RuntimeOrder {
    /// Make and start an instance.
    Start(HostKey, Box<InstanceSpec>),
    /// Stop and remove an instance.
    Stop(HostKey, InstanceKey),
    /// Look at an instance, for at most this long.
    Check(HostKey, InstanceKey, Duration),
    /// Make the processes of an instance stand still (true), or go on. It may take this long.
    SetPaused(HostKey, InstanceKey, bool, Duration),
}

/// `type` of a Kubernetes Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Something to know.
    Normal,
    /// Something to look at.
    Warning,
}

/// A Kubernetes Event to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// About which object: kind, name, namespace, uid.
    pub kind: &'static str,
    /// ObjectKey of the object.
    pub key: ObjectKey,
    /// Uid of the object.
    pub uid: String,
    /// Normal or Warning.
    pub type_: EventType,
    /// Why, in one word.
    pub reason: EventReason,
    /// For people, at most 1 KiB.
    pub text: String,
    /// When.
    pub at: Timestamp,
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Ask the API server; answer with [`Input::Settled`] for this subject.
    Write(Subject, Verb),
    /// Ask a runtime; answer with [`Input::Runtime`].
    Runtime(RuntimeOrder),
    /// Read a Lease; answer with [`Input::Lease`].
    GetLease(ObjectKey),
    /// Record an Event. No answer.
    Record(Event),
}
