//! The check that a cluster moves between the CNIs that its plan names.
//!
//! A command that resumes a run names no CNI: the plan does, and others can write plans.

use std::collections::BTreeSet;
use std::net::IpAddr;

use clap::ValueEnum;
use snapshot::model::Pod;
use types::policy::Phase;

use crate::check::Scene;
use crate::cni::support::Cni;
use crate::plan::Plan;
use crate::plan::parts;
use crate::plan::site::{Site, Survey};
use crate::workload::agents;
use snapshot::Range;

/// What the plan says of the CNIs and the cluster contradicts: a CNI without an agent where
/// another one has agents, and networks that are those of the other direction.
pub(super) fn ungiven(plan: &Plan, scene: &Scene<'_>, survey: &Survey<'_>) -> Vec<String> {
    let of_plan = format!("The plan moves {} to {}", plan.from, plan.to);
    let named = [plan.from, plan.to];
    // Agents may be no DaemonSets, or have names that nothing knows. Those of a CNI that the plan does not name tell that another one is meant.
    let has_others = scene.config.agents.new.is_empty()
        && Cni::value_variants().iter().any(|cni| !named.contains(cni) && !agents(scene, *cni).is_empty());
    let missing = named.into_iter().filter(|cni| has_others && agents(scene, *cni).is_empty());
    let mut lines: Vec<String> =
        missing.map(|cni| format!("{of_plan}, and the cluster has no agent of {cni}.")).collect();
    let networks = parts::networks(scene);
    let read = |texts: &[String]| -> Vec<Range> {
        texts.iter().filter_map(|text| Range::read(text).ok()).map(|(range, _)| range).collect()
    };
    let (old, new) = (read(&networks.old), read(&networks.new));
    let evidence = [(Phase::Old, &old, &new), (Phase::New, &new, &old)].map(|(phase, own, other)| {
        let addresses = addresses(scene, survey, phase);
        let are_in = |ranges: &[Range]| addresses.iter().any(|address| is_in(ranges, *address));
        (phase, are_in(own), are_in(other))
    });
    // A node writes its own report: where others agree with the plan, what contradicts it is that node's own matter.
    if !evidence.iter().any(|(_, agrees, _)| *agrees) {
        let phases = evidence.iter().filter(|(.., contradicts)| *contradicts);
        lines.extend(phases.map(|(phase, ..)| {
            format!("{of_plan}, and pods of phase {phase} have addresses of the other network.")
        }));
    }
    lines
}

fn is_in(ranges: &[Range], address: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(Range::from_address(address)))
}

/// The addresses of pods on nodes where everything is attached in this phase.
fn addresses(scene: &Scene<'_>, survey: &Survey<'_>, phase: Phase) -> Vec<IpAddr> {
    let is_of = |site: &&Site<'_>| {
        let observation = site
            .observed
            .as_ref()
            .filter(|observation| observation.phase == Some(phase) && observation.mints == [phase]);
        let attached = observation.and_then(|observation| observation.attached.as_ref());
        attached.is_some_and(|attached| attached.unknown == 0 && attached.by_phase.keys().eq([&phase]))
    };
    let nodes: BTreeSet<&str> = survey.sites.iter().filter(is_of).map(Site::name).collect();
    let pods = scene.snapshot.pods.iter().filter(|pod| nodes.contains(&*pod.spec.node_name));
    pods.flat_map(Pod::network_ips).collect()
}
