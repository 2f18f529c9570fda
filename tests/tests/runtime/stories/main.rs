//! Faults between a real containerd and its plugins, as stories.

mod company;
mod crowd;
mod directory;
mod failures;
mod flips;
mod hanging;
mod history;
mod namespaces;
mod outage;
mod player;
mod restarts;
mod spied;
mod step;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{CONTAINERD, NODES, Need, PLUGINS};

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];

/// Names how many minutes the long run may take; unset for the short one.
pub(crate) const SOAK_MINUTES: &str = "CROSSFADE_SOAK_MINUTES";

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        lab::trials_of![
            NEEDS;
            failures:
                without_us_some_del_errors_leak,
                every_del_error_is_kept_and_retried,
                a_del_that_fails_twice_is_asked_for_again_alone,
                a_failed_add_is_undone_once;
            hanging:
                without_us_an_orphan_ends_its_add_after_the_del,
                an_orphan_ends_before_the_del,
                a_del_that_was_killed_resumes_in_its_chain;
            restarts:
                a_stop_after_the_restart_ends_the_add,
                an_add_that_no_runtime_waits_for_is_undone,
                what_is_never_deleted_is_swept;
            flips:
                del_goes_to_the_delegates_that_did_add_for_every_pair_of_phases,
                without_us_del_goes_to_the_plugin_that_is_first_now;
            outage:
                a_stop_without_any_conf_is_refused_until_it_is_repaired,
                a_del_that_went_past_us_is_made_up_for_by_the_sweep;
            namespaces:
                a_netns_that_is_unmounted_leaves_nothing,
                without_us_a_reused_path_costs_another_pod_its_interface,
                a_reused_path_leaves_the_other_pod_alone;
            crowd: a_node_full_of_pods;
            company: loopback_comes_and_goes_beside_us, too_few_processes_leave_nothing, too_little_memory_leaves_nothing;
            history: whatever_happens_nothing_is_left;
            directory:
                a_conf_that_arrives_from_elsewhere_is_ignored,
                a_broken_first_file_takes_the_network_down,
                owner_mode_and_version_are_not_looked_at,
                a_directory_that_is_made_anew_is_not_watched,
                a_war_of_renames_ends_with_our_conf_loaded,
                our_conf_is_never_seen_torn;
        ]
    })
}
