//! Every CEL rule that reads more than one field. The API server refuses contradictions before the controller sees them.
//!
//! Rules on one string are next to its pattern, in [`super::schema`]. Bounds of numbers and lists are attributes of types.
//! Only functions that both the API server and kube-cel know: has, size, matches, duration, all, exists, in.
//! A field that a runtime cannot honour is refused, not ignored. While `runtime` is not set, the controller's default
//! decides, and a refusal appears in the condition `RuntimeAllowed`.

/// A rule of one kind.
pub(super) struct Rule {
    /// Path of the object that is `self`, such as `spec.rateLimit`; "" is the whole object, `[]` the items of a list.
    pub at: &'static str,
    /// CEL expression that is true for a correct object.
    pub cel: &'static str,
    /// What is wrong, and what would be right.
    pub message: &'static str,
}

/// Rules of `ContainerPool`.
pub(super) const POOL: &[Rule] = &[
    Rule {
        at: "",
        cel: "size(self.metadata.name) <= 50",
        message: "the name of a pool must have at most 50 characters: the names of its workers are longer",
    },
    Rule {
        at: "",
        cel: "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        message: "the name of a pool must consist of lower case letters, digits and hyphens, without dots, such as agents",
    },
    Rule {
        at: "",
        // <pool>-<ordinal>-<uid8> must fit 63 characters: 50 leave three digits for the ordinal, 48 five.
        cel: "self.spec.max <= 1000 || size(self.metadata.name) <= 48",
        message: "max must be <= 1000 if the name of the pool has more than 48 characters (lower spec.max, or use a shorter name)",
    },
    Rule { at: "spec", cel: "self.min <= self.max", message: "min must be <= max (raise spec.max first)" },
    Rule {
        at: "spec",
        cel: "!self.cooldown.matches('^([0-9]+(ms|s|m|h))+$') || !self.rateLimit.maxCooldown.matches('^([0-9]+(ms|s|m|h))+$') \
              || duration(self.cooldown) <= duration(self.rateLimit.maxCooldown)",
        message: "cooldown must be <= rateLimit.maxCooldown (raise spec.rateLimit.maxCooldown first)",
    },
    Rule {
        at: "spec",
        cel: "has(self.image) || (has(self.runtime) && self.runtime == 'Process')",
        message: "image is required unless runtime is Process (set spec.image, or set spec.runtime to Process)",
    },
    Rule {
        at: "spec",
        cel: "!has(self.image) || !has(self.runtime) || self.runtime != 'Process'",
        message: "runtime Process has no image (remove spec.image, or set spec.runtime to Docker or Pod)",
    },
    Rule {
        at: "spec",
        cel: "!has(self.mounts) || !has(self.runtime) || self.runtime != 'Process'",
        message: "runtime Process has no mounts: its workers see the files of the host (remove spec.mounts, or set spec.runtime to Docker or Pod)",
    },
    Rule {
        at: "spec",
        cel: "!has(self.resources) || !has(self.runtime) || self.runtime != 'Process'",
        message: "runtime Process cannot limit resources (remove spec.resources, or set spec.runtime to Docker or Pod)",
    },
    Rule {
        at: "spec",
        cel: "!has(self.podTemplate) || !has(self.runtime) || self.runtime == 'Pod'",
        message: "podTemplate is for runtime Pod only (remove spec.podTemplate, or set spec.runtime to Pod)",
    },
    Rule {
        at: "spec",
        cel: "!has(self.hosts) || !has(self.runtime) || self.runtime == 'Docker'",
        message: "hosts are for runtime Docker only (remove spec.hosts, or set spec.runtime to Docker)",
    },
    Rule {
        at: "spec",
        cel: "!has(self.rateLimit.pause) || !self.rateLimit.pause || !has(self.runtime) || self.runtime == 'Docker'",
        message: "rateLimit.pause is for runtime Docker only (remove spec.rateLimit.pause, or set spec.runtime to Docker)",
    },
    Rule {
        at: "spec",
        cel: "!has(self.resources) || !has(self.resources.requests) || !has(self.runtime) || self.runtime == 'Pod'",
        message: "resources.requests are for runtime Pod only (use spec.resources.limits, or set spec.runtime to Pod)",
    },
    Rule {
        at: "spec",
        cel: "!has(self.resources) || !has(self.resources.limits) || !has(self.runtime) || self.runtime != 'Docker' \
              || self.resources.limits.all(k, k in ['cpu', 'memory'])",
        message: "runtime Docker can limit cpu and memory only (remove the others from spec.resources.limits)",
    },
    Rule {
        at: "spec",
        cel: "!has(self.credentials) || !has(self.runtime) || self.runtime != 'Pod' || self.credentials.all(c, has(c.secretKeyRef))",
        message: "with runtime Pod a credential must come from a Secret (use secretKeyRef instead of fromEnv, fromFile, fromCommand and directory)",
    },
    Rule {
        at: "spec",
        cel: "!has(self.credentials) || !has(self.env) || self.credentials.all(c, !self.env.exists(e, e.name == c.env))",
        message: "a variable is set both by env and by a credential (remove it from spec.env, or rename one of them)",
    },
    // An expression is never parsed by the server: its syntax is another one. These are the mistakes that can be seen without.
    Rule {
        at: "spec.rateLimit.patterns[]",
        cel: r"!self.matches('(^|[^\\\\])(\\\\\\\\)*[(][?]<?[=!]')",
        message: "an expression cannot look around (write the words of the limit, without (?=, (?!, (?<= and (?<!)",
    },
    Rule {
        at: "spec.rateLimit.patterns[]",
        cel: r"!self.matches('(^|[^\\\\])(\\\\\\\\)*\\\\([1-9]|k<)')",
        message: "an expression cannot refer back to a group (repeat the words instead of \\1 or \\k<name>)",
    },
    Rule {
        at: "spec.rateLimit.patterns[]",
        cel: r"!self.matches('(^|[^\\\\])(\\\\\\\\)*[(][?]P?<([^r=!>]|r[^e]|re[^ts]|ret[^r]|retr[^y]|retry[^A]|retryA[^f]|retryAf[^t]|retryAft[^e]|retryAfte[^r]|retryAfter[^>]|res[^e]|rese[^t]|reset[^A]|resetA[^t]|resetAt[^>])')",
        message: "only the groups retryAfter and resetAt are read (use one of these names, or (?:...) for a group without a name)",
    },
    Rule {
        at: "spec.rateLimit.patterns[]",
        cel: "!self.matches('^([.][*?]|[$^])*$')",
        message: "an expression that matches an empty line would match every output (write the words of the limit)",
    },
    Rule {
        at: "spec.rateLimit.patterns[]",
        cel: r"!self.matches('\\n$')",
        message: "an expression is for one line, and cannot end with a newline (in YAML, write |- instead of |)",
    },
    Rule {
        at: "spec.credentials[]",
        cel: "(has(self.secretKeyRef) ? 1 : 0) + (has(self.fromEnv) ? 1 : 0) + (has(self.fromFile) ? 1 : 0) \
              + (has(self.fromCommand) ? 1 : 0) + (has(self.directory) ? 1 : 0) == 1",
        message: "a credential needs exactly one of secretKeyRef, fromEnv, fromFile, fromCommand and directory",
    },
    Rule {
        at: "spec.credentials[]",
        cel: "!has(self.directory) || !has(self.file)",
        message: "file is for a value, and a directory has none (remove file; the variable names the directory)",
    },
    Rule {
        at: "spec.credentials[].directory",
        cel: "!self.hostPath.matches('(^|/)[.][.](/|$)')",
        message: "hostPath cannot contain .. (write the path without it)",
    },
    Rule {
        at: "spec.credentials[].directory",
        cel: "self.shared || !self.hostPath.matches('/[.](claude|codex|gemini|config|aws|ssh)/*$')",
        message: "your own agent uses this directory, and a worker could log it out (make a directory for each account; or set shared: true)",
    },
];

