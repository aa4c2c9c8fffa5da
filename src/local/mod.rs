//! A small Kubernetes API server in this process, for tests and for running without a cluster.
//!
//! It serves the CRDs that it is given, and Leases, Events, Namespaces and Secrets, as a tower service under
//! [`kube::Client`]; codes, reasons and messages are those of kube-apiserver 1.33. It knows nothing of pools.
//! A request for a feature that it lacks gets 406, 415 or 501 with the name of the feature: apply patches, responses in
//! protobuf, and `PartialObjectMetadata`. A CRD that needs conversion, or has
//! an unknown keyword, format or rule, is refused at the start. There are no webhooks and no authorization, and any namespace
//! may be used without creating it. `tests/kubectl/differences.rs` lists what kubectl meets here and not in a cluster.
//!
//! From the outside inwards; each uses only those below it:
//!
//! - `server`: the handle that the program holds, and the tower service. `service` answers one request.
//! - `discovery`: what clients ask for first: the kinds, the version, the OpenAPI documents, what they may do.
//! - `objects`: the verbs, garbage collection, and the deletion of namespaces.
//! - `request`: reads paths, queries, bodies, patches and selectors.
//! - `response`: writes objects, lists, watch events and errors.
//! - `store`: the objects, the events that watches read, and the records.
//! - `schema`: the kinds, and what a valid object of each kind is.
//! - `record`, `options`: words that all of them use.
//!
//! It has no thread and no clock of its own and iterates over nothing in random order. On one thread, with a seeded
//! [`Ids`](crate::clock::Ids) and a fixed [`Clock`](crate::clock::Clock), the same requests give the same history.

mod discovery;
mod objects;
mod options;
mod record;
mod request;
mod response;
mod schema;
mod server;
mod service;
mod store;

pub use options::{History, LocalError, Options};
pub use record::{Change, Record, Resource};
pub use response::http::ResponseBody;
pub use server::{LocalApi, LocalService};
pub use store::disk::{DiskCopier, DiskEpoch, DiskError, DiskStore};
pub use store::{Contents, Store, StoreError};
