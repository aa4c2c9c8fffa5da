//! Conditions: for each kind of object its condition types, and for each type its reasons.

use crate::api::dispatch::Outcome;

/// A reason of one condition type of one kind. The reason decides the status, so no status is given with it.
pub trait Reason: Copy {
    /// The kind of object that has the condition.
    const KIND: &'static str;
    /// The condition's type.
    const CONDITION: &'static str;

    /// The reason, as it stands in objects.
    fn as_str(self) -> &'static str;

    /// The condition's status with this reason.
    fn status(self) -> bool;
}

/// A condition type and its reasons, for the documentation.
#[derive(Clone, Copy, Debug)]
pub struct ConditionWords {
    /// The kind of object that has it.
    pub kind: &'static str,
    /// Its type.
    pub type_: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Its reasons.
    pub reasons: &'static [ReasonWords],
    /// The status with which its reason can also be any [`Outcome`].
    pub outcomes: Option<bool>,
    /// The kind and the type of a condition whose reasons with status False are also reasons of this one, with status False.
    pub shared_with: Option<(&'static str, &'static str)>,
}

impl ConditionWords {
    /// The reasons that it has from the condition in [`Self::shared_with`]: each has status False in both.
    pub fn shared(&self) -> impl Iterator<Item = &'static ReasonWords> {
        let with = self.shared_with;
        let other = CONDITIONS.iter().find(|c| with == Some((c.kind, c.type_)));
        other.into_iter().flat_map(|c| c.reasons).filter(|r| !r.status)
    }
}

/// A reason of a condition, for the documentation.
#[derive(Clone, Copy, Debug)]
pub struct ReasonWords {
    /// The reason.
    pub reason: &'static str,
    /// The condition's status with it.
    pub status: bool,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Makes an enum of the reasons of each condition. `@outcomes = STATUS` adds every [`Outcome`] to them, and
/// `@shared = ENUM` every reason of another condition that has status False there.
macro_rules! conditions {
    ($($name:ident: $kind:ident $type_:ident, $about:literal {
        $($word:ident = $status:literal: $meaning:literal, $remedy:literal;)+
        $(@outcomes = $outcomes:literal;)?
        $(@shared = $shared:ident;)?
    })+) => {
        /// Every condition type.
        pub const CONDITIONS: &[ConditionWords] = &[$(ConditionWords {
            kind: stringify!($kind),
            type_: stringify!($type_),
            meaning: $about,
            reasons: &[$(ReasonWords {
                reason: stringify!($word), status: $status, meaning: $meaning, remedy: $remedy,
            }),+],
            outcomes: conditions!(@option $($outcomes)?),
            shared_with: conditions!(@option $((<$shared as Reason>::KIND, <$shared as Reason>::CONDITION))?),
        }),+];

        $(conditions!(@one $name, $kind, $type_, $about, [$($word, $status, $meaning;)+] [$($outcomes)?] $($shared)?);)+
    };
    (@option) => { None };
    (@option $value:expr) => { Some($value) };
    (@one $name:ident, $kind:ident, $type_:ident, $about:literal,
        [$($word:ident, $status:literal, $meaning:literal;)+] [$($outcomes:literal)?] $($shared:ident)?) => {
        #[doc = $about]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $meaning] $word,)+
            $(
                /// An attempt ended. The reason is its outcome.
                #[doc = concat!("The status is ", stringify!($outcomes), ".")]
                Ended(Outcome),
            )?
            $(
                /// It waits, for the reason that the pool has too. The status is false.
                Waits($shared),
            )?
        }

        impl Reason for $name {
            const KIND: &'static str = stringify!($kind);
            const CONDITION: &'static str = stringify!($type_);

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word),)+
                    $(Self::Ended(outcome) => conditions!(@outcome outcome $outcomes),)?
                    $(Self::Waits(reason) => conditions!(@shared reason $shared),)?
                }
            }

            fn status(self) -> bool {
                match self {
                    $(Self::$word => $status,)+
                    $(Self::Ended(_) => $outcomes,)?
                    $(Self::Waits(_) => conditions!(@false $shared),)?
                }
            }
        }
    };
    (@outcome $outcome:ident $outcomes:literal) => { $outcome.as_str() };
    (@shared $reason:ident $shared:ident) => { $reason.as_str() };
    (@false $shared:ident) => { false };
}

