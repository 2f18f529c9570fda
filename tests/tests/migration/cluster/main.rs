//! Crossfade on the nodes of a real Kubernetes (`make test-cluster`).
//!
//! One cluster for all cases of a call, started once: three nodes that booted with Crossfade, each with a real containerd, kubelet and kube-proxy.
//! The cases run one after the other, each in a namespace of its own, and leave the nodes in phase `old`. `tests/cluster` calls three times, so that
//! cases about whole runs have clusters beside that of all others.
//!
//! Where `CROSSFADE_CNIS` names the programs of real CNIs, the networks are theirs (`make test-real`), and the cases are those that ask nothing of the lab's
//! own networks.

mod double;
mod join;
mod life;
mod move_pods;
mod operator;
mod outage;
mod phases;
mod probe;
mod probed;
mod real;
mod registration;
mod roll;
mod steps;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{CONTAINERD, DNS, NODES, Need, PLUGINS};
use lab::kubernetes::cnis::Cnis;
use libtest_mimic::{Arguments, Trial};

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD, DNS];

fn main() -> Result<ExitCode> {
    lab::host::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    // They flip the same nodes.
    arguments.test_threads = Some(1);
    let cnis = Cnis::find()?;
    let trials = if cnis.is_some() { of_real_networks() } else { of_the_labs_networks() };
    if !arguments.list {
        world::start(cnis.as_ref())?;
    }
    let outcome = libtest_mimic::run(&arguments, trials).exit_code();
    world::end();
    Ok(outcome)
}

fn of_real_networks() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        phases::services_names_and_probes_work_in_every_phase,
        join::networks_join_and_leave_pods_that_run,
        real::networks_join_and_leave_fifty_pods_under_traffic,
        real::what_a_network_policy_denies_is_probed_before_and_after_cilium_enforces_it,
        real::a_node_that_loses_its_power_gives_its_pods_both_networks_again,
        real::a_run_of_joins_and_leaves_evicts_each_pod_once_and_turns_back,
        probed::a_run_of_one_pass_is_probed_throughout,
        probed::a_run_of_joins_and_leaves_is_probed_and_a_node_reboots_in_it,
        roll::a_run_is_killed_taken_up_held_and_brought_back,
        double::a_run_of_three_passes_turns_back_at_the_end_of_a_pass,
        phases::runtime_and_kubelet_restart_in_every_phase,
    ]
}

fn of_the_labs_networks() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        phases::a_node_goes_through_every_phase_and_back_by_annotation,
        phases::a_phase_that_is_not_allowed_is_an_event_and_nothing_else,
        phases::static_and_host_network_pods_are_untouched,
        phases::a_kubelet_may_not_write_what_others_decide,
        phases::services_names_and_probes_work_in_every_phase,
        phases::a_host_port_leads_to_its_pod_in_every_phase,
        life::a_stateful_set_moves_pod_by_pod_and_keeps_its_names,
        life::evictions_wait_for_the_budget_and_move_every_pod,
        life::a_namespace_goes_with_all_its_addresses,
        life::graceful_and_forced_deletions_give_addresses_back,
        operator::what_stands_in_the_way_is_found_while_it_is_there,
        probe::packets_that_are_lost_while_a_command_runs_are_named_with_their_cause,
        probe::a_run_goes_by_its_agents_alone,
        roll::a_run_is_killed_taken_up_held_and_brought_back,
        double::a_run_of_three_passes_turns_back_at_the_end_of_a_pass,
        outage::a_run_outlives_its_api_server_its_laptop_and_its_nodes,
        join::networks_join_and_leave_pods_that_run,
        move_pods::pods_of_a_node_move_by_eviction_and_in_place,
        phases::runtime_and_kubelet_restart_in_every_phase,
        registration::a_node_joins_waits_for_its_network_and_goes_away,
    ]
}
