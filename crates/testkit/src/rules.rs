//! What the API server must take and what it must refuse, rule by rule: one table for every API server.
//!
//! A case is a sequence of writes of one object. Each step is written like this: the object is created, or replaced with PUT;
//! then, if the step has a `status`, that is PUT to /status. Every write must be accepted except those of the last step: they
//! are accepted, or one is refused in an error that contains the case's message. Messages are those of CEL rules, or paths of
//! fields where each server words a violation of the schema in its own way.

use serde_json::{Value, json};

/// The writes of one object.
pub struct Case {
    /// Its name, to find it.
    pub name: &'static str,
    /// `ContainerPool`, `Worker` or `Dispatch`.
    pub kind: &'static str,
    /// Each is a YAML object of `spec`, and maybe `status` and `metadata.name`.
    pub steps: &'static [&'static str],
    /// Text in the error that refuses the last step. None: it is taken.
    pub refused: Option<&'static str>,
}

impl Case {
    /// The steps as whole objects, with or without a status.
    pub fn objects(&self) -> Vec<Value> {
        let whole = |yaml: &&str| {
            let mut object: Value = serde_saphyr::from_str(yaml).unwrap_or_else(|e| panic!("{}: {e}", self.name));
            object["apiVersion"] = json!("poolkeeper.dev/v1alpha1");
            object["kind"] = json!(self.kind);
            if object["metadata"]["name"].is_null() {
                object["metadata"] = json!({"name": "agents"});
            }
            object
        };
        self.steps.iter().map(whole).collect()
    }
}

const fn ok(name: &'static str, kind: &'static str, steps: &'static [&'static str]) -> Case {
    Case { name, kind, steps, refused: None }
}

const fn no(name: &'static str, kind: &'static str, steps: &'static [&'static str], text: &'static str) -> Case {
    Case { name, kind, steps, refused: Some(text) }
}

/// Every case of every kind.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    POOLS.iter().chain(DISPATCHES).chain(WORKERS)
}

const POOL: &str = "ContainerPool";
const PERIOD: &str = "must be a length of time in ms, s, m and h, such as 90s";
const ABOVE: &str = "must be a length of time above 0s";
const LABEL: &str = "must be lower case letters, digits and hyphens, such as team-a";
const ENV: &str = "must be the name of an environment variable";
const ABSOLUTE: &str = "must be an absolute path, such as";
const IMAGE: &str = "must be an image without spaces";
const NO_IMAGE: &str = "image is required unless runtime is Process";

