//! Takes what a server says into the history of its pools.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;

use super::state::State;
use crate::cli::feed::Feed;
use crate::core::{ObjectKey, Seen};
use crate::dashboard::history::Kind;
use crate::dashboard::live::{Change, Watched};

/// How often pages get what is new.
const TICK: Duration = Duration::from_millis(250);

/// Follows a server, without end.
pub(super) async fn follow(mut feed: Feed, state: Arc<State>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            change = feed.next() => take(&state, change),
            _ = ticks.tick() => state.publish(),
        }
    }
}

fn take(state: &State, change: Change) {
    match change {
        Change::Pool(Seen::Present(pool)) => state.seen(|history, _| history.pool(&pool)),
        Change::Pool(Seen::Gone(pool)) => state.seen(|history, _| history.pool_gone(&pool.name_any())),
        Change::Pool(Seen::Listed(keys)) => listed(state, Kind::Pool, Watched::Pools, &keys),
        Change::Worker(Seen::Present(worker)) => state.seen(|history, now| history.worker(now, &worker)),
        Change::Worker(Seen::Gone(worker)) => {
            state.seen(|history, now| history.worker_gone(now, &worker.spec.pool, &worker.name_any()));
        }
        Change::Worker(Seen::Listed(keys)) => listed(state, Kind::Worker, Watched::Workers, &keys),
        Change::Dispatch(Seen::Present(dispatch)) => state.seen(|history, now| history.dispatch(now, &dispatch)),
        Change::Dispatch(Seen::Gone(dispatch)) => {
            state.seen(|history, now| history.dispatch_gone(now, &dispatch.spec.pool, &dispatch.name_any()));
        }
        Change::Dispatch(Seen::Listed(keys)) => listed(state, Kind::Dispatch, Watched::Dispatches, &keys),
        Change::Lost(what, _, loss) => state.lost(what, loss),
        Change::Answers(ahead) => {
            state.measured(ahead);
            state.found(Watched::Server);
        }
    }
}

/// Objects that a listing does not have are gone. The feed is of one namespace.
fn listed(state: &State, kind: Kind, what: Watched, keys: &BTreeSet<ObjectKey>) {
    let there = keys.iter().map(|key| key.name.to_string()).collect();
    state.seen(|history, now| history.listed(now, kind, &there));
    state.found(what);
}
