//! Every default of a pool. The CRD and the command line take them from here.

use super::scope::Scope;
use crate::api::Period;

/// `spec.max`
pub const fn max() -> i32 {
    8
}
/// `spec.cooldown`
pub const fn cooldown() -> Period {
    Period::minutes(5)
}
/// `spec.idleTimeout`
pub const fn idle_timeout() -> Period {
    Period::minutes(30)
}
/// `spec.drainTimeout`
pub const fn drain_timeout() -> Period {
    Period::hours(1)
}
/// `spec.rateLimit.scope`
pub const fn scope() -> Scope {
    Scope::Worker
}
/// `spec.rateLimit.maxCooldown`
pub const fn max_cooldown() -> Period {
    Period::hours(1)
}
/// `spec.rateLimit.probeAfter`
pub const fn probe_after() -> Period {
    Period::seconds(60)
}
/// `spec.rateLimit.parkProbe`
pub const fn park_probe() -> Period {
    Period::hours(1)
}
/// `spec.rateLimit.exitCodes`: `EX_TEMPFAIL` of sysexits.h.
pub fn exit_codes() -> Vec<i32> {
    vec![75]
}
/// `spec.health.interval`
pub const fn health_interval() -> Period {
    Period::minutes(2)
}
/// `spec.health.timeout`
pub const fn health_timeout() -> Period {
    Period::seconds(10)
}
/// `spec.health.startTimeout`
pub const fn start_timeout() -> Period {
    Period::minutes(5)
}
/// `spec.dispatch.queueLimit`
pub const fn queue_limit() -> i32 {
    1000
}
/// `spec.dispatch.timeout`
pub const fn attempt_timeout() -> Period {
    Period::hours(6)
}
/// `spec.dispatch.history.ttl`
pub const fn history_ttl() -> Period {
    Period::hours(1)
}
/// `spec.dispatch.history.limit`
pub const fn history_limit() -> i32 {
    1000
}
/// `spec.mounts[].readOnly`
pub const fn read_only() -> bool {
    true
}
