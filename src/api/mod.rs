//! The API `poolkeeper.dev/v1alpha1`: types, defaults, names, grammar. No behaviour.
//!
//! The CRDs' validation refuses unknown fields. These types do not: an old controller must be able to read a newer object.
//!
//! A newer version can add values to an enum, and these types do not read them: a list of `Dispatch` would then fail as a
//! whole. Code that lists or watches therefore wraps the type in one that confines the error to its object and keeps the
//! name and uid, such as `kube::core::DeserializeGuard`. An unreadable object still exists: its slot, its name and its
//! dispatch are taken. Leave it alone, and do not treat it as deleted.

mod common;
pub mod crd;
pub mod dispatch;
pub mod names;
pub mod period;
pub mod pool;
#[cfg(test)]
mod reference;
pub mod requests;
mod rules;
mod schema;
pub mod vocabulary;
pub mod worker;

pub use common::{Condition, GROUP, RuntimeKind, Seconds, Time, VERSION, seconds};
pub use dispatch::{Dispatch, DispatchSpec, DispatchStatus};
pub use period::Period;
pub use pool::{ContainerPool, ContainerPoolSpec, ContainerPoolStatus};
pub use worker::{Worker, WorkerSpec, WorkerStatus};
