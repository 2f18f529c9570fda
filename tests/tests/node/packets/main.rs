//! Proofs by packets: `crossfade-bootstrap unit prove` through the real plugin and real CNI plugins, on datapaths of which each is wrong in one way.

mod bench;
mod broken;
mod elsewhere;
mod sound;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{DNS, NODES, Need, PLUGINS};

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, DNS, &[Need::Plugin("tuning")]];

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        lab::trials_of![
            NEEDS;
            sound:
                everything_passes_in_both_families_and_nothing_is_left,
                a_bridge_passes_as_well,
                a_datapath_that_comes_late_is_waited_for,
                what_a_killed_proof_left_is_ended_by_the_next,
                a_second_attachment_may_be_refused,
                a_cni_that_filters_is_asked_for_what_it_lets_pass,
                node_json_may_ask_for_less;
            broken:
                nothing_passes,
                packets_in_one_direction_only,
                one_family_only,
                the_node_reaches_pods_that_do_not_reach_each_other,
                udp_without_tcp,
                large_packets_are_lost,
                an_interface_says_more_than_its_other_end,
                a_firewall_of_the_node_is_noted;
            elsewhere:
                a_silent_dns_server,
                a_dns_server_that_refuses_is_noted,
                no_other_node_answers,
                large_packets_are_lost_on_the_way_to_another_node,
                a_smaller_size_that_is_announced_is_noted;
        ]
    })
}
