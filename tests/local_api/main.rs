//! What a Kubernetes API server does, as a client sees it.
//!
//! Runs against the embedded server, or, with `POOLKEEPER_TEST_CLUSTER=1`, against the cluster of the kubeconfig
//! (all but what looks inside the server): every expectation is one that kube-apiserver 1.33 fulfils.

mod deletion;
mod differential;
mod embedding;
mod schema;
mod speed;
mod subresources;
mod support;
mod watching;
mod writes;
