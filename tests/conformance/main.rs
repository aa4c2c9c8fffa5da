//! One suite for two API servers: what the embedded one answers, a real kube-apiserver answers too.
//!
//! Every test runs against the embedded server (`…::local::…`), and against the server of a kubeconfig
//! (`…::real::…`) where `POOLKEEPER_TEST_API` names one; it then has to be there. The version to
//! compare with is Kubernetes 1.33. `scripts/ci/conformance.sh` starts one where `KUBECONFIG` is not set.
//!
//! - `writes`, `deletion`, `schema`, `subresources`, `scale`, `secrets`, `watching` say in words what is expected.
//! - `stories` and `rules` are tables of requests. What is expected are the whole answers, in `answers/`: they were
//!   recorded from a real server (`POOLKEEPER_RECORD=1` does it again), never from the embedded one.

#[macro_use]
mod subject;
mod deletion;
mod exchange;
mod rules;
mod scale;
mod schema;
mod secrets;
mod stories;
mod subresources;
mod watching;
mod writes;
