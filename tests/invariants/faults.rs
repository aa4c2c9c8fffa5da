//! What each fault of a plan does.

use std::time::Duration;

use kube::api::PostParams;
use poolkeeper::api::{ContainerPool, Dispatch, Worker};
use poolkeeper::runtime::{InstanceKey, InstanceState};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::time::sleep;

use crate::net::{Cut, Rules};
use crate::plan::{Fault, Mischief, Who, Whose};
use crate::users::{annotate_pool, api, delete, dispatches, merge, pools, workers};
use crate::world::World;
use poolkeeper_testkit::fake::Fault as RuntimeFault;

/// Sets a rule for some time.
async fn rule(world: &World, who: Who, seconds: u64, set: impl Fn(&mut Rules), reset: impl Fn(&mut Rules)) {
    let time = Duration::from_secs(seconds);
    // What is delayed or silent ends up to 40 s later.
    world.trouble(time + Duration::from_secs(40));
    let slots = || world.slots.iter().enumerate().filter(move |(i, _)| who.is(*i)).map(|(_, s)| s);
    slots().for_each(|s| set(&mut s.wires.rules.lock().unwrap()));
    sleep(time).await;
    slots().for_each(|s| reset(&mut s.wires.rules.lock().unwrap()));
}

pub async fn strike(world: &World, fault: Fault) {
    let count = |kind: &str| world.ledger.count(&format!("fault: {kind}"));
    let secs = Duration::from_secs;
    match fault {
        Fault::DelayWrites(who, p, s) => {
            rule(world, who, s, |r| r.delay = Some((p, secs(25))), |r| r.delay = None).await;
        }
        Fault::DropWrites(who, p, s) => rule(world, who, s, |r| r.drop = p, |r| r.drop = 0.0).await,
        Fault::LoseAnswers(who, p, s) => rule(world, who, s, |r| r.answer_lost = p, |r| r.answer_lost = 0.0).await,
        Fault::Conflicts(who, p, s) => rule(world, who, s, |r| r.conflict = p, |r| r.conflict = 0.0).await,
        Fault::FailReads(who, p, s) => rule(world, who, s, |r| r.read_fails = p, |r| r.read_fails = 0.0).await,
        Fault::Gone(who, s) => {
            for slot in world.slots.iter().enumerate().filter(|(i, _)| who.is(*i)).map(|(_, s)| s) {
                slot.wires.cut(Cut::End);
            }
            rule(world, who, s, |r| r.gone = 0.7, |r| r.gone = 0.0).await;
        }
        Fault::Freeze(who, kinds, s) => {
            count("watch frozen");
            world.trouble(secs(s));
            for on in [true, false] {
                for slot in world.slots.iter().enumerate().filter(|(i, _)| who.is(*i)).map(|(_, s)| s) {
                    slot.wires.freeze(&kinds, on);
                }
                if on {
                    sleep(secs(s)).await;
                }
            }
        }
        Fault::CutWatches(who, how) => {
            count(if matches!(how, Cut::Gone) { "410" } else { "watch cut" });
            world.trouble(secs(0));
            for slot in world.slots.iter().enumerate().filter(|(i, _)| who.is(*i)).map(|(_, s)| s) {
                slot.wires.cut(how);
            }
        }
        Fault::Compact => {
            count("watch relisted");
            world.trouble(secs(0));
            world.api.compact();
            for slot in &world.slots {
                slot.wires.cut(Cut::End);
            }
        }
        Fault::Kill { slot, death, restart } => {
            world.trouble(secs(40 + restart));
            if world.is_alive(slot) {
                count("controller killed and restarted");
            }
            world.kill(slot, death).await;
            sleep(secs(restart)).await;
            world.start(slot);
        }
        Fault::Ambush { slot, death, mischief, restart } => {
            if !world.is_alive(slot) {
                return;
            }
            count("controller killed and restarted");
            world.trouble(secs(40 + restart));
            world.kill(slot, death).await;
            disturb(world, mischief).await;
            sleep(secs(restart)).await;
            world.start(0);
        }
        Fault::Stall(slot, s) => {
            count("controller stalled");
            world.trouble(secs(s));
            world.hold(slot, true);
            sleep(secs(s)).await;
            world.hold(slot, false);
        }
        Fault::Second { seconds, frozen } => {
            if world.is_alive(1) {
                return;
            }
            count("two controllers");
            world.trouble(secs(seconds + 10));
            world.start(1);
            sleep(secs(1)).await;
            world.slots[1].wires.freeze(&frozen, true);
            sleep(secs(seconds)).await;
            world.slots[1].wires.freeze(&frozen, false);
            sleep(secs(5)).await;
            world.stop(1);
        }
        Fault::ClockJump(whose, by) => {
            count("clock jump");
            world.trouble(secs(0));
            match whose {
                Whose::Controller(i) => world.slots[i].clock.set_offset(by),
                Whose::Server => world.server_clock.set_offset(by),
                Whose::All => {
                    world.slots.iter().for_each(|s| s.clock.set_offset(by));
                    world.server_clock.set_offset(by);
                }
            }
        }
        Fault::HostDown(host, s) => {
            count("host unreachable");
            world.unreachable.lock().unwrap().push((host.to_owned(), world.now(), world.now() + secs(s)));
            world.fake.make_host_unreachable(host);
            sleep(secs(s)).await;
            world.fake.make_host_reachable(host);
        }
        Fault::FreezeRuntime(view, s) => {
            count("runtime frozen");
            world.trouble(secs(s));
            world.fake.freeze_events(view, true);
            sleep(secs(s)).await;
            world.fake.freeze_events(view, false);
        }
        Fault::StartFault(kind) => {
            count("start failed");
            world.trouble(secs(30));
            world.fake.fail_next_start(runtime_fault(kind));
        }
        Fault::StopFault(kind) => {
            count("stop failed");
            world.trouble(secs(30));
            world.fake.fail_next_stop(runtime_fault(kind));
        }
        Fault::HolderVanishes(n) => {
            count("holder vanished");
            world.holders.vanish(&format!("holder-{n}"), secs(25 + 20 * n));
        }
        Fault::LateReservation => crate::ghost::reserve_late(world).await,
        Fault::NewValue => crate::values::change(world).await,
        other => act(world, other).await,
    }
}

