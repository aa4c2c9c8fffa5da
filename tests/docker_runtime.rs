//! The Docker runtime against a real engine. `eval "$(scripts/docker-up.sh DIR)"; scripts/docker-image.sh` gives one.
//!
//! Without an engine the tests are skipped, loudly; POOLKEEPER_REQUIRE_DOCKER=1 makes that a failure.
//! What kills an engine starts one of its own, and does so only if POOLKEEPER_DOCKERD_PRIVATE=1.

#[path = "docker_runtime/engine.rs"]
mod engine;
#[path = "docker_runtime/exec.rs"]
mod exec;
#[path = "docker_runtime/faults.rs"]
mod faults;
#[path = "docker_runtime/figures.rs"]
mod figures;
#[path = "docker_runtime/fixture.rs"]
mod fixture;
#[path = "docker_runtime/healthcheck.rs"]
mod healthcheck;
#[path = "docker_runtime/life.rs"]
mod life;
#[path = "docker_runtime/logins.rs"]
mod logins;
#[path = "docker_runtime/pauses.rs"]
mod pauses;
#[path = "docker_runtime/refusals.rs"]
mod refusals;
#[path = "docker_runtime/requests.rs"]
mod requests;
#[path = "docker_runtime/sweep.rs"]
mod sweep;
