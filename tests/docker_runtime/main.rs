//! The Docker runtime against a real engine. `eval "$(scripts/docker-up.sh DIR)"; scripts/docker-image.sh` gives one.
//!
//! Without an engine the tests are skipped, loudly; POOLKEEPER_REQUIRE_DOCKER=1 makes that a failure.
//! What kills an engine starts one of its own, and does so only if POOLKEEPER_DOCKERD_PRIVATE=1.

mod engine;
mod exec;
mod faults;
mod figures;
mod fixture;
mod healthcheck;
mod life;
mod logins;
mod pauses;
mod refusals;
mod requests;
mod sweep;