/// Something happens to a worker, or its dispatch, whose reservation was not published.
async fn disturb(world: &World, mischief: Mischief) {
    let all = dispatches(world).await;
    for w in workers(world).await {
        let Some(named) = w.status.as_ref().and_then(|s| s.dispatch.clone()) else { continue };
        let d = all.iter().find(|d| d.metadata.uid.as_ref() == Some(&named.uid));
        if d.is_none_or(|d| d.status.as_ref().unwrap().attempt >= named.attempt) {
            continue;
        }
        let name = w.metadata.name.clone().unwrap();
        world.ledger.say(format!("  {name} was reserved for {} {}, then: {mischief:?}", named.name, named.attempt));
        world.ledger.count("fault: between reserve and publish");
        match mischief {
            Mischief::Nothing => {}
            Mischief::WorkerDies => {
                let uid = w.metadata.uid.clone().unwrap();
                world.fake.kill(&InstanceKey { namespace: "sim".to_owned(), worker: name, uid });
            }
            Mischief::WorkerDeleted => _ = delete::<Worker>(world, &name).await,
            Mischief::Cancel => _ = merge::<Dispatch>(world, &named.name, json!({"spec": {"cancel": true}})).await,
            Mischief::Delete => _ = delete::<Dispatch>(world, &named.name).await,
        }
    }
}

fn runtime_fault(kind: u8) -> RuntimeFault {
    match kind {
        0 => RuntimeFault::Refused("no room".to_owned()),
        1 => RuntimeFault::Unreachable,
        2 => RuntimeFault::AnswerLost,
        _ => RuntimeFault::RequestLost,
    }
}

