//! The values of labels.
use crate::core::{Input, RuntimeFact, RuntimeOrder, Settled, Verb};
use crate::runtime::{RuntimeError, StartError};

/// The kind and the verb of a request.
pub(in crate::controller) fn request(verb: &Verb) -> (&'static str, &'static str) {
    const POOL: &str = "ContainerPool";
    match verb {
        Verb::CreateWorker(_) => ("Worker", "create"),
        Verb::CreateDispatch(_) => ("Dispatch", "create"),
        Verb::PoolStatus(..) => (POOL, "status"),
        Verb::WorkerStatus(..) => ("Worker", "status"),
        Verb::DispatchStatus(..) => ("Dispatch", "status"),
        Verb::DispatchResult(..) => ("Dispatch", "result"),
        Verb::AddPoolFinalizer(_) => (POOL, "add_finalizer"),
        Verb::RemovePoolFinalizer(_) => (POOL, "remove_finalizer"),
        Verb::RemovePoolAnnotations(..) => (POOL, "remove_annotations"),
        Verb::RemoveWorkerFinalizer(_) => ("Worker", "remove_finalizer"),
        Verb::DeleteWorker(..) => ("Worker", "delete"),
        Verb::DeleteDispatch(_) => ("Dispatch", "delete"),
        Verb::GetWorker(_) => ("Worker", "get"),
        Verb::GetDispatch(_) => ("Dispatch", "get"),
        Verb::GetPool(_) => (POOL, "get"),
    }
}

/// The result of a request.
pub(in crate::controller) fn result(settled: &Settled) -> &'static str {
    match settled {
        Settled::Done(Some(_)) => "done",
        Settled::Done(None) => "unchanged",
        Settled::Refreshed(_) => "conflict",
        Settled::Refused(_) => "refused",
        Settled::Failed(..) => "failed",
    }
}

/// The runtime and the name of an operation.
pub(in crate::controller) fn operation(order: &RuntimeOrder) -> (&'static str, &'static str) {
    let (host, op) = match order {
        RuntimeOrder::Start(host, _) => (host, "start"),
        RuntimeOrder::Stop(host, _) => (host, "stop"),
        RuntimeOrder::Check(host, ..) => (host, "check"),
        RuntimeOrder::SetPaused(host, _, true, _) => (host, "pause"),
        RuntimeOrder::SetPaused(host, _, false, _) => (host, "unpause"),
    };
    (host.runtime.as_str(), op)
}

/// The result of an operation.
pub(in crate::controller) fn answer(event: &Input) -> &'static str {
    let Input::Runtime(fact) = event else { return "done" };
    match fact {
        RuntimeFact::Observed(..)
        | RuntimeFact::Started(_, Ok(_))
        | RuntimeFact::Stopped(_, Ok(()))
        | RuntimeFact::Checked(_, Ok(Some(_)))
        | RuntimeFact::PausedSet(.., Ok(Some(_))) => "done",
        RuntimeFact::Checked(_, Ok(None)) | RuntimeFact::PausedSet(.., Ok(None)) => "gone",
        RuntimeFact::Started(_, Err(StartError::Unknown(_))) => "unknown",
        RuntimeFact::Started(_, Err(StartError::NotNow(_))) => "put_off",
        RuntimeFact::Started(_, Err(StartError::Refused(_)))
        | RuntimeFact::Stopped(_, Err(RuntimeError::Refused(_)))
        | RuntimeFact::Checked(_, Err(RuntimeError::Refused(_)))
        | RuntimeFact::PausedSet(.., Err(RuntimeError::Refused(_))) => "refused",
        RuntimeFact::Started(_, Err(StartError::Unreachable(_)))
        | RuntimeFact::Stopped(_, Err(RuntimeError::Unreachable(_)))
        | RuntimeFact::Checked(_, Err(RuntimeError::Unreachable(_)))
        | RuntimeFact::PausedSet(.., Err(RuntimeError::Unreachable(_))) => "unreachable",
    }
}
