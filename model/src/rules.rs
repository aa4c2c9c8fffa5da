//! The rules of the protocol, one field each: true means that the rule is in force.

/// What is done about an end without a report.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Unreported {
    /// Just free the worker.
    Free,
    /// Destroy the container, then free.
    Destroy,
    /// The design: delete the Worker, then free; the one stop rule does the rest.
    Delete,
}

/// What must hold before another attempt follows a Lost one, besides what holds for every attempt.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum AfterLost {
    /// None follows: Lost is final.
    Final,
    /// Nothing more.
    Free,
    /// Its Worker has a deletionTimestamp.
    Deleting,
    /// Some cache does not show its Worker.
    CacheAbsent,
    /// Its Worker's name is free (in the model: one of the two).
    NameFree,
    /// Its Worker is gone, by uid.
    WorkerGone,
    /// The design: its Worker is gone, by uid, and no instance of that uid is seen alive.
    InstanceGone,
    /// Its instance is dead, whether or not the Worker is still there.
    InstanceDead,
}

#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How many attempts a dispatch may have, 1 to `MAX_ATTEMPTS`; the last one ends it, whatever its outcome.
    pub attempts: u8,

    // 1. reserve
    /// Only a Worker without deletionTimestamp.
    pub reserve_not_deleting: bool,
    /// Only when attempt n-1 is closed.
    pub reserve_after_close: bool,
    /// Only when a live GET, after that close, shows that attempt n-1's worker no longer names it.
    pub reserve_after_free: bool,

    // 2. publish
    /// Only from attempt n-1.
    pub publish_in_order: bool,
    /// Only when attempt n-1 is closed.
    pub publish_after_close: bool,
    /// Not onto a final dispatch.
    pub publish_not_final: bool,
    /// Not onto a cancelled dispatch; the same for a close NotStarted.
    pub publish_not_cancelled: bool,
    /// An attempt that is closed is not published again on its worker.
    pub publish_once: bool,

    // 3. close
    /// An unpublished reservation may be closed NotStarted (else it is published, dead worker or not).
    pub not_started: bool,
    /// NotStarted only when the worker is dead or going (else at any time, such as on absence from a cache).
    pub not_started_dead_or_going: bool,
    /// NotStarted publishes no target.
    pub not_started_no_target: bool,
    /// NotStarted records the worker's uid.
    pub not_started_names_worker: bool,
    /// A close that finds a result for its open attempt takes it.
    pub close_takes_result: bool,
    /// WorkerLost only when the runtime confirms that the instance is gone.
    pub lost_when_confirmed: bool,
    /// An open attempt whose worker is gone is closed WorkerLost.
    pub lost_row: bool,
    /// TimedOut, HolderLost and Forced are never retried.
    pub ended_not_retried: bool,

    // Lost: a lease that ran out, where a retry may follow, and what holders report of which they know nothing
    pub after_lost: AfterLost,
    /// Reserve looks at `after_lost`.
    pub lost_at_reserve: bool,
    /// Publish looks at `after_lost`.
    pub lost_at_publish: bool,
    /// So does a close NotStarted, which replaces the record of the attempt before as publish does.
    pub lost_at_not_started: bool,
    /// A reported Lost whose instance is dead may be closed WorkerLost.
    pub lost_yields: bool,
    /// A reported Lost does not replace a report that stands.
    pub lost_replaces_none: bool,
    /// The worker of a Lost attempt goes the way of unreported ends.
    pub lost_is_unreported: bool,

    // 4. free
    /// Only after the close, not when the result is seen.
    pub free_after_close: bool,
    /// Absence from a cache is no fact.
    pub free_not_on_absence: bool,
    /// An unpublished reservation is rolled forward, not dropped.
    pub roll_forward: bool,
    /// w = d+1 with d open is a stale cache: wait.
    pub wait_for_predecessor: bool,
    /// w = d: the closed attempt counts only if it names this worker's uid.
    pub free_compares_uid: bool,
    /// w = d, another worker's uid: free.
    pub free_other_uid: bool,
    /// w < d: lastResult is another attempt's, so nothing is known.
    pub lower_is_unreported: bool,
    /// The dispatch is gone or has another uid: delete the Worker, then free.
    pub gone_row: bool,
    /// Gone is what a live GET says, not a cache.
    pub gone_by_live_get: bool,
    pub unreported: Unreported,
    /// The Worker of an unreported end is deleted in the version that names this attempt.
    pub unreported_delete_rv: bool,

    // delete and stop
    /// An idle Worker is deleted in the version that was seen idle.
    pub idle_delete_rv: bool,
    /// A container is stopped only when its Worker names no dispatch in the version with the deletionTimestamp.
    pub stop_names_none: bool,
    /// Forced is closed before anything is stopped.
    pub force_closes_first: bool,
    /// An overdue attempt is closed before its container is stopped.
    pub close_before_stop: bool,
    /// A finalizer is removed only from a Worker that names no dispatch.
    pub finalizer_names_none: bool,
    /// One instance for each Worker uid.
    pub one_instance: bool,

    // results and cancel
    /// A report carries its dispatch's uid.
    pub report_uid: bool,
    /// A result changes only to one for the current attempt that has no lastResult yet.
    pub report_current: bool,
    /// result.attempt never exceeds status.attempt.
    pub report_not_early: bool,
    /// spec.cancel is never taken back.
    pub cancel_stays: bool,
    /// A supervisor starts an attempt at most once.
    pub starts_once: bool,

    // standing down
    /// Nothing is reserved while the controllers stand down.
    pub down_reserves_none: bool,
    /// Standing down ends after the stops that it asked for.
    pub down_outlasts_stops: bool,

    // of the model, not of the protocol
    /// The controllers may stand down (a fault): then the instance of a worker that names no dispatch goes, and its Worker stays.
    pub stands_down: bool,
    /// Holders may report Lost (a fault).
    pub reports_lost: bool,
    /// A person may take a finalizer off while the instance runs (a fault).
    pub strips: bool,
    /// Supervisors report; else they never do, and to be overdue costs no fault.
    pub reports: bool,
    /// Check that every rate limit is written to its credential, as scope Credential needs.
    pub check_credential: bool,
    /// Reduce states (off: to test the reduction).
    pub reduced: bool,
}

