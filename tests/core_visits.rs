//! Work for one event does not grow with the number of workers or of waiting dispatches. Counted, not timed: the times
//! are in `benches/core`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use poolkeeper_testkit::rig::{Rig, Shape, Step};

/// Visits for each 100 events, and the most for one event, of 200 dispatches.
fn visits(shape: Shape) -> (u64, u64) {
    visits_beside(shape, 0)
}

/// The same, while as many dispatches wait after a Lost attempt.
fn visits_beside(shape: Shape, lost: usize) -> (u64, u64) {
    let mut rig = Rig::new(shape);
    rig.lose(lost);
    rig.run(200);
    let costs = rig.costs.values();
    let (sum, events, most) = costs.fold((0, 0, 0), |(sum, events, most), c| {
        (sum + c.visits, events + c.nanos.len() as u64, c.most_visits.max(most))
    });
    (sum * 100 / events, most)
}

fn assert_flat(what: &str, small: Shape, large: Shape) {
    let (a, b) = (visits(small), visits(large));
    assert!(a.0 > 0, "{what}: nothing was counted");
    assert!(b.0 <= 2 * a.0, "{what}: {} visits for 100 events against {}", b.0, a.0);
    assert!(b.1 <= 2 * a.1.max(4), "{what}: up to {} visits for one event against {}", b.1, a.1);
}

#[test]
fn more_workers_cost_no_more() {
    for credentials in [0, 4] {
        let small = Shape { pools: 1, workers: 10, waiting: 0, credentials };
        assert_flat("idle", small, Shape { workers: 10_000, ..small });
    }
}

#[test]
fn more_workers_cost_no_more_under_load() {
    for credentials in [0, 4] {
        let small = Shape { pools: 1, workers: 10, waiting: 1_000, credentials };
        assert_flat("loaded", small, Shape { workers: 10_000, ..small });
    }
}

#[test]
fn more_waiting_dispatches_cost_no_more() {
    let small = Shape { pools: 1, workers: 10, waiting: 100, credentials: 0 };
    assert_flat("waiting", small, Shape { waiting: 20_000, ..small });
}

#[test]
fn more_dispatches_that_wait_after_lost_cost_no_more() {
    for waiting in [0, 100] {
        let shape = Shape { pools: 1, workers: 10, waiting, credentials: 0 };
        let (a, b) = (visits_beside(shape, 10), visits_beside(shape, 10_000));
        assert!(b.0 <= 2 * a.0, "{} visits for 100 events against {}", b.0, a.0);
        assert!(b.1 <= 2 * a.1.max(4), "up to {} visits for one event against {}", b.1, a.1);
    }
}

#[test]
fn more_pools_on_one_credential_cost_no_more_than_their_number() {
    // A credential's rest is written in its pools, so a look at it is a look at each of them; not at each for each.
    let (few, many) = (Shape { pools: 2, workers: 200, waiting: 400, credentials: 1 }, 20);
    let (a, b) = (visits(few), visits(Shape { pools: many, ..few }));
    assert!(b.0 <= a.0 * 2 * 10, "{} visits for 100 events against {}", b.0, a.0);
}

#[test]
fn to_replace_a_worker_costs_no_more_in_a_large_pool() {
    let most = |workers| {
        let mut rig = Rig::new(Shape { pools: 1, workers, waiting: 0, credentials: 4 });
        // After a start the ordinals that are taken are passed over once, however many there are.
        rig.replace(20);
        rig.costs.clear();
        rig.replace(20);
        assert_eq!(rig.workers(), workers, "each was replaced");
        let cost = &rig.costs[&Step::Other];
        (cost.visits * 100 / cost.nanos.len() as u64, cost.most_visits)
    };
    let (a, b) = (most(10), most(10_000));
    assert!(b.0 <= 2 * a.0, "{} visits for 100 events against {}", b.0, a.0);
    assert!(b.1 <= 2 * a.1.max(20), "up to {} visits for one event against {}", b.1, a.1);
}

#[test]
fn to_update_a_worker_costs_no_more_in_a_large_pool() {
    let most = |workers| {
        let mut rig = Rig::new(Shape { pools: 1, workers, waiting: 0, credentials: 4 });
        rig.change_image(); // that concerns every worker, once
        rig.wait(2);
        rig.costs.clear();
        let before = rig.updated();
        rig.wait(6);
        assert!(rig.updated() >= before + 6 && rig.workers() == workers, "{} are updated", rig.updated());
        let cost = &rig.costs[&Step::Other];
        (cost.visits * 100 / cost.nanos.len() as u64, cost.most_visits)
    };
    let (a, b) = (most(10), most(10_000));
    assert!(b.0 <= 2 * a.0, "{} visits for 100 events against {}", b.0, a.0);
    assert!(b.1 <= 2 * a.1.max(20), "up to {} visits for one event against {}", b.1, a.1);
}
