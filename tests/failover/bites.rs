//! What happened, falsified: the auditor must find each of these.

use std::sync::Arc;

use poolkeeper::local::Change;
use poolkeeper::runtime::LOCAL_HOST;

use poolkeeper_testkit::audit::audit;
use poolkeeper_testkit::audit::evidence::Evidence;
use poolkeeper_testkit::fake::{FakeEvent, What};

/// How a history becomes wrong, and the rule that is broken then.
type Lie = (&'static str, fn(&mut Evidence));

const LIES: [Lie; 6] = [
    ("a container runs one task", two_tasks),
    ("publish: its worker names this attempt", no_reservation),
    ("only a worker that goes and names no dispatch is stopped", stopped_at_work),
    ("every dispatch comes to its end", never_final),
    ("a final phase never changes", final_twice),
    ("one instance for each Worker uid", made_twice),
];

/// Falsifies a history in which nothing is wrong.
pub fn check(evidence: &Evidence) {
    assert!(audit(evidence).0.is_empty());
    for (rule, lie) in LIES {
        let mut wrong = evidence.clone();
        lie(&mut wrong);
        let found = audit(&wrong).0;
        assert!(found.iter().any(|v| v.rule == rule), "{rule}: only {:?}", found.first());
    }
    println!("the auditor found {} falsified histories", LIES.len());
}

fn two_tasks(e: &mut Evidence) {
    let begun = e.events.iter_mut().filter_map(|e| match &mut e.what {
        What::TaskStarted { beside, .. } => Some(beside),
        _ => None,
    });
    begun.last().unwrap().push(("another".to_owned(), 1));
}

fn is_worker_naming(record: &poolkeeper::local::Record) -> bool {
    record.resource.plural == "workers" && record.object["status"]["dispatch"].is_object()
}

fn no_reservation(e: &mut Evidence) {
    let at = e.records.iter().position(is_worker_naming).unwrap();
    e.records.remove(at);
}

fn stopped_at_work(e: &mut Evidence) {
    let busy = e.records.iter().find(|r| is_worker_naming(r)).unwrap();
    let (uid, rv) = (busy.uid.clone(), busy.resource_version);
    let key = e.events.iter().find_map(|e| match &e.what {
        What::Started { key, .. } if key.uid == uid => Some(key.clone()),
        _ => None,
    });
    let stopped = What::Stopped { key: key.unwrap(), by: String::new(), ran: true, lost: Vec::new() };
    let event = crate::load::after(rv, stopped, std::time::Duration::ZERO);
    let at = e.events.partition_point(|e| e.at <= event.at);
    e.events.insert(at, event);
}

fn last_of_a_dispatch(e: &Evidence) -> usize {
    e.records.iter().rposition(|r| r.resource.plural == "dispatches" && r.change != Change::Deleted).unwrap()
}

fn never_final(e: &mut Evidence) {
    let at = last_of_a_dispatch(e);
    e.records.remove(at);
}

fn final_twice(e: &mut Evidence) {
    let mut record = e.records[last_of_a_dispatch(e)].clone();
    let mut object = (*record.object).clone();
    object["status"]["phase"] = "Expired".into();
    record.object = Arc::new(object);
    record.resource_version = e.records.last().unwrap().resource_version + 1;
    e.records.push(record);
}

/// While a task runs, and so after its worker was up.
fn made_twice(e: &mut Evidence) {
    let is_begun = |e: &FakeEvent| matches!(e.what, What::TaskStarted { .. });
    let begun = e.events.iter().rposition(is_begun).unwrap();
    let mut again = e.events[begun].clone();
    let What::TaskStarted { key, .. } = again.what else { unreachable!() };
    again.what = What::Started { key, host: LOCAL_HOST.to_owned(), id: "again".to_owned(), nth: 2, by: String::new() };
    e.events.insert(begun + 1, again);
}
