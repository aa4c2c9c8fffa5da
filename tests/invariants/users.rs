//! What people do: make pools, change them, delete things.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Resource;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use poolkeeper::api::{ContainerPool, Dispatch, Worker};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::world::World;

pub fn api<K>(world: &World) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(world.user.clone(), "sim")
}

pub async fn make_pools(world: &World) {
    for (name, spec) in &world.plan.pools {
        let pool = ContainerPool::new(name, spec.clone());
        api::<ContainerPool>(world).create(&PostParams::default(), &pool).await.unwrap();
    }
}

/// Merges into an object. False: it is not there, or the server would not.
pub async fn merge<K>(world: &World, name: &str, change: Value) -> bool
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let done = api::<K>(world).patch(name, &PatchParams::default(), &Patch::Merge(change)).await;
    if let Err(e) = &done {
        world.ledger.say(format!("  user: {name}: {e}"));
    }
    done.is_ok()
}

pub async fn annotate_pool(world: &World, pool: &str, key: &str, value: &str) -> bool {
    merge::<ContainerPool>(world, pool, json!({"metadata": {"annotations": {key: value}}})).await
}

pub async fn delete<K>(world: &World, name: &str) -> bool
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    api::<K>(world).delete(name, &DeleteParams::default()).await.is_ok()
}

pub async fn dispatches(world: &World) -> Vec<Dispatch> {
    api::<Dispatch>(world).list(&Default::default()).await.unwrap().items
}

pub async fn workers(world: &World) -> Vec<Worker> {
    api::<Worker>(world).list(&Default::default()).await.unwrap().items
}

pub async fn pools(world: &World) -> Vec<ContainerPool> {
    api::<ContainerPool>(world).list(&Default::default()).await.unwrap().items
}

/// What people do between two rounds: they restore the pools, and give up what still waits or was refused.
pub async fn begin_anew(world: &World) {
    for d in dispatches(world).await {
        if !d.status.as_ref().is_some_and(|s| s.phase.is_final()) {
            delete::<Dispatch>(world, d.metadata.name.as_deref().unwrap()).await;
        }
    }
    for pool in pools(world).await {
        let requests = pool.metadata.annotations.iter().flatten().filter(|(key, _)| key.contains("poolkeeper.dev/"));
        let nothing: BTreeMap<&String, Option<()>> = requests.map(|(key, _)| (key, None)).collect();
        if !nothing.is_empty() {
            let name = pool.metadata.name.as_deref().unwrap();
            merge::<ContainerPool>(world, name, json!({"metadata": {"annotations": nothing}})).await;
        }
    }
    for (name, spec) in &world.plan.pools {
        let pool = ContainerPool::new(name, spec.clone());
        if api::<ContainerPool>(world).create(&PostParams::default(), &pool).await.is_err() {
            merge::<ContainerPool>(world, name, json!({"spec": spec})).await;
        }
    }
}

/// What people do so that all can come to its end.
pub async fn heal(world: &World) {
    for w in workers(world).await {
        if w.spec.cordoned {
            merge::<Worker>(world, w.metadata.name.as_deref().unwrap(), json!({"spec": {"cordoned": false}})).await;
        }
    }
    for pool in pools(world).await {
        let name = pool.metadata.name.clone().unwrap();
        if pool.spec.paused || !pool.spec.command.is_empty() {
            merge::<ContainerPool>(world, &name, json!({"spec": {"paused": false, "command": null}})).await;
        }
    }
    if world.plan.clears_at_end {
        // Refusals may go on for as long as there are attempts.
        let world = world.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                sleep(Duration::from_secs(30)).await;
                for pool in pools(&world).await {
                    for rest in pool.status.iter().flat_map(|s| &s.rate_limits).filter(|r| r.parked) {
                        let Some(c) = pool.spec.credentials.iter().find(|c| c.identity() == rest.key) else { continue };
                        let key = format!("cooldown.poolkeeper.dev/{}", c.name);
                        annotate_pool(&world, pool.metadata.name.as_deref().unwrap(), &key, "clear").await;
                    }
                }
            }
        });
    }
}
