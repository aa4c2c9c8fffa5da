//! The rules of the protocol, each of which can be taken away.

/// What is done about an end that nobody reported.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Unreported {
    /// Just free the worker.
    Free,
    /// Destroy the container, then free.
    Destroy,
    /// Delete the Worker, then free; the one stop rule does the rest.
    Delete,
}

/// One field a rule; true means that the rule is in force.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How many attempts a dispatch may have.
    pub attempts: u8,
    pub publish_guard: bool,
    pub free_on_absence: bool,
    pub free_before_close: bool,
    pub republish_closed: bool,
    pub delete_rv: bool,
    pub stop_nodisp: bool,
    pub unreported: Unreported,
    pub stop_first: bool,
    pub fin_nodisp: bool,
    pub higher_known: bool,
    pub pub_after_free: bool,
    pub lost_dead: bool,
    pub reserve_del: bool,
    pub lost_row: bool,
    pub drop_resv: bool,
    pub report_uid: bool,
    pub report_mono: bool,
    pub sup_restart: bool,
    pub gone_row: bool,
    pub retry_exp: bool,
    pub other_frees: bool,
    pub final_guard: bool,
    pub absent_row4: bool,
    pub restart: bool,
    pub cred: bool,
    pub reserve_open: bool,
    pub publish_open: bool,
    pub silent: bool,
    pub raw: bool,
}

pub const FIXED: Rules = Rules {
    attempts: 2,
    publish_guard: true,
    free_on_absence: false,
    free_before_close: false,
    republish_closed: false,
    delete_rv: true,
    stop_nodisp: true,
    unreported: Unreported::Delete,
    stop_first: false,
    fin_nodisp: true,
    higher_known: true,
    pub_after_free: true,
    lost_dead: true,
    reserve_del: false,
    lost_row: true,
    drop_resv: false,
    report_uid: true,
    report_mono: true,
    sup_restart: false,
    gone_row: true,
    retry_exp: false,
    other_frees: true,
    final_guard: true,
    absent_row4: false,
    restart: false,
    cred: false,
    reserve_open: false,
    publish_open: false,
    silent: false,
    raw: false,
};

pub const MINIMAL: Rules =
    Rules { pub_after_free: false, delete_rv: false, fin_nodisp: false, reserve_open: true, ..FIXED };

pub fn configs() -> Vec<(&'static str, Rules)> {
    let x = FIXED;
    vec![
        ("fixed", x),
        ("fixed-destroy", Rules { unreported: Unreported::Destroy, ..x }),
        ("fixed-stopfirst", Rules { stop_first: true, ..x }),
        ("m-publish-guard", Rules { publish_guard: false, ..x }),
        ("m-final-guard", Rules { final_guard: false, ..x }),
        ("m-free-on-absence", Rules { free_on_absence: true, ..x }),
        ("m-free-before-close", Rules { free_before_close: true, ..x }),
        ("m-republish-closed", Rules { republish_closed: true, ..x }),
        ("m-delete-no-rv", Rules { delete_rv: false, ..x }),
        ("m-stop-any-deleting", Rules { stop_nodisp: false, ..x }),
        ("m-no-destroy", Rules { unreported: Unreported::Free, ..x }),
        ("m-reserve-deleting", Rules { reserve_del: true, ..x }),
        ("m-drop-reservation", Rules { drop_resv: true, ..x }),
        ("m-lost-before-dead", Rules { lost_dead: false, ..x }),
        ("m-no-lost-row", Rules { lost_row: false, ..x }),
        ("m-no-gone-row", Rules { gone_row: false, ..x }),
        ("m-other-uid-not-freed", Rules { other_frees: false, ..x }),
        ("m-finalizer-with-dispatch", Rules { fin_nodisp: false, ..x }),
        ("m-higher-from-lastresult", Rules { higher_known: false, ..x }),
        ("m-publish-before-free", Rules { pub_after_free: false, ..x }),
        ("m-report-by-name", Rules { report_uid: false, ..x }),
        ("m-report-any-order", Rules { report_mono: false, ..x }),
        ("m-retry-expired", Rules { retry_exp: true, ..x }),
        ("m-absence-is-gone", Rules { absent_row4: true, ..x }),
        ("m-restart-in-place", Rules { restart: true, ..x }),
        ("m-reserve-open", Rules { reserve_open: true, ..x }),
        ("m-publish-open", Rules { publish_open: true, ..x }),
        ("cred-publish-after-free", Rules { cred: true, ..x }),
        ("m-publish-open2", Rules { publish_open: true, pub_after_free: false, ..x }),
        ("raw", Rules { raw: true, ..x }),
        ("raw-minimal", Rules { raw: true, ..MINIMAL }),
        ("silent", Rules { silent: true, ..x }),
        ("silent-minimal", Rules { silent: true, ..MINIMAL }),
        ("minimal", MINIMAL),
        ("m-supervisor-restarts", Rules { sup_restart: true, ..x }),
    ]
}
