//! What a user of the API sees, rule by rule: the whole controller on virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

mod columns;
mod directories;
mod dispatching;
mod doors;
mod drains;
mod ends;
mod events;
mod instances;
mod log;
mod lost;
mod parking;
mod pauses;
mod queueing;
mod refused;
mod rests;
mod scaling;
mod status;
mod supervised;
mod updates;
mod waiting;
mod worker_status;
mod writes;