/// Rules of `Dispatch`.
pub(super) const DISPATCH: &[Rule] = &[
    Rule {
        at: "",
        cel: "!has(self.spec.result) || (has(self.status) && has(self.status.attempt) \
              && self.spec.result.attempt <= self.status.attempt)",
        message: "result is for an attempt that has not been assigned yet (wait until status.phase is Assigned, then report status.attempt)",
    },
    Rule {
        at: "",
        cel: "!has(self.spec.result) || (has(oldSelf.spec.result) && self.spec.result == oldSelf.spec.result) \
              || (has(self.status) && has(self.status.attempt) && self.spec.result.attempt == self.status.attempt \
              && (!has(self.status.lastResult) || self.status.lastResult.attempt < self.spec.result.attempt))",
        message: "result is for an attempt that is not the current one, or that has already ended (only status.attempt can be reported, and only once)",
    },
    Rule {
        at: "",
        cel: "!has(self.spec.result) || !has(oldSelf.spec.result) || self.spec.result.outcome != 'Lost' \
              || self.spec.result.attempt != oldSelf.spec.result.attempt || oldSelf.spec.result.outcome == 'Lost'",
        message: "Lost cannot replace another outcome of the same attempt (the attempt was reported before; report nothing more)",
    },
    Rule {
        at: "spec",
        cel: "self.pool == oldSelf.pool && self.priority == oldSelf.priority && self.retry.rateLimited == oldSelf.retry.rateLimited \
              && self.retry.workerLost == oldSelf.retry.workerLost && self.retry.failed == oldSelf.retry.failed \
              && self.retry.lost == oldSelf.retry.lost && self.retry.overloaded == oldSelf.retry.overloaded \
              && has(self.retry.backoff) == has(oldSelf.retry.backoff) \
              && has(self.retry.maxBackoff) == has(oldSelf.retry.maxBackoff) \
              && (!has(self.retry.backoff) || duration(self.retry.backoff) == duration(oldSelf.retry.backoff)) \
              && (!has(self.retry.maxBackoff) || duration(self.retry.maxBackoff) == duration(oldSelf.retry.maxBackoff)) \
              && has(self.queueTimeout) == has(oldSelf.queueTimeout) && has(self.timeout) == has(oldSelf.timeout) \
              && has(self.leaseName) == has(oldSelf.leaseName) && has(self.note) == has(oldSelf.note) \
              && (!has(self.queueTimeout) || duration(self.queueTimeout) == duration(oldSelf.queueTimeout)) \
              && (!has(self.timeout) || duration(self.timeout) == duration(oldSelf.timeout)) \
              && (!has(self.leaseName) || self.leaseName == oldSelf.leaseName) \
              && (!has(self.note) || self.note == oldSelf.note)",
        message: "spec cannot change, except cancel and result (set spec.cancel, and create another Dispatch)",
    },
    Rule { at: "spec.cancel", cel: "self || !oldSelf", message: "cancel cannot be undone (create another Dispatch)" },
    Rule {
        at: "spec.result",
        cel: "!has(self.retryAfter) || self.outcome in ['RateLimited', 'Overloaded', 'Succeeded']",
        message: "retryAfter is for the outcomes RateLimited, Overloaded and Succeeded only (remove it; in a merge patch, set it to null)",
    },
];

/// Rules of `Worker`.
pub(super) const WORKER: &[Rule] = &[Rule {
    at: "spec",
    cel: "self.pool == oldSelf.pool && self.poolGeneration == oldSelf.poolGeneration \
          && self.templateHash == oldSelf.templateHash && self.runtime == oldSelf.runtime \
          && has(self.credential) == has(oldSelf.credential) && has(self.host) == has(oldSelf.host) \
          && has(self.directory) == has(oldSelf.directory) && (!has(self.directory) || self.directory == oldSelf.directory) \
          && (!has(self.credential) || self.credential == oldSelf.credential) && (!has(self.host) || self.host == oldSelf.host)",
    message: "spec cannot change, except cordoned (change the pool instead: its workers are then replaced)",
}];
