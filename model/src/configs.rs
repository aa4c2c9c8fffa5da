//! The named configurations, and what each of them is known to show.

use crate::rules::{AfterLost, FIXED, LOST, MINIMAL, Rules, Unreported};

pub struct Config {
    pub name: &'static str,
    pub rules: Rules,
    /// The faults with which `ci` runs it.
    pub faults: u8,
    /// The kind of violation that the shortest trace ends in; none if it holds.
    pub shows: Option<&'static str>,
}

const fn holds(name: &'static str, faults: u8, rules: Rules) -> Config {
    Config { name, rules, faults, shows: None }
}

const fn shows(kind: &'static str, name: &'static str, faults: u8, rules: Rules) -> Config {
    Config { name, rules, faults, shows: Some(kind) }
}

const X: Rules = FIXED;
const L: Rules = LOST;

/// `fixed` and its relatives first, then the mutants, which lack one rule each, in the order of `Rules`.
pub const CONFIGS: &[Config] = &[
    holds("fixed", 2, X),
    holds("minimal", 2, MINIMAL),
    // unnecessary for safety too, but they multiply the states: with one fault it holds in 8 million
    holds(
        "minimal-2",
        0,
        Rules { not_started_dead_or_going: false, unreported_delete_rv: false, idle_delete_rv: false, ..X },
    ),
    holds("fixed-3-attempts", 1, Rules { attempts: 3, ..X }),
    holds("silent", 1, Rules { reports: false, ..X }),
    holds("raw", 0, Rules { reduced: false, ..X }),
    // reserve
    shows("V_WASTE", "m-reserve-deleting", 1, Rules { reserve_not_deleting: false, ..X }),
    holds("m-reserve-open", 1, Rules { reserve_after_close: false, ..X }),
    shows("V_CRED", "m-reserve-no-get", 1, Rules { reserve_after_free: false, ..X }),
    // publish
    shows("V_MUTUAL", "m-publish-any-order", 1, Rules { publish_in_order: false, ..X }),
    holds("m-publish-open", 1, Rules { publish_after_close: false, ..X }),
    shows(
        "V_TWO_RUN",
        "m-reserve+publish-open",
        1,
        Rules { publish_after_close: false, reserve_after_close: false, reserve_after_free: false, ..X },
    ),
    shows("V_FINAL", "m-publish-final", 1, Rules { publish_not_final: false, ..X }),
    shows("V_MUTUAL", "m-publish-cancelled", 1, Rules { publish_not_cancelled: false, ..X }),
    shows("V_MUTUAL", "m-republish-closed", 1, Rules { publish_once: false, ..X }),
    // close
    holds("m-no-not-started", 1, Rules { not_started: false, ..X }),
    holds("m-not-started-alive", 1, Rules { not_started_dead_or_going: false, ..X }),
    shows("V_TWO_RUN", "m-not-started-target", 1, Rules { not_started_no_target: false, ..X }),
    shows(
        "V_TASKS",
        "m-not-started-alive+target",
        1,
        Rules { not_started_no_target: false, not_started_dead_or_going: false, ..X },
    ),
    holds("m-not-started-no-worker", 1, Rules { not_started_names_worker: false, ..X }),
    shows("V_OVERRULED", "m-close-overrules-result", 1, Rules { close_takes_result: false, ..X }),
    shows("V_TWO_RUN", "m-lost-unconfirmed", 1, Rules { lost_when_confirmed: false, ..X }),
    holds("m-no-lost-row", 1, Rules { lost_row: false, ..X }),
    shows("V_TWO_RUN", "m-retry-ended", 1, Rules { ended_not_retried: false, ..X }),
    // retries after Lost
    holds("lost", 2, L),
    holds("lost-strips", 2, Rules { strips: true, ..L }),
    holds("lost-3-attempts", 1, Rules { attempts: 3, ..L }),
    holds("lost-at-reserve", 1, Rules { lost_at_publish: false, lost_at_not_started: false, ..L }),
    holds("lost-at-publish", 1, Rules { lost_at_reserve: false, ..L }),
    holds("lost-lease-only", 1, Rules { reports_lost: false, ..L }),
    holds("lost-silent", 1, Rules { reports: false, ..L }),
    holds("lost-raw", 0, Rules { reduced: false, ..L }),
    holds("lost-minimal", 1, Rules { after_lost: AfterLost::InstanceGone, reports_lost: true, ..MINIMAL }),
    holds("lost-reserve-no-get", 1, Rules { reserve_after_free: false, check_credential: false, ..L }),
    holds("m-lost-reserve-open", 1, Rules { reserve_after_close: false, ..L }),
    holds("m-lost-publish-open", 1, Rules { publish_after_close: false, ..L }),
    holds("m-lost-instance-dead", 1, Rules { after_lost: AfterLost::InstanceDead, ..L }),
    holds("m-lost-worker-gone", 1, Rules { after_lost: AfterLost::WorkerGone, ..L }),
    shows("V_TWO_RUN", "m-lost-worker-gone-strips", 2, Rules { after_lost: AfterLost::WorkerGone, strips: true, ..L }),
    shows("V_TWO_RUN", "m-lost-after-free", 2, Rules { after_lost: AfterLost::Free, ..L }),
    shows("V_TWO_RUN", "m-lost-after-delete", 2, Rules { after_lost: AfterLost::Deleting, ..L }),
    shows("V_TWO_RUN", "m-lost-cache-absent", 2, Rules { after_lost: AfterLost::CacheAbsent, ..L }),
    shows("V_STUCK", "m-lost-name-free", 2, Rules { after_lost: AfterLost::NameFree, ..L }),
    // Early reservations are not harmless any more: of {closed, live GET, the look at publish} one must stand.
    shows(
        "V_TWO_RUN",
        "m-lost-reserve-open-no-get",
        2,
        Rules {
            reserve_after_close: false,
            reserve_after_free: false,
            lost_at_publish: false,
            lost_at_not_started: false,
            check_credential: false,
            ..L
        },
    ),
    // NotStarted hides that the attempt before it was Lost: it must look if reserve does not.
    shows(
        "V_TWO_RUN",
        "m-lost-not-started",
        2,
        Rules { attempts: 3, lost_at_reserve: false, lost_at_not_started: false, ..L },
    ),
    shows("V_TAINT", "m-lost-frees", 2, Rules { lost_is_unreported: false, ..L }),
    shows("V_OVERRULED", "m-lost-overrides", 2, Rules { lost_replaces_none: false, ..L }),
    // standing down
    holds("down", 2, Rules { stands_down: true, ..X }),
    holds("down-lost", 1, Rules { stands_down: true, ..L }),
    shows("V_STOP_BUSY", "m-down-reserves", 2, Rules { stands_down: true, down_reserves_none: false, ..X }),
    shows("V_STOP_BUSY", "m-down-late-stop", 2, Rules { stands_down: true, down_outlasts_stops: false, ..X }),
    // free
    shows("V_STOP_BUSY", "m-free-before-close", 1, Rules { free_after_close: false, ..X }),
    shows("V_MUTUAL", "m-free-on-absence", 1, Rules { free_not_on_absence: false, ..X }),
    shows("V_MUTUAL", "m-drop-reservation", 1, Rules { roll_forward: false, ..X }),
    shows("V_MUTUAL", "m-free-on-open-predecessor", 1, Rules { wait_for_predecessor: false, ..X }),
    shows("V_REST", "m-free-any-uid", 1, Rules { free_compares_uid: false, ..X }),
    shows("V_STUCK", "m-other-uid-not-freed", 1, Rules { free_other_uid: false, ..X }),
    shows("V_REST", "m-lower-from-last-result", 1, Rules { lower_is_unreported: false, ..X }),
    shows("V_STUCK", "m-no-gone-row", 1, Rules { gone_row: false, ..X }),
    shows("V_MUTUAL", "m-absence-is-gone", 1, Rules { gone_by_live_get: false, ..X }),
    shows("V_TAINT", "m-unreported-freed", 1, Rules { unreported: Unreported::Free, ..X }),
    shows("V_WASTE", "m-unreported-destroyed", 1, Rules { unreported: Unreported::Destroy, ..X }),
    holds("m-unreported-no-rv", 1, Rules { unreported_delete_rv: false, ..X }),
    // delete and stop
    holds("m-idle-no-rv", 1, Rules { idle_delete_rv: false, ..X }),
    shows("V_STOP_BUSY", "m-stop-any-deleting", 1, Rules { stop_names_none: false, ..X }),
    shows("V_STOP_BUSY", "m-force-stops-first", 1, Rules { force_closes_first: false, ..X }),
    shows("V_STOP_BUSY", "m-stop-before-close", 1, Rules { close_before_stop: false, ..X }),
    shows("V_CRED", "m-finalizer-with-dispatch", 2, Rules { finalizer_names_none: false, ..X }),
    shows("V_TWO_RUN", "m-restart-in-place", 2, Rules { one_instance: false, ..X }),
    // results and cancel
    shows("V_RESULT", "m-report-by-name", 2, Rules { report_uid: false, ..X }),
    shows("V_STUCK", "m-report-any-attempt", 1, Rules { report_current: false, ..X }),
    shows("V_RESULT", "m-report-early", 1, Rules { report_not_early: false, ..X }),
    shows("V_MUTUAL", "m-cancel-taken-back", 2, Rules { cancel_stays: false, ..X }),
    shows("V_TASKS", "m-supervisor-restarts", 1, Rules { starts_once: false, ..X }),
];

/// The configuration of this name.
pub fn find(name: &str) -> Option<&'static Config> {
    CONFIGS.iter().find(|config| config.name == name)
}
