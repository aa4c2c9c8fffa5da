//! What the pools of a server do, as it changes: for commands that show it live.
//!
//! Three watches and a look at the server every few seconds. What is lost is said once, with its time; everything is listed again
//! when the server is back. `watch`: one watch. `pulse`: whether the server answers, and what time it is there. `events`: what the
//! server recorded about one object.

pub mod events;
mod pulse;
mod watch;

use std::sync::Arc;

use http::Request;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(super) use self::pulse::clock_ahead;
use super::exit::{Exit, Failure};
use super::print::kinds::Kind;
use super::server::Server;
use crate::api::RuntimeKind;
use crate::clock::Clock;
use crate::controller::Decoded;
use crate::dashboard::live::{Change, Store, Watched};

/// How many changes are held for a reader that is slow.
const HELD: usize = 1024;

/// The changes of a server, as they come. Dropping it ends its watches.
pub struct Feed {
    changes: mpsc::Receiver<Change>,
    _watches: JoinSet<()>,
}

impl Feed {
    /// Begins. `all_namespaces`: not the server's namespace alone.
    pub fn start(server: &Server, all_namespaces: bool, clock: Arc<dyn Clock>) -> Self {
        let (sender, changes) = mpsc::channel(HELD);
        let client = &server.client;
        let namespace = (!all_namespaces).then_some(&*server.namespace);
        let pulse = pulse::Pulse::new(client.clone(), clock.clone(), sender.clone());
        let losses = pulse.losses();
        let mut watches = JoinSet::new();
        let (pools, workers, dispatches) = (api(client, namespace), api(client, namespace), api(client, namespace));
        let (c, b, s) = (clock.clone(), losses.clone(), sender.clone());
        watches.spawn(watch::watch(pools, Watched::Pools, Change::Pool, c, b, s));
        let (c, b, s) = (clock.clone(), losses.clone(), sender.clone());
        watches.spawn(watch::watch(workers, Watched::Workers, Change::Worker, c, b, s));
        watches.spawn(watch::watch(dispatches, Watched::Dispatches, Change::Dispatch, clock, losses, sender));
        watches.spawn(pulse.run());
        Self { changes, _watches: watches }
    }

    /// The next change. It may be dropped and asked again.
    pub async fn next(&mut self) -> Change {
        // The watches hold senders, and never end by themselves.
        match self.changes.recv().await {
            Some(change) => change,
            None => std::future::pending().await,
        }
    }

    /// A change that has come already.
    pub fn ready(&mut self) -> Option<Change> {
        self.changes.try_recv().ok()
    }
}

/// That the server shows the three kinds to this user. `all_namespaces`: not the server's namespace alone.
///
/// # Errors
/// It does not, or does not answer.
pub async fn may_look(server: &Server, all_namespaces: bool) -> Result<(), Failure> {
    for kind in [Kind::Pool, Kind::Worker, Kind::Dispatch] {
        let path = kind.path((!all_namespaces).then_some(&*server.namespace));
        let one = Request::get(format!("{path}?limit=1")).body(Vec::new());
        let one = one.map_err(|e| Failure::usage(format!("{path}: {e}")))?;
        server.client.request::<serde_json::Value>(one).await.map_err(|e| server.failed(&e))?;
    }
    Ok(())
}

/// What of a server is shown.
pub struct Reach {
    /// True if it is more than the server's namespace.
    pub all_namespaces: bool,
    /// Why that namespace alone is shown, although all were asked for.
    pub less: Option<String>,
}

/// What of a server this user may look at: all namespaces if that is asked for, or else the server's namespace.
///
/// # Errors
/// Neither, or the server does not answer.
pub async fn reach(server: &Server, all_namespaces: bool) -> Result<Reach, Failure> {
    let Err(failure) = may_look(server, all_namespaces).await else { return Ok(Reach { all_namespaces, less: None }) };
    if !all_namespaces || failure.exit != Exit::Forbidden || may_look(server, false).await.is_err() {
        return Err(failure);
    }
    let less = format!("namespace {} only: {}", server.namespace, failure.message);
    Ok(Reach { all_namespaces: false, less: Some(less) })
}

/// A store for the objects of a server.
pub fn store(server: &Server) -> Store {
    Store::new(if server.is_local { RuntimeKind::Docker } else { RuntimeKind::Pod })
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<Decoded<K>>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
