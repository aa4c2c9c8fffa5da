//! Dispatches.

use super::{Case, PERIOD, no, ok};

const DISPATCH: &str = "Dispatch";
const NOT_CURRENT: &str = "result is for an attempt that is not the current one";
const NOT_YET: &str = "result is for an attempt that has not been assigned yet";
const LOST_LATE: &str = "Lost cannot replace another outcome of the same attempt";
const FIXED: &str = "spec cannot change, except cancel and result";
const FULL: &str = "spec: {pool: agents, priority: 5, queueTimeout: 0s, timeout: 90s, leaseName: supervisor-1, retry: {rateLimited: -1, workerLost: 1}, note: hello}";
const ASSIGNED: &str = "{spec: {pool: agents}, status: {phase: Assigned, attempt: 1}}";
const REPORTED: &str = "spec: {pool: agents, result: {attempt: 1, outcome: RateLimited, retryAfter: 90s}}";
const LOST: &str = "spec: {pool: agents, result: {attempt: 1, outcome: Lost}}";
const CLOSED: &str = "{spec: {pool: agents, result: {attempt: 1, outcome: RateLimited, retryAfter: 90s}},
    status: {phase: Pending, attempt: 1, lastResult: {attempt: 1, outcome: RateLimited, closedAt: '2026-11-23T07:00:00Z'}}}";
const AGAIN: &str = "{spec: {pool: agents, result: {attempt: 1, outcome: RateLimited, retryAfter: 90s}},
    status: {phase: Assigned, attempt: 2, lastResult: {attempt: 1, outcome: RateLimited, closedAt: '2026-11-23T07:00:00Z'}}}";

