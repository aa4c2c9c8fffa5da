//! Workers.

use super::{ABSOLUTE, Case, LABEL, no, ok};

const WORKER: &str = "Worker";
const WORKER_FIXED: &str = "spec cannot change, except cordoned";

pub(super) const WORKERS: &[Case] = &[
    ok("the least", WORKER, &["spec: {pool: agents, poolGeneration: 1, runtime: Docker, templateHash: 5f0c}"]),
    ok(
        "cordoned, and back",
        WORKER,
        &[
            "{spec: {pool: agents, poolGeneration: 1, runtime: Docker, templateHash: 5f0c, credential: a, host: gpu1}, status: {phase: Ready,
              handle: {id: a, started: b}, cooldown: {until: '2026-11-23T07:00:00Z', strikes: 1, reason: RateLimited}}}",
            "{spec: {pool: agents, poolGeneration: 1, runtime: Docker, templateHash: 5f0c, credential: a, host: gpu1, cordoned: true}, status: {phase: Busy,
              dispatch: {name: task-1, uid: u, attempt: 1, assignedAt: '2026-11-23T07:00:00.123456Z'}, dispatches: 1}}",
            "spec: {pool: agents, poolGeneration: 1, runtime: Docker, templateHash: 5f0c, credential: a, host: gpu1}",
        ],
    ),
    no("without a hash", WORKER, &["spec: {pool: agents, poolGeneration: 1}"], "spec"),
    no("with an empty hash", WORKER, &["spec: {pool: agents, poolGeneration: 1, runtime: Docker, templateHash: ''}"], "spec.templateHash"),
    no("of a generation below 0", WORKER, &["spec: {pool: agents, poolGeneration: -1, runtime: Docker, templateHash: a}"], "spec.poolGeneration"),
    no("of a pool with a dot", WORKER, &["spec: {pool: my.agents, poolGeneration: 1, runtime: Docker, templateHash: a}"], "must be the name of a pool"),
    no("on a host with a dot", WORKER, &["spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a, host: a.b}"], LABEL),
    ok("with a directory", WORKER, &["spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a, host: h, credential: c, directory: /logins/a}"]),
    no("with a relative directory", WORKER, &["spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a, directory: logins}"], ABSOLUTE),
    no("given a directory", WORKER, &["spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a}", "spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a, directory: /a}"], WORKER_FIXED),
    no("with a credential in capitals", WORKER, &["spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a, credential: A}"], LABEL),
    no("another phase", WORKER, &["{spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a}, status: {phase: Idle}}"], "status.phase"),
    no("moved to a pool", WORKER, &["spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a}", "spec: {pool: b, poolGeneration: 1, runtime: Docker, templateHash: a}"], WORKER_FIXED),
    no("moved to a generation", WORKER, &["spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a}", "spec: {pool: a, poolGeneration: 2, runtime: Docker, templateHash: a}"], WORKER_FIXED),
    no("made of something else", WORKER, &["spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a}", "spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: b}"], WORKER_FIXED),
    no("moved to a runtime", WORKER, &["spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a}", "spec: {pool: a, poolGeneration: 1, runtime: Pod, templateHash: a}"], WORKER_FIXED),
    no("given a host", WORKER, &["spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a}", "spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a, host: h}"], WORKER_FIXED),
    no(
        "given another credential",
        WORKER,
        &["spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a, credential: a}", "spec: {pool: a, poolGeneration: 1, runtime: Docker, templateHash: a, credential: b}"],
        WORKER_FIXED,
    ),
];
