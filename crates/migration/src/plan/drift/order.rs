//! The check that a plan's waves, and the nodes it leaves out, follow from the settings and the cluster.
//!
//! Which pods a node had, and how many, is of the day on which the plan was made, so the order within a wave is not compared. What does not change with
//! pods is which waves there are, their order, how large the canary is, and where nodes of the control plane move.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Config;
use crate::plan::site::{Survey, platform_reasons};
use crate::plan::waves::CANARY;
use crate::plan::{ExcludedNode, Plan, Wave, WaveKind, WaveName};

/// What could not come from these settings and this cluster. A node writes its own zone, so that a zone makes no plan stale.
pub(super) fn ungiven(plan: &Plan, survey: &Survey<'_>, config: &Config) -> Vec<String> {
    let of_wave = |wave| Wave::members(wave).map(move |node| (node, wave));
    let places: BTreeMap<_, &Wave> = plan.waves.iter().flat_map(of_wave).collect();
    let planned_sites = || {
        survey
            .sites
            .iter()
            .filter_map(|site| Some((site, *places.get(&(site.name(), &*site.node.metadata.uid))?)))
    };
    let mut lines = waves(plan, config);
    for (site, wave) in planned_sites()
        .filter(|(site, wave)| site.node.is_control_plane() && !may_have_control_plane(plan, wave))
    {
        lines.push(format!(
            "Node {} is of the control plane, and the plan moves it in the wave {}.",
            site.name(),
            wave.name
        ));
    }
    // Zones of nodes that are gone are not known, so each of these may have been the first of its zone.
    let zones: BTreeSet<&str> = planned_sites().map(|(site, _)| site.zone()).collect();
    let most = places.len() / CANARY + zones.len() + (places.len() - planned_sites().count());
    for wave in plan.waves.iter().filter(|wave| wave.kind == WaveKind::Canary && wave.nodes.len() > most) {
        let size = wave.nodes.len();
        lines.push(format!("The wave {} has {size} nodes, and the settings give at most {most}.", wave.name));
    }
    // A plan that fixes stragglers leaves nodes out for what is on them.
    let left_out = plan.left_out.iter().filter(|out| !plan.fixes_stragglers() && !is_given(out, config));
    lines.extend(
        left_out.map(|out| {
            format!("The plan leaves out node {}, and the settings do not: {}.", out.name, out.why)
        }),
    );
    lines
}

/// Whether the platform of a node or the settings leave it out for this reason.
fn is_given(out: &ExcludedNode, config: &Config) -> bool {
    let named = config.roll.left_out(&out.name).map(|exclusion| exclusion.reason.as_str());
    platform_reasons().into_iter().chain(named).any(|why| why == out.why)
}

/// A plan that fixes stragglers moves nodes with DNS pods last, those of the control plane included.
fn may_have_control_plane(plan: &Plan, wave: &Wave) -> bool {
    wave.kind == WaveKind::ControlPlane || plan.fixes_stragglers() && wave.kind == WaveKind::Dns
}

/// Waves that no plan of these settings has, or that it has elsewhere.
fn waves(plan: &Plan, config: &Config) -> Vec<String> {
    let zones = plan.pools.iter().flat_map(|pool| &pool.zones);
    let zones: BTreeSet<WaveName> = zones.map(|zone| WaveName::Zone(zone.to_string())).collect();
    let groups: Vec<WaveName> =
        config.freeze.iter().map(|group| WaveName::Group(group.name.clone())).collect();
    // Where every plan of these settings has it: whether last of all, the kind, and the place among those of its kind.
    let place = |wave: &Wave| -> Option<(bool, WaveKind, usize)> {
        let name = &wave.name;
        let index = match wave.kind {
            WaveKind::Scouts => (*name == WaveName::Scouts).then_some(0),
            WaveKind::Dns if *name == WaveName::DnsStragglers && plan.fixes_stragglers() => {
                return Some((true, wave.kind, 0));
            }
            WaveKind::Dns => (*name == WaveName::Dns).then_some(0),
            WaveKind::Canary => (*name == WaveName::Canary).then_some(0),
            WaveKind::Zone => zones.iter().position(|zone| zone == name),
            WaveKind::Stateful => groups.iter().position(|group| group == name),
            WaveKind::ControlPlane => (*name == WaveName::ControlPlane).then_some(0),
        };
        Some((false, wave.kind, index?))
    };
    let (mut lines, mut before) = (Vec::new(), None);
    for wave in &plan.waves {
        let place = place(wave);
        if place.is_none() {
            lines.push(format!("The settings give no wave {:?} of its kind.", wave.name.to_string()));
        } else if place <= before {
            lines.push(format!("The wave {} comes later than the settings put it.", wave.name));
        } else {
            before = place;
        }
    }
    lines
}
