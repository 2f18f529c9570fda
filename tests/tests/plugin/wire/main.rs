//! Both-mode on the wire: two networks in one pod, by the release shim and real plugins, judged by packets.

mod attachment;
mod company;
mod dwell;
mod echo;
mod hostport;
mod interference;
mod matrix;
mod packets;
mod remains;
mod settings;
mod space;
mod tables;
mod topology;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{NODES, Need, PLUGINS, trial};
use libtest_mimic::{Arguments, Trial};

use topology::{Kind, Side};

const NEEDS: &[&[Need]] = &[NODES, PLUGINS];

/// Cases that run at once: most of their time is other programs' and waiting.
const TESTS_AT_ONCE: usize = 6;

fn main() -> Result<ExitCode> {
    lab::host::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TESTS_AT_ONCE);
    Ok(libtest_mimic::run(&arguments, trials()).exit_code())
}

fn trials() -> Vec<Trial> {
    let cases = matrix::cases().into_iter().enumerate();
    let matrix =
        cases.map(|(number, case)| trial(&case.name(), NEEDS, move || case.run(&format!("m{number}"))));
    matrix.chain(dwelling()).chain(pairs()).chain(roles()).chain(single()).collect()
}

/// What stays for several passes of Calico's agents.
fn dwelling() -> Vec<Trial> {
    let cases = dwell::cases().into_iter().enumerate();
    let cases = cases.map(|(number, case)| {
        trial(&dwell::name(&case), NEEDS, move || dwell::several_passes(case, &format!("d{number}")))
    });
    let migrations = dwell::migrations().into_iter().enumerate().map(|(number, migration)| {
        trial(&migration.name(), NEEDS, move || dwell::in_every_phase(migration, &format!("p{number}")))
    });
    cases.chain(migrations).collect()
}

/// What every pair of kinds goes through.
fn pairs() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (number, [old, new]) in
        Kind::ALL.into_iter().flat_map(|old| Kind::ALL.map(|new| [old, new])).enumerate()
    {
        let pair = format!("old-{}_new-{}", old.name(), new.name());
        let owner = Side::BOTH[number % 2];
        trials.push(trial(&format!("check::names_the_network_that_is_broken::{pair}"), NEEDS, move || {
            interference::check_names_the_network_that_is_broken([old, new], owner, &format!("check{number}"))
        }));
        trials.push(trial(
            &format!("company::two_pods_reach_each_other_on_both::{pair}"),
            NEEDS,
            move || {
                company::two_pods_reach_each_other_on_both([old, new], owner.other(), &format!("two{number}"))
            },
        ));
        trials.push(trial(&format!("settings::duplicate_checks::{pair}"), NEEDS, move || {
            settings::duplicate_checks([old, new], owner, &format!("dad{number}"))
        }));
    }
    trials
}

/// What every role goes through.
fn roles() -> Vec<Trial> {
    use Kind::{Bridge, Calico, Ptp};
    let mut trials = Vec::new();
    for (number, (primary, owner)) in
        Side::BOTH.into_iter().flat_map(|first| Side::BOTH.map(|second| (first, second))).enumerate()
    {
        let role = format!("primary_{}::default_{}", primary.name(), owner.name());
        let kinds = [[Bridge, Ptp], [Ptp, Calico], [Calico, Bridge], [Bridge, Bridge]][number];
        trials.push(trial(&format!("hostport::leads_to_the_primary::{role}"), NEEDS, move || {
            hostport::leads_to_the_primary(kinds, primary, owner, 8080 + number as u16)
        }));
    }
    for owner in Side::BOTH {
        let name =
            format!("interference::a_router_that_speaks_up_later_is_not_heeded::default_{}", owner.name());
        trials.push(trial(&name, NEEDS, move || {
            interference::a_router_that_speaks_up_later_is_not_heeded(owner, &format!("ra-{}", owner.name()))
        }));
    }
    trials
}

/// What is done once or twice.
fn single() -> Vec<Trial> {
    use Kind::{Bridge, Calico, Ptp};
    vec![
        trial("company::open_connections_outlive_other_pods::old-bridge_new-ptp", NEEDS, || {
            company::open_connections_outlive_other_pods([Bridge, Ptp], "held1")
        }),
        trial("company::open_connections_outlive_other_pods::old-calico_new-bridge", NEEDS, || {
            company::open_connections_outlive_other_pods([Calico, Bridge], "held2")
        }),
        trial("interference::the_loopback_plugin_beside::old-bridge_new-calico", NEEDS, || {
            interference::the_loopback_plugin_beside([Bridge, Calico], "lo1")
        }),
        trial("interference::the_loopback_plugin_beside::old-calico_new-ptp", NEEDS, || {
            interference::the_loopback_plugin_beside([Calico, Ptp], "lo2")
        }),
        trial("interference::the_secondarys_name_is_taken", NEEDS, || {
            interference::the_secondarys_name_is_taken("taken")
        }),
        trial("interference::networks_of_two_mtus::old-bridge_new-calico", NEEDS, || {
            interference::networks_of_two_mtus([Bridge, Calico], "mtu1")
        }),
        trial("interference::networks_of_two_mtus::old-ptp_new-bridge", NEEDS, || {
            interference::networks_of_two_mtus([Ptp, Bridge], "mtu2")
        }),
        trial("interference::ranges_that_overlap", NEEDS, || interference::ranges_that_overlap("range")),
        trial("interference::link_local_addresses_answer", NEEDS, || {
            interference::link_local_addresses_answer("linklocal")
        }),
        trial("settings::reverse_path_off_in_the_pod", NEEDS, || {
            settings::reverse_path([Calico, Bridge], "0", "rpf0")
        }),
        trial("settings::reverse_path_loose_in_the_pod", NEEDS, || {
            settings::reverse_path([Bridge, Ptp], "2", "rpf2")
        }),
        trial(
            "settings::strict_overlays_part_the_networks",
            NEEDS,
            settings::strict_overlays_part_the_networks,
        ),
        trial("settings::a_datagram_server_that_does_not_say_is_heard_from_another_address", NEEDS, || {
            settings::a_datagram_server_that_does_not_say_is_heard_from_another_address()
        }),
    ]
}
