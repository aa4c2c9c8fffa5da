//! Reasons of Kubernetes Events.

/// Makes the enum of Event reasons, with the kinds of objects that each is recorded on.
macro_rules! events {
    ($($word:ident($kinds:literal): $meaning:literal, $remedy:literal;)+) => {
        super::words::word_enum! {
            /// Reason of a Kubernetes Event. It is the Event's `action` too.
            EventReason { $($word: $meaning, $remedy;)+ }
        }

        impl EventReason {
            /// Kinds of the objects that it is recorded on.
            pub const fn kinds(self) -> &'static str {
                match self { $(Self::$word => $kinds),+ }
            }
        }
    };
}

events! {
    Ready("ContainerPool"): "The pool's condition Ready became True.", "Nothing.";
    NotReady("ContainerPool, Worker"): "The pool's condition Ready became False, or a starting worker waits for something. The message says for what.",
        "See the reason of the pool's condition Ready, or provide what the message names.";
    UpdateStarted("ContainerPool"): "The template changed, and workers are being replaced.", "Nothing.";
    UpdateStalled("ContainerPool"): "Workers made from the new template do not start, or an old one cannot be deleted.",
        "Correct the template, or what refuses the deletion. The message has the newest failure.";
    UpdateDone("ContainerPool"): "All workers are made from the present template.", "Nothing.";
    StartFailed("ContainerPool"): "A worker did not start, or ended within 10 s of its start.",
        "Read the message: it has the exit code and the last lines of the output.";
    StopFailed("ContainerPool"): "A worker's instance could not be stopped three times in a row. The controller retries.",
        "Make the host work. The message has the error.";
    WriteFailed("ContainerPool"): "The API server refused a write of the controller, or did not answer, three times in a row. The controller retries.",
        "Read the message. Often it is an admission webhook, a quota or a missing right of the controller.";
    RequestRefused("ContainerPool"): "An annotation of the pool cannot be read or carried out.",
        "Correct the annotation that the message names, or remove it.";
    InstanceLost("Worker"): "The worker's instance ended by itself.",
        "Read the message: it says how. The worker is replaced.";
    NodeDrained("Worker"): "The node of an idle worker was cordoned, as `kubectl drain` does it. The worker is removed, and its pool starts another one where there is room.",
        "Nothing. A busy worker stays until its attempt has ended, or until `spec.drainTimeout` of its pool is over.";
    Unhealthy("Worker"): "Checks of an idle worker failed 3 times in a row. It is replaced.",
        "Look at the load of the host and the logs of the instance.";
    AttemptLimited("Dispatch"): "An attempt ended as RateLimited or Unauthorized. The message says how long the rest is.",
        "See the outcome.";
    AttemptLost("Dispatch"): "An attempt ended without a report of its holder: WorkerLost, TimedOut, HolderLost, Lost, Forced or NotStarted.",
        "See the outcome.";
    QueueFull("ContainerPool"): "Dispatches were refused, because the queue is full. It is recorded at most once a minute; each refused Dispatch says so in its status.",
        "Create fewer dispatches at a time, or raise `spec.dispatch.queueLimit` of the pool.";
}
