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
use lab::build::preflight::{NODES, Need, PLUGINS, trial};
use libtest_mimic::Arguments;

type Case = fn() -> Result<()>;

const AGENTS: &[&[Need]] = &[NODES];
const PLUGIN: &[&[Need]] = &[NODES, PLUGINS];

fn main() -> Result<ExitCode> {
    lab::host::isolate::enter()?;
    let arguments = Arguments::from_args();
    let agents: [(&str, Case); 8] = [
        ("late_agent_waits_at_its_gate", agents::late_agent_waits_at_its_gate),
        ("conf_is_renamed_rewritten_or_torn", agents::conf_is_renamed_rewritten_or_torn),
        ("exclusive_agent_takes_the_directory", agents::exclusive_agent_takes_the_directory),
        ("agent_goes_dies_and_comes_back", agents::agent_goes_dies_and_comes_back),
        ("agent_lives_in_a_node", agents::agent_lives_in_a_node),
        ("agent_that_cannot_come_up_says_why", agents::agent_that_cannot_come_up_says_why),
        ("socket_answers_in_every_way", health::socket_answers_in_every_way),
        ("page_answers_in_every_way", health::page_answers_in_every_way),
    ];
    let plugins: [(&str, Case); 19] = [
        ("calico_pods_reach_each_other", calico::pods_reach_each_other),
        ("calico_pod_looks_like_one", calico::pod_looks_like_one),
        ("calico_answers_in_the_callers_version", calico::answers_in_the_callers_version),
        ("calico_fails_on_an_existing_default", calico::fails_on_an_existing_default),
        ("calico_del_can_be_repeated", calico::del_can_be_repeated),
        ("calico_check_is_empty", calico::check_is_empty),
        ("calico_names_the_pod_where_it_is_told_to", calico::names_the_pod_where_it_is_told_to),
        ("calico_del_goes_by_the_handle", handle::del_goes_by_the_handle),
        ("calico_second_interface_destroys_the_first", handle::second_interface_destroys_the_first),
        ("calico_needs_its_datastore", handle::needs_its_datastore),
        ("felix_keeps_a_pod_of_its_own", felix::keeps_a_pod_of_its_own),
        ("felix_cuts_off_a_second_network", felix::cuts_off_a_second_network),
        ("felix_lets_a_host_route_live", felix::lets_a_host_route_live),
        ("felix_takes_the_primarys_way", felix::takes_the_primarys_way),
        ("felix_collects_leaks_after_a_grace", felix::collects_leaks_after_a_grace),
        ("felix_tells_of_trouble_and_goes_on", felix::tells_of_trouble_and_goes_on),
        ("crate_plugin_keeps_its_leases", crate_cni::keeps_its_leases),
        ("crate_plugin_makes_a_veth", crate_cni::makes_a_veth),
        ("crate_plugin_has_the_crates_limits", crate_cni::has_the_crates_limits),
    ];
    let agents = agents.map(|(name, case)| trial(name, AGENTS, case));
    let plugins = plugins.map(|(name, case)| trial(name, PLUGIN, case));
    let trials = agents.into_iter().chain(plugins).collect();
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}