/// The design, with every rule in force.
pub const FIXED: Rules = Rules {
    attempts: 2,
    reserve_not_deleting: true,
    reserve_after_close: true,
    reserve_after_free: true,
    publish_in_order: true,
    publish_after_close: true,
    publish_not_final: true,
    publish_not_cancelled: true,
    publish_once: true,
    not_started: true,
    not_started_dead_or_going: true,
    not_started_no_target: true,
    not_started_names_worker: true,
    close_takes_result: true,
    lost_when_confirmed: true,
    lost_row: true,
    ended_not_retried: true,
    after_lost: AfterLost::Final,
    lost_at_reserve: true,
    lost_at_publish: true,
    lost_at_not_started: true,
    lost_yields: true,
    lost_replaces_none: true,
    lost_is_unreported: true,
    free_after_close: true,
    free_not_on_absence: true,
    roll_forward: true,
    wait_for_predecessor: true,
    free_compares_uid: true,
    free_other_uid: true,
    lower_is_unreported: true,
    gone_row: true,
    gone_by_live_get: true,
    unreported: Unreported::Delete,
    unreported_delete_rv: true,
    idle_delete_rv: true,
    stop_names_none: true,
    force_closes_first: true,
    close_before_stop: true,
    finalizer_names_none: true,
    one_instance: true,
    report_uid: true,
    report_current: true,
    report_not_early: true,
    cancel_stays: true,
    starts_once: true,
    down_reserves_none: true,
    down_outlasts_stops: true,
    stands_down: false,
    reports_lost: false,
    strips: false,
    reports: true,
    check_credential: true,
    reduced: true,
};

/// Without the rules that proved unnecessary, and without the check of scope Credential, which needs two of them.
pub const MINIMAL: Rules = Rules {
    reserve_after_close: false,
    reserve_after_free: false,
    not_started_names_worker: false,
    idle_delete_rv: false,
    finalizer_names_none: false,
    check_credential: false,
    ..FIXED
};

/// With retries after Lost. `FIXED` has none: then its rules are as they were before there was Lost.
pub const LOST: Rules = Rules { after_lost: AfterLost::InstanceGone, reports_lost: true, ..FIXED };

impl Rules {
    /// Nothing that is closed or final is ever opened again.
    pub fn closed_is_closed(&self) -> bool {
        self.publish_in_order && self.publish_not_final && self.publish_once
    }

    /// Containers are stopped for what their worker named in the past.
    pub fn stops_by_history(&self) -> bool {
        self.unreported == Unreported::Destroy || !self.close_before_stop
    }
}
