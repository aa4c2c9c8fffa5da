//! Why a Dispatch waits: what it says itself, else what its pool says.

use std::time::Duration;

use kube::Api;

use crate::api::vocabulary::{PoolDispatching, PoolReady, PoolScalingLimited};
use crate::api::{Condition, ContainerPool, Dispatch};
use crate::cli::output;
use crate::cli::server::Server;

/// How long nothing is said, and then the pause between two looks.
const PAUSE: Duration = Duration::from_secs(5);

/// Says on standard error why the Dispatch waits, and again when that changes. It does not end.
pub(super) async fn explain(server: &Server, name: &str, pool: &str) -> std::convert::Infallible {
    let mut said = String::new();
    loop {
        tokio::time::sleep(PAUSE).await;
        let words = why(server, name, pool).await;
        if words != said {
            output::say(&format!("task {name} waits for a worker of pool {pool}: {words}"));
            said = words;
        }
    }
}

async fn why(server: &Server, name: &str, pool: &str) -> String {
    let (dispatches, pools): (Api<Dispatch>, Api<ContainerPool>) = (server.api(), server.api());
    let own = dispatches.get(name).await.ok().and_then(|d| d.status).and_then(|status| {
        let until = status.waits_until.map(|time| format!(" (until {})", time.0)).unwrap_or_default();
        Some(format!("{}{until}", status.message?))
    });
    if let Some(own) = own {
        return own;
    }
    match pools.get(pool).await {
        Ok(pool) if pool.spec.paused => "the pool is paused".to_owned(),
        Ok(pool) => of_pool(&pool.status.unwrap_or_default().conditions),
        Err(error) => server.failed(&error).message,
    }
}

/// The first condition of a pool that keeps work waiting.
fn of_pool(conditions: &[Condition]) -> String {
    let bad = |condition: Option<&Condition>, when: bool| {
        condition.filter(|c| c.is_true() == when && !c.message.is_empty()).map(|c| c.message.clone())
    };
    bad(Condition::find::<PoolDispatching>(conditions), false)
        .or_else(|| bad(Condition::find::<PoolScalingLimited>(conditions), true))
        .or_else(|| bad(Condition::find::<PoolReady>(conditions), false))
        .unwrap_or_else(|| "every worker is busy".to_owned())
}