conditions! {
    PoolReady: ContainerPool Ready, "Whether at least `spec.min` workers are idle, busy or resting, and the pool can start others. While \
        workers of a Ready pool are replaced without failures, `spec.update.maxUnavailable` fewer are enough, but at least 1." {
        Available = true: "Enough workers are idle, busy or resting.", "Nothing.";
        BelowMin = false: "Fewer workers are up than `spec.min`, and nothing is known that prevents the start of more.",
            "Wait. If it lasts, read `status.notReady` and the Events of the pool.";
        Replacing = false: "Fewer workers are up than are needed, because workers are being deleted and others follow them.",
            "Wait. `spec.update.maxSurge` and a higher `spec.max` let the others start first.";
        WriteRefused = false: "The API server refuses a Worker that the pool needs, for example because of a quota or an admission webhook.",
            "Read the message: it has the API server's words. The controller retries.";
        WorkersUnavailable = false: "The workers that exist cannot take work, and the pool starts no others for them.",
            "Look up the reason that the message has for each in `status.notReady`.";
        Paused = false: "`spec.paused` is true, or the local server stands down. So no worker is started, and fewer than `spec.min` are up.",
            "Set `spec.paused` to false, or start the local server again (`poolkeeper local up`): the message says which.";
        Deleting = false: "The pool is being deleted. Waiting dispatches are cancelled, and busy workers finish first.",
            "Wait, or cancel the dispatches that run. The annotation `poolkeeper.dev/force-delete=true` on the pool ends them at once.";
        Refused = false: "The pool asks for something that this controller does not allow. The condition RuntimeAllowed has the same message.",
            "Change the field that the message names, or the configuration of the controller.";
        StartsFail = false: "Workers do not start. The next try is at `status.startBackoff.until`; the time between tries doubles from 1 s to 5 min.",
            "Read the message: it has the exit code and the last lines of the newest failure. A changed pool is tried at once.";
        HostUnreachable = false: "A host of the pool's runtime does not answer. Nothing on it is started, stopped or given up.",
            "Make the host reachable. The message has the error.";
        Starting = false: "Fewer workers are up than `spec.min`; others are being started.",
            "Wait. `spec.health.startTimeout` limits how long a start may take.";
        StartsWait = false: "Every worker that is being started waits for something outside of it, such as an image, room on a node or a quota.",
            "Provide what the message names.";
        Resting = false: "Fewer workers are up than `spec.min`, and those that are there, or their credentials, rest after a rate limit.",
            "Wait until `status.nextAvailableTime`, or end a rest: annotate the pool with `cooldown.poolkeeper.dev/NAME=clear`.";
        CredentialsRefused = false: "Every credential of the pool was refused by the service that it is for.",
            "Change the credentials in the pool. If only the content of a Secret changed, annotate the pool with \
             `cooldown.poolkeeper.dev/CREDENTIAL=clear`.";
        Probing = false: "Fewer workers are up than `spec.min`. A rest has ended, and one attempt runs alone to find out whether the limit is over.",
            "Wait. `spec.rateLimit.probeAfter` limits how long the others wait for it.";
        ServiceOverloaded = false: "The service is overloaded: dispatches wait before they are retried (`status.notBefore`), and idle workers are reserved for them. Others would only meet the outage too.",
            "Wait. `spec.retry.backoff` of a dispatch says how long it waits; more workers let others begin meanwhile.";
        Busy = false: "All workers that are up are busy, or idle on credentials with as many open attempts as they may have.",
            "Wait, or raise `spec.max` or the `maxConcurrent` of a credential.";
    }
    PoolDispatching: ContainerPool Dispatching, "Whether waiting dispatches get workers. With `spec.min: 0` a pool without any worker is Ready: \
        this condition says whether the dispatches that wait in it get one. The message says what the first of them waits for." {
        QueueEmpty = true: "No dispatch waits for a worker. Those in `status.delayed` wait for something else first, such as the time of their \
            next attempt.", "Nothing.";
        Assigning = true: "A worker is free or is being started.", "Nothing.";
        AllBusy = true: "All workers are busy, or idle on credentials with as many open attempts as they may have. The next dispatch is for the first that is done.",
            "Wait, or raise what the message names: `spec.max`, the `maxConcurrent` of a credential, or a quota.";
        Paused = false: "`spec.paused` is true, or the local server stands down. So no dispatch is assigned.",
            "Set `spec.paused` to false, or start the local server again (`poolkeeper local up`): the message says which.";
        Deleting = false: "The pool is being deleted, and its waiting dispatches are cancelled.", "Create the dispatches again in another pool.";
        Refused = false: "The pool asks for something that this controller does not allow. The condition RuntimeAllowed has the same message.",
            "Change the field that the message names, or the configuration of the controller.";
        StartsFail = false: "No worker is up, and workers do not start. The next try is at `status.startBackoff.until`.",
            "Read the message: it has the exit code and the last lines of the newest failure. A changed pool is tried at once.";
        HostUnreachable = false: "No worker can take work, and a host of the pool's runtime does not answer.",
            "Make the host reachable. The message has the error.";
        StartsWait = false: "No worker is up, and every worker that is being started waits for something outside of it, such as an image, room on a node or a quota.",
            "Provide what the message names.";
        Resting = false: "All workers rest after a rate limit, or all credentials of the pool do. `status.restingCredentials` says which, and the pool that met the limit.",
            "Wait until `status.nextAvailableTime`, or end a rest: annotate the pool with `cooldown.poolkeeper.dev/NAME=clear`.";
        CredentialsRefused = false: "Every credential of the pool was refused by the service that it is for.",
            "Change the credentials in the pool. If only the content of a Secret changed, annotate the pool with \
             `cooldown.poolkeeper.dev/CREDENTIAL=clear`.";
        Probing = false: "A rest has ended, and one attempt runs alone to find out whether the limit is over.",
            "Wait. `spec.rateLimit.probeAfter` limits how long the others wait for it.";
        ServiceOverloaded = false: "The service is overloaded: dispatches wait before they are retried (`status.notBefore`), and idle workers are reserved for them. Others would only meet the outage too.",
            "Wait. `spec.retry.backoff` of a dispatch says how long it waits; more workers let others begin meanwhile.";
        WriteRefused = false: "The API server refuses the Worker that the pool needs, for example because of a quota or an admission webhook.",
            "Read the message: it has the API server's words. The controller retries.";
        WorkersUnavailable = false: "The workers that exist cannot take work, and the pool starts no others for them.",
            "Look up the reason that the message has for each in `status.notReady`.";
    }
    PoolProgressing: ContainerPool Progressing, "Whether workers are being started or replaced." {
        Steady = false: "The pool has the workers that it wants.", "Nothing.";
        Scaling = true: "Workers are being started.", "Wait.";
        RollingUpdate = true: "Workers made from an older template are being replaced. The message says how many are done.",
            "Wait. `spec.update.maxUnavailable` sets how many may be away at a time. Busy workers are replaced when they are done.";
        UpdateStalled = false: "Workers made from the new template do not start, or the API server refuses to delete an old one. No more of the old ones are removed.",
            "Correct the template, or what refuses the deletion. The message has the newest failure.";
        UpdatePaused = false: "Workers are out of date, and `spec.paused` is true, or the local server stands down.",
            "Set `spec.paused` to false, or start the local server again (`poolkeeper local up`): the message says which.";
    }
    PoolScalingLimited: ContainerPool ScalingLimited, "Whether the pool needs more workers and may create none." {
        WithinRange = false: "No dispatch waits for a worker above `spec.max`.", "Nothing.";
        MaxReached = true: "Dispatches wait, and the pool has `spec.max` workers. The message says what the next dispatch waits for.",
            "Wait, or raise `spec.max`.";
        DirectoryInUse = true: "The pool wants more workers, and every credential that could be used is a directory that other workers have. \
            The message names one of each.",
            "Wait, add a credential with a directory of its own, or raise `maxConcurrent` if the agent can share its login.";
    }
    PoolRuntimeAllowed: ContainerPool RuntimeAllowed, "Whether this controller may run the workers that the pool asks for." {
        Allowed = true: "It may.", "Nothing.";
        Refused = false: "The runtime, a host, a missing image or the source of a credential does not fit this controller.",
            "Change the field that the message names, or the configuration of the controller (`--runtimes`).";
    }
    PoolRequestsAccepted: ContainerPool RequestsAccepted, "Whether all requests in the pool's annotations can be carried out." {
        Accepted = true: "None is refused.", "Nothing.";
        Refused = false: "At least one annotation cannot be read, or cannot be carried out. The message names the first one and how many more there are.",
            "Correct the annotation or remove it. A request that the API server refuses is retried, because a quota or a right may change.";
    }
    PoolPatternsValid: ContainerPool PatternsValid, "Whether every entry of `spec.rateLimit.patterns` can be used. Absent until one could not." {
        Valid = true: "Every entry can be used now.", "Nothing.";
        Invalid = false: "An entry is neither an expression nor the name of a preset of the controller's version. `run` and `report --output` refuse the pool; \
            everything else works.",
            "Correct the entry that the message names. `poolkeeper preset test` tries an expression, and `poolkeeper preset list` shows the presets.";
    }
    WorkerReady: Worker Ready, "Whether the worker's instance runs." {
        Running = true: "The instance runs and has been ready.", "Nothing.";
        InstanceLost = false: "The instance ended while the worker rests. The Worker keeps its place until the rest is over, then it is replaced.",
            "Read the message: it says how the instance ended.";
    }
    WorkerHealthy: Worker Healthy, "Whether the checks of the worker succeed. Absent until one has failed." {
        CheckPassed = true: "The checks succeed again.", "Nothing.";
        CheckFailed = false: "At least one check failed or took longer than `spec.health.timeout`. After 3 in a row an idle worker is replaced.",
            "Look at the load of the host and the logs of the instance.";
        NotReady = false: "The runtime says that the instance runs but is not ready. The message has its words.",
            "Provide what the message names, for example what the Pod's readiness probe waits for.";
    }
    DispatchAccepted: Dispatch Accepted, "Whether there is a pool for the dispatch. Absent until there was none." {
        Accepted = true: "The pool exists now.", "Nothing.";
        PoolNotFound = false: "There is no ContainerPool with the name in `spec.pool` in the namespace. The dispatch waits for it.",
            "Create the pool, or delete the dispatch if the name is wrong.";
    }
    DispatchAssigned: Dispatch Assigned, "Whether an attempt is assigned to a worker, and if not, why the dispatch waits. Absent until \
        the dispatch was assigned or has waited for 10 s as one of the first 21 of its queue. It stays True after the last attempt." {
        LostWorkerRemains = false: "The last attempt was Lost, and its task may still run: its worker is still there, or its instance, or a host has not \
            answered since the controller started. Only when it is gone can the next attempt begin.",
            "Wait, or make the host reachable that the message names. `spec.queueTimeout` bounds the wait.";
        LeaseNotRenewed = false: "The last attempt was Lost, and the holder has not renewed its Lease since, so it may be dead. If it does not for 10 minutes, \
            or for 10 durations of the Lease if that is longer, the dispatch is Failed.",
            "Start the supervisor again. It must renew the Lease that `spec.leaseName` names.";
        Assigned = true: "An attempt was assigned. `status.target` says how to reach the worker while it is open.",
            "Nothing. Run the task, and report its end in `spec.result`.";
        @outcomes = false;
        @shared = PoolReady;
    }
    DispatchFinished: Dispatch Finished, "Whether the dispatch is final. Absent until then. `status.reason` has the same reason, except after Succeeded." {
        QueueFull = true: "It was refused, because as many dispatches waited as `spec.dispatch.queueLimit` of the pool allows. It never ran.",
            "Delete it and create it again later, or raise the limit.";
        Expired = true: "It waited longer than its `queueTimeout`. It never ran, or has not run since its last attempt ended.",
            "Raise `spec.queueTimeout` of the Dispatch or `spec.dispatch.queueTimeout` of the pool, or give the pool more workers. \
             The condition Assigned says what it waited for.";
        PoolDeleted = true: "Its pool was deleted while it waited.", "Create it again with another pool.";
        @outcomes = true;
    }
}
