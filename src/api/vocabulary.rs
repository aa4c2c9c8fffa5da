//! The words that users read, filter and alert on: condition types and reasons, Event reasons, outcomes, and why a worker
//! is not ready. Each has its meaning and what to do about it.
//!
//! They are part of the API: a word that was released never changes and never gets another meaning. No such literal
//! stands anywhere else in `src`, and `docs/conditions.md` is written from the tables here. Tests hold both.

mod conditions;
mod events;
#[cfg(test)]
mod tests;
mod words;

pub use conditions::{
    CONDITIONS, ConditionWords, DispatchAccepted, DispatchAssigned, DispatchFinished, PoolDispatching,
    PoolPatternsValid, PoolProgressing, PoolReady, PoolRequestsAccepted, PoolRuntimeAllowed, PoolScalingLimited,
    Reason, ReasonWords, WorkerHealthy, WorkerReady,
};
pub use events::EventReason;

use super::Condition;
use super::dispatch::Outcome;
use words::{word_enum, words};

impl Condition {
    /// The condition that the reasons `R` belong to.
    pub fn find<R: Reason>(list: &[Self]) -> Option<&Self> {
        list.iter().find(|c| c.type_ == R::CONDITION)
    }

    /// True if its status is `True`.
    pub fn is_true(&self) -> bool {
        self.status == TRUE
    }

    /// The status of a condition, as it stands in objects.
    pub const fn status_word(status: bool) -> &'static str {
        if status { TRUE } else { "False" }
    }
}

const TRUE: &str = "True";

words! {
    Outcome {
        Succeeded: "The holder reported that the task is done.", "Nothing.";
        Failed: "The holder reported that the task itself failed.",
            "Read the message and the task's output. `spec.retry.failed` allows more attempts.";
        RateLimited: "The holder reported a rate limit. The worker, or its credential, rests until `status.lastResult.until`.",
            "Nothing: `spec.retry.rateLimited` allows more attempts, on a worker that does not rest. If limits are frequent, \
             lower `spec.max`, or add credentials with limits of their own.";
        Unauthorized: "The holder reported that the credential was refused. The credential is parked until it is changed or cleared.",
            "Change the credential in the pool. If only the content of its Secret changed, annotate the pool with \
             `cooldown.poolkeeper.dev/CREDENTIAL=clear`.";
        Overloaded: "The holder reported that the service is busy, with no credential at fault. Nothing rests.",
            "Nothing: `spec.retry.overloaded` allows more attempts, each after a wait (`status.notBefore`, `spec.retry.backoff`).";
        WorkerLost: "The runtime confirmed that the worker's instance is gone, so the attempt cannot go on.",
            "Read the message: it says how the instance ended. `spec.retry.workerLost` allows more attempts.";
        TimedOut: "The attempt ran longer than its `timeout`.",
            "Raise `spec.timeout` of the Dispatch or `spec.dispatch.timeout` of the pool, or find out what the task waited for.";
        HolderLost: "The Lease that `spec.leaseName` names was not renewed in time, so the holder is taken for dead. `spec.retry.lost` is 0, so \
            no other attempt follows.",
            "Find out why the supervisor stopped. It must not continue the task: the worker may have another one by now.";
        Cancelled: "`spec.cancel` was set.", "Nothing.";
        Forced: "A person ended the attempt: by the annotation `poolkeeper.dev/force-delete=true`, or by removing the Worker's finalizer.",
            "Make sure that nothing of the task still runs before you start it again.";
        Lost: "It is not known whether the task still runs: the holder reported that, or its Lease was not renewed in time. The worker is removed.",
            "Find out why contact was lost. `spec.retry.lost` allows more attempts: each begins once the worker of the lost one is gone.";
        NotStarted: "The worker was reserved but died or was deleted before the holder could see it. The attempt never ran.",
            "Nothing: another attempt follows, and `spec.retry` is not used up by it.";
    }
}

word_enum! {
    /// Why a worker is listed in `status.notReady` of its pool. A worker that is starting may show the first word of what
    /// its runtime says instead, such as `ErrImagePull`.
    NotReadyReason {
        Resting: "The worker rests after a rate limit, until the time that the entry names.",
            "Wait, or end the rest: annotate the pool with `cooldown.poolkeeper.dev/WORKER=clear`.";
        Starting: "The worker's instance is being started.", "Wait. `spec.health.startTimeout` limits how long it may take.";
        Spent: "The worker has served as many dispatches as `spec.recycle.afterDispatches` allows, and is about to be replaced.",
            "Nothing.";
        Draining: "The Worker is being deleted.", "Wait until its instance has stopped.";
        HostUnreachable: "The host of the worker does not answer. The worker may still run.",
            "Make the host reachable. No worker on it is given up meanwhile.";
        InstanceLost: "The worker's instance is gone. It is replaced, after its rest if it has one.",
            "Read the message of the Worker: it says how the instance ended.";
        Cordoned: "`spec.cordoned` of the Worker is true: it gets no new dispatch.",
            "Set it to false, or delete the Worker to have it replaced.";
        Outdated: "The pool no longer has the worker's credential. The worker is replaced.", "Nothing.";
        StaleCredential: "The worker was created before its credential changed, or was refused, and may have an old value. It is replaced.",
            "Nothing.";
        Unhealthy: "The worker's checks fail, or its runtime says that it is not ready.",
            "Read the condition Healthy of the Worker. After 3 failed checks in a row it is replaced.";
    }
}

word_enum! {
    /// The first word of the message on a request that cannot be carried out yet, in the condition RequestsAccepted.
    RequestReason {
        NameTaken: "A Dispatch with the name of the task exists already, and another request made it.",
            "Choose another name for the task, or delete the other Dispatch.";
    }
}
