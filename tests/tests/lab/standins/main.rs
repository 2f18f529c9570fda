//! The stand-ins behave like what they stand for.

mod agents;
mod calico;
mod call;
mod crate_cni;
mod felix;
mod handle;
mod health;
mod node;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{NODES, Need, PLUGINS};

const AGENTS: &[&[Need]] = &[NODES];
const PLUGIN: &[&[Need]] = &[NODES, PLUGINS];

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        let mut trials = lab::trials_of![
            AGENTS;
            agents::late_agent_waits_at_its_gate,
            agents::conf_is_renamed_rewritten_or_torn,
            agents::exclusive_agent_takes_the_directory,
            agents::agent_goes_dies_and_comes_back,
            agents::agent_lives_in_a_node,
            agents::agent_that_cannot_come_up_says_why,
            health::socket_answers_in_every_way,
            health::page_answers_in_every_way,
        ];
        trials.extend(lab::trials_of![
            PLUGIN;
            calico::calico_pods_reach_each_other,
            calico::calico_pod_looks_like_one,
            calico::calico_answers_in_the_callers_version,
            calico::calico_fails_on_an_existing_default,
            calico::calico_del_can_be_repeated,
            calico::calico_check_is_empty,
            calico::calico_names_the_pod_where_it_is_told_to,
            handle::calico_del_goes_by_the_handle,
            handle::calico_second_interface_destroys_the_first,
            handle::calico_needs_its_datastore,
            felix::felix_keeps_a_pod_of_its_own,
            felix::felix_cuts_off_a_second_network,
            felix::felix_lets_a_host_route_live,
            felix::felix_takes_the_primarys_way,
            felix::felix_collects_leaks_after_a_grace,
            felix::felix_tells_of_trouble_and_goes_on,
            crate_cni::crate_plugin_keeps_its_leases,
            crate_cni::crate_plugin_makes_a_veth,
            crate_cni::crate_plugin_has_the_crates_limits,
        ]);
        trials
    })
}
