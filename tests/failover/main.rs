//! Two controllers and a real API server: leaders that die, stall and leave, and an API server and an etcd that crash,
//! under load. An auditor reads what watches showed, and what ran in which Pod, and nothing else.
//!
//! Needs a cluster with nodes of kwok: `POOLKEEPER_TEST_API` is its kubeconfig, `POOLKEEPER_TEST_KWOK=1` says so. Crashes of
//! the API server need `CLUSTER_STATE` and `API_PORT` of `scripts/cluster/cluster`, and `POOLKEEPER_TEST_ETCD`.
//! `scripts/ci/failover.sh` does all of that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod bites;
mod etcd;
mod leaders;
mod load;
mod process;
mod proxy;
mod recorder;
mod stage;
mod storms;