const POOLS: &[Case] = &[
    ok("nothing but an image", POOL, &["spec: {image: a}"]),
    ok(
        "the example of the design",
        POOL,
        &["
spec:
  image: ghcr.io/acme/agent-worker:1.4
  min: 1
  max: 8
  warm: 1
  cooldown: 5m
  idleTimeout: 30m
  runtime: Pod
  command: [sleep, infinity]
  args: [a]
  env: [{name: A, value: b}, {name: B}]
  workingDir: /agents
  resources: {limits: {cpu: 2, memory: 1.5Gi, nvidia.com/gpu: 1}, requests: {cpu: 500m}}
  mounts: [{hostPath: /srv/agents, mountPath: /agents, readOnly: true}]
  credentials:
  - {name: team-a, env: CLAUDE_CODE_OAUTH_TOKEN, secretKeyRef: {name: tokens, key: a}, maxConcurrent: 2}
  rateLimit: {scope: Worker, maxCooldown: 1h, probeAfter: 60s, parkProbe: 1h, exitCodes: [75], patterns: []}
  health: {interval: 2m, timeout: 10s, startTimeout: 5m}
  update: {maxUnavailable: 25%, maxSurge: 1}
  terminationGracePeriod: 30s
  drainTimeout: 1h
  recycle: {afterDispatches: 0, maxAge: 0s}
  dispatch: {queueLimit: 1000, queueTimeout: 0s, timeout: 6h, history: {ttl: 1h, limit: 1000}}
  podTemplate: {spec: {priorityClassName: low, containers: [{name: worker}]}}
  paused: false"],
    ),
    ok(
        "Docker, on hosts",
        POOL,
        &["spec: {image: a, runtime: Docker, hosts: [{name: local}, {name: gpu1, max: 0}], mounts: [{hostPath: /, mountPath: /host}],
           resources: {limits: {cpu: '0.5', memory: 512Mi}}, credentials: [{name: a, env: A, fromFile: /run/a}]}"],
    ),
    ok(
        "Process, with every source of a credential",
        POOL,
        &["spec: {runtime: Process, command: [bash], env: [{name: X}], credentials: [{name: a, env: A, fromEnv: TOKEN},
           {name: b, env: A, fromFile: /run/b}, {name: c, env: A, fromCommand: [pass, c]},
           {name: d, env: A, secretKeyRef: {name: my.tokens, key: .d_1}}]}"],
    ),
    ok(
        "no runtime: the controller's default decides",
        POOL,
        &["spec: {image: a, hosts: [{name: local}], podTemplate: {}, resources: {requests: {cpu: 1}, limits: {a: 1}}}"],
    ),
    ok("a status, and its times", POOL, &["{spec: {image: a}, status: {workers: 1, selector: a=b, nextAvailableTime: '2026-11-23T07:00:00.000000Z',
        rateLimits: [{key: env/A, until: '2026-11-23T07:00:00Z', parked: true, staleBefore: '2026-11-23T06:00:00Z'}], recent: [{dispatch: a, outcome: Forced}], notReady: [{worker: a-0, reason: Resting}],
        startBackoff: {failures: 1, until: '2026-11-23T07:00:00Z', message: exit 1},
        conditions: [{type: Ready, status: 'True', reason: A, lastTransitionTime: '2026-11-23T07:00:00Z'}]}}"]),
    no("a condition twice", POOL, &["{spec: {image: a}, status: {conditions: [
        {type: Ready, status: 'True', reason: A, lastTransitionTime: '2026-11-23T07:00:00Z'},
        {type: Ready, status: 'False', reason: A, lastTransitionTime: '2026-11-23T07:00:00Z'}]}}"], "status.conditions[1]"),
    no("no spec", POOL, &["metadata: {name: agents}"], "spec"),
    no("an unknown field", POOL, &["spec: {image: a, size: 3}"], "spec.size"),
    // Names.
    ok("a name of 50 characters", POOL, &["{metadata: {name: a2345678-1-2345678-2-2345678-3-2345678-4-2345678-5}, spec: {image: a, max: 1000}}"]),
    no(
        "a name of 51 characters",
        POOL,
        &["{metadata: {name: a2345678-1-2345678-2-2345678-3-2345678-4-2345678-5x}, spec: {image: a}}"],
        "the name of a pool must have at most 50 characters",
    ),
    no("a name with a dot", POOL, &["{metadata: {name: my.agents}, spec: {image: a}}"], "without dots, such as agents"),
    no(
        "a name of 49 characters and a max above 1000",
        POOL,
        &["{metadata: {name: a2345678-1-2345678-2-2345678-3-2345678-4-23456789}, spec: {image: a, max: 1001}}"],
        "max must be <= 1000 if the name",
    ),
    ok("a name of 48 characters and a max above 1000", POOL, &["{metadata: {name: a2345678-1-2345678-2-2345678-3-2345678-4-2345678}, spec: {image: a, max: 1001}}"]),
    // Sizes.
    ok("min may be max", POOL, &["spec: {image: a, min: 8}"]),
    no("min above the default of max", POOL, &["spec: {image: a, min: 9}"], "min must be <= max (raise spec.max first)"),
    no("min raised above max", POOL, &["spec: {image: a, max: 2}", "spec: {image: a, max: 2, min: 3}"], "min must be <= max (raise spec.max first)"),
    no("min below 0", POOL, &["spec: {image: a, min: -1}"], "spec.min"),
    no("max 0", POOL, &["spec: {image: a, max: 0}"], "spec.max"),
    no("max beyond the ordinals", POOL, &["spec: {image: a, max: 100001}"], "spec.max"),
    no("warm below 0", POOL, &["spec: {image: a, warm: -1}"], "spec.warm"),
    no("a string for a number", POOL, &["spec: {image: a, max: many}"], "spec.max"),
    // Periods.
    ok("periods of every unit", POOL, &["spec: {image: a, cooldown: 250ms, idleTimeout: 1h30m, recycle: {maxAge: 876000h}, rateLimit: {probeAfter: 1m1s}}"]),
    no("cooldown 0s", POOL, &["spec: {image: a, cooldown: 0s}"], ABOVE),
    no("cooldown without a unit", POOL, &["spec: {image: a, cooldown: '5'}"], ABOVE),
    no("cooldown in days", POOL, &["spec: {image: a, cooldown: 1d}"], ABOVE),
    no("cooldown below 0", POOL, &["spec: {image: a, cooldown: -5m}"], ABOVE),
    no("cooldown with a fraction", POOL, &["spec: {image: a, cooldown: 1.5h}"], ABOVE),
    no("cooldown of two hundred years", POOL, &["spec: {image: a, cooldown: 1752000h, rateLimit: {maxCooldown: 876000h}}"], "at most 876000h"),
    no("cooldown above maxCooldown", POOL, &["spec: {image: a, cooldown: 61m}"], "cooldown must be <= rateLimit.maxCooldown (raise"),
    ok("cooldown at maxCooldown", POOL, &["spec: {image: a, cooldown: 2h, rateLimit: {maxCooldown: 120m}}"]),
    no("idleTimeout 0s", POOL, &["spec: {image: a, idleTimeout: 0s}"], ABOVE),
    no("maxCooldown 0s", POOL, &["spec: {image: a, rateLimit: {maxCooldown: 0s}}"], ABOVE),
    no("probeAfter 0s", POOL, &["spec: {image: a, rateLimit: {probeAfter: 0s}}"], ABOVE),
    no("health.interval 0s", POOL, &["spec: {image: a, health: {interval: 0s}}"], ABOVE),
    no("health.timeout 0s", POOL, &["spec: {image: a, health: {timeout: 0s}}"], ABOVE),
    no("health.startTimeout 0s", POOL, &["spec: {image: a, health: {startTimeout: 0s}}"], ABOVE),
    ok("periods that 0s switches off", POOL, &["spec: {image: a, recycle: {maxAge: 0s}, dispatch: {queueTimeout: 0s, timeout: 0s, history: {ttl: 0s}}}"]),
    ok("parkProbe 0s", POOL, &["spec: {image: a, rateLimit: {parkProbe: 0s}}"]),
    no("parkProbe in words", POOL, &["spec: {image: a, rateLimit: {parkProbe: never}}"], PERIOD),
    no("maxAge in words", POOL, &["spec: {image: a, recycle: {maxAge: never}}"], PERIOD),
    no("dispatch.queueTimeout in words", POOL, &["spec: {image: a, dispatch: {queueTimeout: never}}"], PERIOD),
    no("dispatch.timeout in words", POOL, &["spec: {image: a, dispatch: {timeout: never}}"], PERIOD),
    no("history.ttl in words", POOL, &["spec: {image: a, dispatch: {history: {ttl: '1 hour'}}}"], PERIOD),
    // What shapes the worker.
    no("an empty image", POOL, &["spec: {image: ''}"], IMAGE),
    no("an image with a space", POOL, &["spec: {image: 'agent :1'}"], IMAGE),
    no("Docker without an image", POOL, &["spec: {runtime: Docker}"], NO_IMAGE),
    no("Pod without an image", POOL, &["spec: {runtime: Pod}"], NO_IMAGE),
    no("neither an image nor a runtime", POOL, &["spec: {}"], NO_IMAGE),
    no("the image taken out", POOL, &["spec: {image: a}", "spec: {}"], NO_IMAGE),
    ok("Process instead of an image", POOL, &["spec: {image: a}", "spec: {runtime: Process}"]),
    no("Process with an image", POOL, &["spec: {runtime: Process, image: a}"], "runtime Process has no image"),
    no(
        "Process with mounts",
        POOL,
        &["spec: {runtime: Process, mounts: [{hostPath: /a, mountPath: /a}]}"],
        "runtime Process has no mounts",
    ),
    no("Process with resources", POOL, &["spec: {runtime: Process, resources: {}}"], "runtime Process cannot limit resources"),
    no("Process with a podTemplate", POOL, &["spec: {runtime: Process, podTemplate: {}}"], "podTemplate is for runtime Pod only"),
    no("Docker with a podTemplate", POOL, &["spec: {runtime: Docker, image: a, podTemplate: {}}"], "podTemplate is for runtime Pod only"),
    no("Process with hosts", POOL, &["spec: {runtime: Process, hosts: [{name: local}]}"], "hosts are for runtime Docker only"),
    no("Process with pause", POOL, &["spec: {runtime: Process, rateLimit: {pause: true}}"], "rateLimit.pause is for runtime Docker only"),
    no("Pod with pause", POOL, &["spec: {runtime: Pod, image: a, rateLimit: {pause: true}}"], "rateLimit.pause is for runtime Docker only"),
    no("Pod with hosts", POOL, &["spec: {runtime: Pod, image: a, hosts: [{name: local}]}"], "hosts are for runtime Docker only"),
    no(
        "Docker with requests",
        POOL,
        &["spec: {runtime: Docker, image: a, resources: {requests: {cpu: 1}}}"],
        "resources.requests are for runtime Pod only",
    ),
    no(
        "Docker with a limit that it does not know",
        POOL,
        &["spec: {runtime: Docker, image: a, resources: {limits: {cpu: 1, nvidia.com/gpu: 1}}}"],
        "runtime Docker can limit cpu and memory only",
    ),
    no("a runtime of another kind", POOL, &["spec: {runtime: Podman}"], "spec.runtime"),
    no("a limit that is no quantity", POOL, &["spec: {image: a, resources: {limits: {memory: lots}}}"], "spec.resources.limits.memory"),
    no("workingDir that is relative", POOL, &["spec: {image: a, workingDir: agents}"], ABSOLUTE),
    no("hostPath that is relative", POOL, &["spec: {image: a, mounts: [{hostPath: ./a, mountPath: /a}]}"], ABSOLUTE),
    no("mountPath that is relative", POOL, &["spec: {image: a, mounts: [{hostPath: /a, mountPath: a}]}"], "must be an absolute path below /"),
    no("mountPath that is the root", POOL, &["spec: {image: a, mounts: [{hostPath: /a, mountPath: /}]}"], "must be an absolute path below /"),
    no(
        "two mounts at one path",
        POOL,
        &["spec: {image: a, mounts: [{hostPath: /a, mountPath: /x}, {hostPath: /b, mountPath: /x}]}"],
        "spec.mounts[1]",
    ),
    no("a variable with a hyphen", POOL, &["spec: {image: a, env: [{name: A-B}]}"], ENV),
    no("a variable twice", POOL, &["spec: {image: a, env: [{name: A}, {name: A, value: b}]}"], "spec.env[1]"),
    no("a host with a dot", POOL, &["spec: {image: a, hosts: [{name: gpu.1}]}"], LABEL),
    no("a host twice", POOL, &["spec: {image: a, hosts: [{name: a}, {name: a}]}"], "spec.hosts[1]"),
    no("a host with less than no workers", POOL, &["spec: {image: a, hosts: [{name: a, max: -1}]}"], "spec.hosts[0].max"),
    // Credentials.
    no("a credential in capitals", POOL, &["spec: {image: a, credentials: [{name: Team, env: A, fromEnv: B}]}"], LABEL),
    no("a credential twice", POOL, &["spec: {image: a, credentials: [{name: a, env: A, fromEnv: B}, {name: a, env: A, fromEnv: C}]}"], "spec.credentials[1]"),
    no("a credential for no variable", POOL, &["spec: {image: a, credentials: [{name: a, fromEnv: B}]}"], "spec.credentials[0]"),
    no("a credential for a bad variable", POOL, &["spec: {image: a, credentials: [{name: a, env: 1A, fromEnv: B}]}"], ENV),
    no("a credential from a bad variable", POOL, &["spec: {image: a, credentials: [{name: a, env: A, fromEnv: $B}]}"], ENV),
    no("a credential from a relative file", POOL, &["spec: {image: a, credentials: [{name: a, env: A, fromFile: token}]}"], ABSOLUTE),
    no("a credential from no command", POOL, &["spec: {image: a, credentials: [{name: a, env: A, fromCommand: []}]}"], "spec.credentials[0].fromCommand"),
    no(
        "a credential from a bad Secret",
        POOL,
        &["spec: {image: a, credentials: [{name: a, env: A, secretKeyRef: {name: My_Tokens, key: a}}]}"],
        "must be the name of an object",
    ),
    no(
        "a credential from a bad key",
        POOL,
        &["spec: {image: a, credentials: [{name: a, env: A, secretKeyRef: {name: tokens, key: a/b}}]}"],
        "must be a key of a Secret",
    ),
    no("a credential from nowhere", POOL, &["spec: {image: a, credentials: [{name: a, env: A}]}"], "needs exactly one of secretKeyRef, fromEnv"),
    no(
        "a credential from two places",
        POOL,
        &["spec: {image: a, credentials: [{name: a, env: A, fromEnv: B, fromFile: /b}]}"],
        "needs exactly one of secretKeyRef, fromEnv",
    ),
    no("a credential for 0 at a time", POOL, &["spec: {image: a, credentials: [{name: a, env: A, fromEnv: B, maxConcurrent: 0}]}"], "maxConcurrent"),
    ok(
        "a credential that is a directory",
        POOL,
        &["spec: {image: a, credentials: [{name: a, env: A, directory: {hostPath: /logins/a.b, mountPath: /login, runAs: host, watch: .x/auth.json}}]}"],
    ),
    ok("a directory that is shared", POOL, &["spec: {image: a, credentials: [{name: a, env: A, directory: {hostPath: /home/me/.claude, shared: true}}]}"]),
    no(
        "the user's own directory",
        POOL,
        &["spec: {image: a, credentials: [{name: a, env: A, directory: {hostPath: /home/me/.claude/}}]}"],
        "your own agent uses this directory",
    ),
    no(
        "a directory by way of another one",
        POOL,
        &["spec: {image: a, credentials: [{name: a, env: A, directory: {hostPath: /logins/../a}}]}"],
        "hostPath cannot contain ..",
    ),
    no(
        "a directory at a relative path",
        POOL,
        &["spec: {image: a, credentials: [{name: a, env: A, directory: {hostPath: /a, mountPath: login}}]}"],
        "must be an absolute path below /",
    ),
    no("a relative directory", POOL, &["spec: {image: a, credentials: [{name: a, env: A, directory: {hostPath: logins}}]}"], "must be an absolute path below /"),
    no(
        "a login outside of its directory",
        POOL,
        &["spec: {image: a, credentials: [{name: a, env: A, directory: {hostPath: /a, watch: ../b}}]}"],
        "must be the path of a file in the directory",
    ),
    no("a directory as a file", POOL, &["spec: {image: a, credentials: [{name: a, env: A, file: /a, directory: {hostPath: /a}}]}"], "file is for a value"),
    ok("a value as a file", POOL, &["spec: {image: a, credentials: [{name: a, env: A, fromEnv: B, file: /run/token}]}"]),
    no("a value as a relative file", POOL, &["spec: {image: a, credentials: [{name: a, env: A, fromEnv: B, file: token}]}"], "must be an absolute path below /"),
    no(
        "Pod with a directory",
        POOL,
        &["spec: {runtime: Pod, image: a, credentials: [{name: a, env: A, directory: {hostPath: /a}}]}"],
        "with runtime Pod a credential must come from a Secret",
    ),
    no(
        "Pod with a credential of the controller's machine",
        POOL,
        &["spec: {runtime: Pod, image: a, credentials: [{name: a, env: A, fromEnv: B}]}"],
        "with runtime Pod a credential must come from a Secret",
    ),
    no(
        "a variable from env and from a credential",
        POOL,
        &["spec: {image: a, env: [{name: B}, {name: A}], credentials: [{name: a, env: A, fromEnv: B}]}"],
        "a variable is set both by env and by a credential",
    ),
    // Policies.
    ok("exit codes", POOL, &["spec: {image: a, rateLimit: {scope: Credential, exitCodes: [1, 255], patterns: ['429 (?<retryAfter>[0-9]+)']}}"]),
    no("exit code 0", POOL, &["spec: {image: a, rateLimit: {exitCodes: [0]}}"], "spec.rateLimit.exitCodes[0]"),
    no("exit code 256", POOL, &["spec: {image: a, rateLimit: {exitCodes: [256]}}"], "spec.rateLimit.exitCodes[0]"),
    no("an exit code twice", POOL, &["spec: {image: a, rateLimit: {exitCodes: [75, 75]}}"], "spec.rateLimit.exitCodes[1]"),
    no("an empty pattern", POOL, &["spec: {image: a, rateLimit: {patterns: ['']}}"], "spec.rateLimit.patterns[0]"),
    ok("an escaped parenthesis in a pattern", POOL, &[r"spec: {image: a, rateLimit: {patterns: ['claude-code', 'limit \(?<=\\', '\d+ \(?=', '(?P<resetAt>.+)|(?:[0-9])']}}"]),
    no("a pattern that looks ahead", POOL, &["spec: {image: a, rateLimit: {patterns: ['a(?!b)']}}"], "an expression cannot look around"),
    no("a pattern that looks behind", POOL, &[r"spec: {image: a, rateLimit: {patterns: ['a', '\\(?<=b)']}}"], "an expression cannot look around"),
    no("a pattern that refers back", POOL, &[r"spec: {image: a, rateLimit: {patterns: ['(a)\1']}}"], "an expression cannot refer back to a group"),
    no("a pattern with another group", POOL, &["spec: {image: a, rateLimit: {patterns: ['wait (?<seconds>[0-9]+)']}}"], "only the groups retryAfter and resetAt are read"),
    no("a pattern with almost the right group", POOL, &["spec: {image: a, rateLimit: {patterns: ['wait (?P<retryAfte>[0-9]+)']}}"], "only the groups retryAfter and resetAt are read"),
    no("a pattern that matches all", POOL, &["spec: {image: a, rateLimit: {patterns: ['^.*$']}}"], "would match every output"),
    no("a pattern that ends with a newline", POOL, &["spec: {image: a, rateLimit: {patterns: [\"limit\\n\"]}}"], "cannot end with a newline"),
    no("another scope", POOL, &["spec: {image: a, rateLimit: {scope: Host}}"], "spec.rateLimit.scope"),
    ok("no surge", POOL, &["spec: {image: a, update: {maxSurge: 0}}"]),
    ok("maxSurge of all", POOL, &["spec: {image: a, update: {maxSurge: 100%}}"]),
    no("maxSurge below 0", POOL, &["spec: {image: a, update: {maxSurge: -1}}"], "spec.update.maxSurge"),
    no("maxSurge as a string", POOL, &["spec: {image: a, update: {maxSurge: '3'}}"], "spec.update.maxSurge"),
    ok("no grace", POOL, &["spec: {image: a, terminationGracePeriod: 0s}"]),
    no("a grace of parts of a second", POOL, &["spec: {image: a, terminationGracePeriod: 1500ms}"], "in whole s, m and h"),
    no("a grace of days", POOL, &["spec: {image: a, terminationGracePeriod: 25h}"], "at most 24h"),
    no("a drainTimeout without a unit", POOL, &["spec: {image: a, drainTimeout: '3600'}"], "spec.drainTimeout"),
    ok("no protection", POOL, &["spec: {image: a, drainTimeout: 0s}"]),
    ok("maxUnavailable as a number", POOL, &["spec: {image: a, update: {maxUnavailable: 3}}"]),
    ok("maxUnavailable of all", POOL, &["spec: {image: a, update: {maxUnavailable: 100%}}"]),
    no("maxUnavailable 0", POOL, &["spec: {image: a, update: {maxUnavailable: 0}}"], "spec.update.maxUnavailable"),
    no("maxUnavailable 0%", POOL, &["spec: {image: a, update: {maxUnavailable: 0%}}"], "spec.update.maxUnavailable"),
    no("maxUnavailable 101%", POOL, &["spec: {image: a, update: {maxUnavailable: 101%}}"], "spec.update.maxUnavailable"),
    no("maxUnavailable as a string", POOL, &["spec: {image: a, update: {maxUnavailable: '3'}}"], "spec.update.maxUnavailable"),
    no("recycled after less than none", POOL, &["spec: {image: a, recycle: {afterDispatches: -1}}"], "spec.recycle.afterDispatches"),
    no("a queue below 0", POOL, &["spec: {image: a, dispatch: {queueLimit: -1}}"], "spec.dispatch.queueLimit"),
    no("a history below 0", POOL, &["spec: {image: a, dispatch: {history: {limit: -1}}}"], "spec.dispatch.history.limit"),
];

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

const DISPATCHES: &[Case] = &[
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

const WORKER: &str = "Worker";
const WORKER_FIXED: &str = "spec cannot change, except cordoned";

const WORKERS: &[Case] = &[
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

/// The merge patch that makes one object of another.
pub fn difference(old: &Value, new: &Value) -> Value {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let gone = old.keys().filter(|k| !new.contains_key(*k)).map(|k| (k.clone(), Value::Null));
            let changed = new.iter().filter(|(k, v)| old.get(*k) != Some(v));
            let changed = changed.map(|(k, v)| (k.clone(), difference(old.get(k).unwrap_or(&Value::Null), v)));
            Value::Object(gone.chain(changed).collect())
        }
        _ => new.clone(),
    }
}
