//! `watch` beside a real containerd: what it makes of everything that others do to our conf, and what becomes of pods meanwhile.

mod guarded;
mod harm;
mod loaded;
mod packets;
mod private;
mod proving;
mod trace;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{CONTAINERD, NODES, Need, PLUGINS, TRACE};

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD, TRACE];

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        lab::trials_of![
            NEEDS;
            harm:
                every_single_harm_is_repaired_by_one_rename,
                a_replaced_directory_is_written_to_and_the_runtime_has_to_be_restarted,
                an_agent_that_takes_everything_is_named_and_left_alone,
                pods_run_while_watch_is_dead_or_hangs,
                an_overflow_of_events_is_a_look_at_everything,
                without_events_it_looks_every_so_often,
                off_takes_our_conf_away_and_ends;
            loaded:
                a_conf_that_was_moved_away_and_back_is_loaded_again,
                install_loads_what_lies_in_place_and_is_not_loaded,
                a_plugin_that_is_gone_or_another_is_put_back,
                a_runtime_with_other_directories_after_an_upgrade_gets_our_plugin,
                a_runtime_that_no_setting_names_is_no_readiness;
            packets:
                our_conf_comes_once_packets_pass,
                silent_dns_keeps_a_new_network_waiting_and_no_ready_one;
            private:
                our_conf_comes_with_its_network_and_nothing_touches_it,
                a_conf_of_others_in_our_directory_is_removed_as_often_as_it_comes,
                a_conf_of_others_that_cannot_be_removed_keeps_the_node_from_being_ready;
            proving:
                a_network_is_proven_before_its_conf_comes,
                a_secret_that_a_plugin_tells_in_a_proof_is_kept,
                what_a_killed_proof_left_is_ended_by_the_next;
            trace:
                our_file_is_only_ever_the_target_of_a_rename;
        ]
    })
}
