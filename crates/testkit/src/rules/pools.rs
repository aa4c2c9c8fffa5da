//! Pools.

use super::{ABSOLUTE, Case, LABEL, PERIOD, no, ok};

const POOL: &str = "ContainerPool";
const ABOVE: &str = "must be a length of time above 0s";
const ENV: &str = "must be the name of an environment variable";
const IMAGE: &str = "must be an image without spaces";
const NO_IMAGE: &str = "image is required unless runtime is Process";

pub(super) const POOLS: &[Case] = &[
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
