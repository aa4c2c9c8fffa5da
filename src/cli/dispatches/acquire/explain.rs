//! Why a Dispatch waits: what it says itself, else what its pool says.

use std::time::Duration;

use kube::Api;

use crate::api::vocabulary::{PoolDispatching, PoolReady, Reason as _};
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

/// What a pool says of the work that waits in it.
fn of_pool(conditions: &[Condition]) -> String {
    let said =
        |condition: Option<&Condition>| condition.map(|c| c.message.clone()).filter(|message| !message.is_empty());
    let dispatching = Condition::find::<PoolDispatching>(conditions);
    // Its counts are up to 5 s old: it may not know of this dispatch yet.
    said(dispatching.filter(|c| c.reason != PoolDispatching::QueueEmpty.as_str()))
        .or_else(|| said(Condition::find::<PoolReady>(conditions).filter(|c| !c.is_true())))
        .unwrap_or_else(|| "no worker is free yet".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn says(dispatching: (&str, &str, &str), ready: (&str, &str, &str)) -> String {
        let one = |type_: &str, (status, reason, message): (&str, &str, &str)| {
            let text = json!({"type": type_, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": "2026-11-29T12:00:00Z"});
            serde_json::from_value(text).unwrap()
        };
        of_pool(&[one("Ready", ready), one("Dispatching", dispatching)])
    }

    #[test]
    fn what_the_pool_says_of_its_queue_counts_first() {
        let up = ("True", "Available", "no worker is up, and none is needed (spec.min is 0)");
        // It said that every worker was busy, while the first one was being started.
        assert_eq!(says(("True", "Assigning", "workers are starting"), up), "workers are starting");
        assert_eq!(says(("False", "Resting", "all workers rest"), up), "all workers rest");
        assert_eq!(says(("True", "QueueEmpty", ""), up), "no worker is free yet");
        let down = ("False", "StartsWait", "workers cannot start yet: ErrImagePull");
        assert_eq!(says(("True", "QueueEmpty", "1 dispatch waits for something else first"), down), down.2);
        assert_eq!(of_pool(&[]), "no worker is free yet");
    }
}