pub(super) const DISPATCHES: &[Case] = &[
    ok("the least", DISPATCH, &["spec: {pool: agents}"]),
    ok("everything", DISPATCH, &[FULL]),
    no("without a pool", DISPATCH, &["spec: {}"], "spec"),
    no("for a pool in capitals", DISPATCH, &["spec: {pool: Agents}"], "must be the name of a pool"),
    no(
        "for a pool of 51 characters",
        DISPATCH,
        &["spec: {pool: a2345678-1-2345678-2-2345678-3-2345678-4-2345678-5x}"],
        "spec.pool",
    ),
    no("a priority beyond a billion", DISPATCH, &["spec: {pool: a, priority: 1000000001}"], "spec.priority"),
    no("queueTimeout below 0", DISPATCH, &["spec: {pool: a, queueTimeout: -1s}"], PERIOD),
    no("timeout in words", DISPATCH, &["spec: {pool: a, timeout: long}"], PERIOD),
    no("a lease in capitals", DISPATCH, &["spec: {pool: a, leaseName: Mine}"], "must be the name of an object"),
    no("a retry below -1", DISPATCH, &["spec: {pool: a, retry: {failed: -2}}"], "spec.retry.failed"),
    no("an unknown retry", DISPATCH, &["spec: {pool: a, retry: {gone: 1}}"], "spec.retry.gone"),
    ok("a retry after Lost", DISPATCH, &["spec: {pool: a, retry: {lost: -1}}", "spec: {pool: a, retry: {lost: -1}}"]),
    no("a retry after Lost added", DISPATCH, &["spec: {pool: a}", "spec: {pool: a, retry: {lost: 1}}"], FIXED),
    no("an unknown phase", DISPATCH, &["{spec: {pool: a}, status: {phase: Running}}"], "status.phase"),
    // What is fixed.
    ok("the same again", DISPATCH, &[FULL, FULL]),
    ok(
        "the same in other words",
        DISPATCH,
        &[
            "spec: {pool: a, timeout: 90s, queueTimeout: 1h}",
            "spec: {pool: a, timeout: 1m30s, queueTimeout: 60m, priority: 0}",
        ],
    ),
    no("a backoff in words", DISPATCH, &["spec: {pool: a, retry: {backoff: soon}}"], PERIOD),
    no("a maxBackoff below 0", DISPATCH, &["spec: {pool: a, retry: {maxBackoff: -1s}}"], PERIOD),
    ok(
        "the same backoff in other words",
        DISPATCH,
        &[
            "spec: {pool: a, retry: {overloaded: 3, backoff: 60s, maxBackoff: 1h}}",
            "spec: {pool: a, retry: {overloaded: 3, backoff: 1m, maxBackoff: 60m}}",
        ],
    ),
    no(
        "another backoff",
        DISPATCH,
        &["spec: {pool: a, retry: {backoff: 60s}}", "spec: {pool: a, retry: {backoff: 61s}}"],
        FIXED,
    ),
    no("a backoff taken out", DISPATCH, &["spec: {pool: a, retry: {maxBackoff: 60s}}", "spec: {pool: a}"], FIXED),
    no("another pool", DISPATCH, &["spec: {pool: a}", "spec: {pool: b}"], FIXED),
    no("another priority", DISPATCH, &["spec: {pool: a}", "spec: {pool: a, priority: 1}"], FIXED),
    no("another retry", DISPATCH, &["spec: {pool: a}", "spec: {pool: a, retry: {failed: 1}}"], FIXED),
    no("a timeout added", DISPATCH, &["spec: {pool: a}", "spec: {pool: a, timeout: 1s}"], FIXED),
    no("a timeout changed", DISPATCH, &["spec: {pool: a, timeout: 2s}", "spec: {pool: a, timeout: 1s}"], FIXED),
    no("a queueTimeout taken out", DISPATCH, &["spec: {pool: a, queueTimeout: 2s}", "spec: {pool: a}"], FIXED),
    no(
        "a queueTimeout changed",
        DISPATCH,
        &["spec: {pool: a, queueTimeout: 2s}", "spec: {pool: a, queueTimeout: 3s}"],
        FIXED,
    ),
    no("a lease added", DISPATCH, &["spec: {pool: a}", "spec: {pool: a, leaseName: l}"], FIXED),
    no("a lease changed", DISPATCH, &["spec: {pool: a, leaseName: k}", "spec: {pool: a, leaseName: l}"], FIXED),
    no("a note taken out", DISPATCH, &["spec: {pool: a, note: one}", "spec: {pool: a}"], FIXED),
    no("a note changed", DISPATCH, &["spec: {pool: a, note: one}", "spec: {pool: a, note: two}"], FIXED),
    ok("cancelled", DISPATCH, &["spec: {pool: a}", "spec: {pool: a, cancel: true}", "spec: {pool: a, cancel: true}"]),
    no(
        "a cancel taken back",
        DISPATCH,
        &["spec: {pool: a, cancel: true}", "spec: {pool: a, cancel: false}"],
        "cancel cannot be undone",
    ),
    no("a cancel left out", DISPATCH, &["spec: {pool: a, cancel: true}", "spec: {pool: a}"], "cancel cannot be undone"),
    // What is fenced.
    ok("a report on the open attempt", DISPATCH, &[ASSIGNED, REPORTED]),
    ok("the same report again", DISPATCH, &[ASSIGNED, REPORTED, CLOSED, REPORTED]),
    ok(
        "a better report before the close",
        DISPATCH,
        &[ASSIGNED, REPORTED, "spec: {pool: agents, result: {attempt: 1, outcome: Succeeded, message: m}}"],
    ),
    ok(
        "contact that came back",
        DISPATCH,
        &[ASSIGNED, LOST, "spec: {pool: agents, result: {attempt: 1, outcome: Succeeded, message: m}}"],
    ),
    ok(
        "Lost in other words",
        DISPATCH,
        &[ASSIGNED, LOST, "spec: {pool: agents, result: {attempt: 1, outcome: Lost, message: m}}"],
    ),
    ok(
        "Lost on the second attempt",
        DISPATCH,
        &[ASSIGNED, CLOSED, AGAIN, "spec: {pool: agents, result: {attempt: 2, outcome: Lost}}"],
    ),
    no(
        "Lost after a success",
        DISPATCH,
        &[ASSIGNED, "spec: {pool: agents, result: {attempt: 1, outcome: Succeeded}}", LOST],
        LOST_LATE,
    ),
    no("Lost after a limit", DISPATCH, &[ASSIGNED, REPORTED, LOST], LOST_LATE),
    ok(
        "a report on the second attempt",
        DISPATCH,
        &[ASSIGNED, CLOSED, AGAIN, "spec: {pool: agents, result: {attempt: 2, outcome: Succeeded}}"],
    ),
    no("a result from birth", DISPATCH, &[REPORTED], NOT_YET),
    no("a report before the assignment", DISPATCH, &["spec: {pool: agents}", REPORTED], NOT_YET),
    no(
        "a report on the attempt to come",
        DISPATCH,
        &[ASSIGNED, "spec: {pool: agents, result: {attempt: 2, outcome: Succeeded}}"],
        NOT_YET,
    ),
    no(
        "a report after the close",
        DISPATCH,
        &[ASSIGNED, CLOSED, "spec: {pool: agents, result: {attempt: 1, outcome: Succeeded}}"],
        NOT_CURRENT,
    ),
    no(
        "a late report on the first of two attempts",
        DISPATCH,
        &[ASSIGNED, CLOSED, AGAIN, "spec: {pool: agents, result: {attempt: 1, outcome: Failed}}"],
        NOT_CURRENT,
    ),
    no(
        "a first report, after another close",
        DISPATCH,
        &[
            ASSIGNED,
            "{spec: {pool: agents}, status: {phase: Failed, attempt: 1, lastResult: {attempt: 1, outcome: TimedOut, closedAt: '2026-11-23T07:00:00Z'}}}",
            "spec: {pool: agents, result: {attempt: 1, outcome: Succeeded}}",
        ],
        NOT_CURRENT,
    ),
    no(
        "a report on attempt 0",
        DISPATCH,
        &[ASSIGNED, "spec: {pool: agents, result: {attempt: 0, outcome: Failed}}"],
        "spec.result.attempt",
    ),
    no(
        "a report without an outcome",
        DISPATCH,
        &[ASSIGNED, "spec: {pool: agents, result: {attempt: 1}}"],
        "spec.result",
    ),
    no(
        "a report that only the controller makes",
        DISPATCH,
        &[ASSIGNED, "spec: {pool: agents, result: {attempt: 1, outcome: WorkerLost}}"],
        "spec.result.outcome",
    ),
    ok(
        "retryAfter with Overloaded",
        DISPATCH,
        &[ASSIGNED, "spec: {pool: agents, result: {attempt: 1, outcome: Overloaded, retryAfter: 90s}}"],
    ),
    ok(
        "retryAfter with Succeeded",
        DISPATCH,
        &[ASSIGNED, "spec: {pool: agents, result: {attempt: 1, outcome: Succeeded, retryAfter: 90s}}"],
    ),
    no(
        "retryAfter with Failed",
        DISPATCH,
        &[ASSIGNED, "spec: {pool: agents, result: {attempt: 1, outcome: Failed, retryAfter: 90s}}"],
        "retryAfter is for the outcomes RateLimited, Overloaded and Succeeded only",
    ),
    no(
        "retryAfter without a unit",
        DISPATCH,
        &[ASSIGNED, "spec: {pool: agents, result: {attempt: 1, outcome: RateLimited, retryAfter: '90'}}"],
        PERIOD,
    ),
];
