//! What a kube-apiserver does between the request and its store.

pub(crate) mod api;
mod change;
mod gc;
mod list;
pub(crate) mod scale;
pub(crate) mod verbs;
pub(crate) mod watch;
