//! Agents of `crossfade-probe` on nodes of the lab: what they report of a network that is sound, and of one that is wrong in one way.

mod broken;
mod ring;
mod sound;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{NODES, Need};

const NEEDS: &[&[Need]] = &[NODES];

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        lab::trials_of![
            NEEDS;
            sound:
                every_pair_is_probed_with_every_packet,
                a_network_that_joins_makes_a_pod_another_kind,
                what_a_policy_denies_is_no_loss,
                an_http_client_learns_the_kind_of_an_agent,
                an_agent_that_is_restarted_costs_no_loss,
                a_hub_that_ends_is_replaced_by_the_next,
                a_stranger_gets_no_answer;
            broken:
                packets_in_one_direction_only,
                two_nodes_apart,
                large_packets_are_lost,
                answers_come_late,
                a_node_falls_silent,
                a_policy_is_not_enforced_in_one_direction,
                connections_are_refused;
        ]
    })
}
