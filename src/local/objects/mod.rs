//! What a kube-apiserver does between the request and its store.

pub(crate) mod api;
mod change;
mod gc;
mod list;
mod namespaces;
pub(crate) mod scale;
pub(crate) mod verbs;
pub(crate) mod watch;
