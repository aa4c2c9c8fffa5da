//! A ContainerPool.
//!
//! [`decide`] has the order of a round. The other files are what it calls, each one rule.

mod assign;
mod backoff;
mod decide;
mod explain;
mod progress;
mod requests;
mod scale;
mod status;
mod template;
mod update;
mod waiting;
