//! Workers of another template are replaced, one at a time here.

use super::*;

fn spec() -> Value {
    json!({"min": 2, "max": 2, "env": [{"name": "A", "value": "2"}]})
}

fn stamped<K: kube::Resource + Clone>(object: &K, version: u32) -> K {
    let mut object = object.clone();
    object.meta_mut().resource_version = Some(version.to_string());
    object
}

/// Ends each write that is asked for now as a server that takes it. Answers the Workers that are deleted.
fn carry_out(rig: &mut Rig, version: &mut u32) -> Vec<Arc<Worker>> {
    let mut deleted = Vec::new();
    for (subject, verb) in rig.writes() {
        *version += 1;
        let now = match verb {
            Verb::PoolStatus(base, next) => {
                let pool = ContainerPool { status: Some(*next), ..stamped(&*base, *version) };
                Some(Fetched::Pool(Some(Arc::new(pool))))
            }
            Verb::WorkerStatus(base, next) => {
                let worker = Worker { status: Some(*next), ..stamped(&*base, *version) };
                Some(Fetched::Worker(Some(Arc::new(worker))))
            }
            Verb::DeleteWorker(base, _) => {
                let mut worker = stamped(&*base, *version);
                worker.metadata.deletion_timestamp = Some(rig.now().wall.into());
                let worker = Arc::new(worker);
                deleted.push(worker.clone());
                Some(Fetched::Worker(Some(worker)))
            }
            other => panic!("{subject:?}: {other:?}"),
        };
        rig.settle(subject, Settled::Done(now));
    }
    deleted
}

/// Two controllers lead for a moment when one is late, and the other one creates what this one owes. A debt that can never be paid
/// would hold up the update.
#[test]
fn a_debt_that_another_controller_paid_does_not_hold_up_an_update() {
    let mut rig = Rig::new(&[pool("p", 1, spec())], &[idle("p-0"), idle("p-1")], &[]);
    let mut version = 100;
    let mut deleted = Vec::new();
    while deleted.is_empty() {
        rig.passed += Duration::from_secs(1);
        deleted = carry_out(&mut rig, &mut version);
    }
    assert_eq!(deleted.iter().map(|w| w.metadata.name.as_deref().unwrap()).collect::<Vec<_>>(), ["p-0"]);
    // Before this one can create the next worker of that name, it is there.
    let gone = Arc::new(stamped(&*deleted[0], version + 1));
    let hash = template_hash(&pool_spec(spec()), None);
    let mut next = (*idle("p-0")).clone();
    (next.metadata.uid, next.spec.template_hash) = (Some("other".to_owned()), hash);
    let next = Arc::new(stamped(&next, version + 2));
    version += 2;
    rig.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Gone(instance(&gone).key))));
    rig.apply(Input::Worker(Seen::Gone(gone)));
    rig.apply(Input::Worker(Seen::Present(next.clone())));
    rig.apply(Input::Runtime(RuntimeFact::Observed(host(), Observation::Changed(instance(&next)))));
    let mut deleted = Vec::new();
    for _ in 0..60 {
        rig.passed += Duration::from_secs(1);
        deleted.extend(carry_out(&mut rig, &mut version).iter().filter_map(|w| w.metadata.name.clone()));
    }
    assert_eq!(deleted, ["p-1"]);
}
