//! One contract for every runtime, and one for every executor. A case that fails for one of them is a bug there,
//! or a hole in the contract's words in `src/runtime/mod.rs`: look which.

use poolkeeper_testkit::subject::Subject;
use poolkeeper_testkit::{contract, exec_contract};

/// Makes a test of each case for each runtime.
macro_rules! cases {
    ($module:ident: $($case:ident)*) => {
        mod fake_runtime {
            use super::*;
            $(#[tokio::test(start_paused = true)]
            async fn $case() {
                let subject = Subject::fake();
                $module::$case(&subject).await;
                subject.finish().await;
            })*
        }
        cases!(pod $module: $($case)*);
        cases!(real $module: $($case)*);
    };
    (pod $module:ident: $($case:ident)*) => {
        mod pod {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                let Some(subject) = Subject::pod().await else { return };
                $module::$case(&subject).await;
                subject.finish().await;
            })*
        }
    };
    (real $module:ident: $($case:ident)*) => {
        mod process {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                let subject = Subject::process().await;
                $module::$case(&subject).await;
                subject.finish().await;
            })*
        }
        mod docker {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                let Some(subject) = Subject::docker().await else { return };
                $module::$case(&subject).await;
                subject.finish().await;
            })*
        }
    };
}

mod runtime {
    use super::*;
    cases! { contract:
        a_start_is_idempotent
        starts_of_one_key_at_the_same_time_make_one_instance
        a_start_that_nobody_waits_for_makes_a_whole_instance_or_none
        different_keys_are_different_instances
        an_observer_is_told_of_starts_and_stops
        a_stop_is_confirmed_and_idempotent
        an_end_is_told_with_code_and_last_output
        a_killed_instance_is_told_at_once
        what_never_was_is_not_there
        a_refused_start_leaves_nothing
        an_unknown_host_is_said_to_be_one
        a_credential_that_has_no_value_is_a_refusal
    }
}

mod exec {
    use super::*;
    cases! { real exec_contract:
        streams_and_code_come_back
        a_signal_is_128_and_its_number
        a_task_reads_its_stdin_to_the_end
        a_lot_of_output_arrives_whole
        a_lot_goes_in_and_out_at_the_same_time
        a_task_that_ignores_its_stdin_ends_all_the_same
        what_is_not_there_is_127_and_what_cannot_run_126
        environment_and_directory_reach_the_task
        a_credential_reaches_tasks_and_nothing_else
        a_credential_does_not_show_in_the_last_output
        a_worker_that_is_killed_loses_its_task
        a_worker_that_is_stopped_loses_its_task
        hanging_up_ends_the_task
        a_result_file_is_taken_once
        a_huge_result_file_is_cut
        workers_do_not_wait_for_each_other
        what_a_task_leaves_running_does_not_keep_it_open
    }
}

mod commands {
    use super::*;
    cases! { real contract: a_command_that_cannot_run_is_refused_or_ends }
    cases! { pod contract: a_command_that_cannot_run_is_refused_or_ends }
}
