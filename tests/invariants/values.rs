//! Credentials that get another value, as the program around a controller finds it out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use poolkeeper::api::ContainerPool;
use poolkeeper::api::pool::{Credential, CredentialRest};
use poolkeeper::controller::{ChangedCredential, CredentialSender};
use poolkeeper_testkit::audit::evidence::NewValue;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use crate::users::pools;
use crate::world::World;

/// How long the program needs until it has looked at all credentials.
const LOOK: Duration = Duration::from_secs(2);

/// A value is seen by workers that run, or by none of them, for the whole run.
fn is_in_place(seed: u64, key: &str) -> bool {
    key.bytes().map(u64::from).sum::<u64>().wrapping_add(seed).is_multiple_of(3)
}

fn parked(pools: &[ContainerPool]) -> impl Iterator<Item = &CredentialRest> {
    pools.iter().flat_map(|pool| pool.status.iter().flat_map(|s| &s.rate_limits)).filter(|rest| rest.parked)
}

/// Another value for a credential that is refused, if there is one, or mostly. One controller gets it.
pub async fn change(world: &World) {
    let mut rng = StdRng::seed_from_u64(world.plan.seed ^ u64::try_from(world.now().as_millis()).unwrap());
    let all = pools(world).await;
    let named: BTreeSet<String> =
        all.iter().flat_map(|pool| pool.spec.credentials.iter().map(Credential::identity)).collect();
    let refused: BTreeSet<String> = parked(&all).map(|rest| rest.key.clone()).collect();
    let from = if refused.is_empty() || rng.random_bool(0.2) { named } else { refused };
    let from: Vec<String> = from.into_iter().collect();
    let Some(key) = from.choose(&mut rng) else { return };
    let in_place = is_in_place(world.plan.seed, key);
    world.ledger.say(format!("  it is {key}, in place: {in_place}"));
    world.ledger.count("fault: new value");
    let there = (0..world.slots.len()).find_map(|slot| world.values_of(slot));
    let noticed = there.map(|(to, now)| {
        to.send(changed(key, in_place));
        now
    });
    world.values.lock().unwrap().push(NewValue { mono: world.now(), key: key.clone(), in_place, noticed });
}

fn changed(key: &str, in_place: bool) -> ChangedCredential {
    ChangedCredential { namespace: "sim".to_owned(), identity: key.to_owned(), in_place }
}

/// At its start the program finds the values that are newer than the refusal of their credential.
pub async fn look_at_start(world: World, to: Arc<CredentialSender>) {
    sleep(LOOK).await;
    let all = pools(&world).await;
    let newer = |rest: &CredentialRest| {
        let refused = rest.stale_before.as_ref().map(|t| t.0);
        let values = world.values.lock().unwrap();
        let mut written = values.iter().filter(|v| v.key == rest.key).filter_map(|v| v.noticed);
        refused.is_some_and(|refused| written.any(|at| at > refused))
    };
    let found: BTreeSet<String> = parked(&all).filter(|rest| newer(rest)).map(|rest| rest.key.clone()).collect();
    for key in found {
        world.ledger.say(format!("  {key} was renewed since it was refused"));
        to.send(changed(&key, is_in_place(world.plan.seed, &key)));
    }
}