/// Something that chance or a person does to one object: each picks its own, from what is there.
async fn act(world: &World, fault: Fault) {
    let count = |kind: &str| world.ledger.count(&format!("fault: {kind}"));
    let secs = Duration::from_secs;
    let mut rng = StdRng::seed_from_u64(world.plan.seed ^ u64::try_from(world.now().as_millis()).unwrap());
    let name = |meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| meta.name.clone().unwrap();
    match fault {
        Fault::WorkerDies { busy, vanishes } => {
            let running: Vec<InstanceKey> = {
                let all = world.fake.instances();
                let running = || all.iter().filter(|(i, _)| i.state == InstanceState::Running);
                let chosen: Vec<_> = running().filter(|(_, tasks)| tasks.is_empty() != busy).collect();
                let chosen = if chosen.is_empty() { running().collect() } else { chosen };
                chosen.into_iter().map(|(i, _)| i.key.clone()).collect()
            };
            let Some(key) = running.choose(&mut rng) else { return };
            world.ledger.say(format!("  it is {key}"));
            count("worker died");
            world.trouble(secs(0));
            if vanishes {
                world.fake.vanish(key);
            } else {
                world.fake.kill(key);
            }
        }
        Fault::Cancel | Fault::Delete | Fault::Recreate => {
            let alive: Vec<Dispatch> =
                dispatches(world).await.into_iter().filter(|d| !d.status.as_ref().unwrap().phase.is_final()).collect();
            let Some(d) = alive.choose(&mut rng) else { return };
            let name = name(&d.metadata);
            world.ledger.say(format!("  it is {name}"));
            match fault {
                Fault::Cancel => {
                    count("dispatch cancelled");
                    merge::<Dispatch>(world, &name, json!({"spec": {"cancel": true}})).await;
                }
                Fault::Delete => {
                    count("dispatch deleted");
                    delete::<Dispatch>(world, &name).await;
                }
                _ => {
                    count("dispatch made again");
                    delete::<Dispatch>(world, &name).await;
                    sleep(Duration::from_millis(rng.random_range(0..5000))).await;
                    if let Some(task) = world.plan.tasks.iter().find(|t| t.name == name) {
                        let again = Dispatch::new(&name, task.spec.clone());
                        let _ = api::<Dispatch>(world).create(&PostParams::default(), &again).await;
                    }
                }
            }
        }
        Fault::DeleteWorker { force } => {
            let all = workers(world).await;
            let busy: Vec<_> = all.iter().filter(|w| w.status.as_ref().is_some_and(|s| s.dispatch.is_some())).collect();
            let from = if busy.is_empty() { all.iter().collect() } else { busy };
            let Some(w) = from.choose(&mut rng) else { return };
            let name = name(&w.metadata);
            world.ledger.say(format!("  it is {name}"));
            count(if force { "worker deleted by force" } else { "worker deleted" });
            if force {
                let flag = json!({"metadata": {"annotations": {"poolkeeper.dev/force-delete": "true"}}});
                merge::<Worker>(world, &name, flag).await;
            }
            delete::<Worker>(world, &name).await;
        }
        Fault::Cordon(s) => {
            let all = workers(world).await;
            let Some(w) = all.choose(&mut rng) else { return };
            let name = name(&w.metadata);
            count("worker cordoned");
            world.trouble(secs(0));
            merge::<Worker>(world, &name, json!({"spec": {"cordoned": true}})).await;
            sleep(secs(s)).await;
            merge::<Worker>(world, &name, json!({"spec": {"cordoned": false}})).await;
        }
        other => {
            let all = pools(world).await;
            let Some(pool) = all.choose(&mut rng) else { return };
            let name = name(&pool.metadata);
            world.ledger.say(format!("  it is {name}"));
            world.trouble(secs(0));
            of_pool(world, other, pool, &name).await;
        }
    }
}

async fn of_pool(world: &World, fault: Fault, pool: &ContainerPool, name: &str) {
    let count = |kind: &str| world.ledger.count(&format!("fault: {kind}"));
    match fault {
        Fault::Scale { min, max } => {
            count("pool scaled");
            merge::<ContainerPool>(world, name, json!({"spec": {"min": min, "max": max}})).await;
        }
        Fault::PausePool(s) => {
            count("pool paused");
            world.trouble(Duration::from_secs(s));
            merge::<ContainerPool>(world, name, json!({"spec": {"paused": true}})).await;
            sleep(Duration::from_secs(s)).await;
            merge::<ContainerPool>(world, name, json!({"spec": {"paused": false}})).await;
        }
        Fault::NewImage(n) => {
            count("image changed");
            merge::<ContainerPool>(world, name, json!({"spec": {"image": format!("worker:{n}")}})).await;
        }
        Fault::BadTemplate(s) => {
            count("bad template");
            let time = Duration::from_secs(s);
            world.trouble(time);
            merge::<ContainerPool>(world, name, json!({"spec": {"command": ["exit", "3", "bad"]}})).await;
            sleep(time).await;
            merge::<ContainerPool>(world, name, json!({"spec": {"command": null}})).await;
        }
        Fault::RestByHand { credential, clear } => {
            count("rest by hand");
            let target = match pool.spec.credentials.first().filter(|_| credential) {
                Some(c) => c.name.clone(),
                None => format!("{name}-0"),
            };
            let key = format!("cooldown.poolkeeper.dev/{target}");
            annotate_pool(world, name, &key, if clear { "clear" } else { "30s" }).await;
        }
        Fault::DeletePool => {
            count("pool deleted");
            delete::<ContainerPool>(world, name).await;
        }
        _ => {}
    }
}
