//! The order in which nodes move.
//!
//! Scouts, nodes for DNS, canary, one zone after the other, stateful groups, control plane. Within a wave, nodes with fewest pods go first; of
//! those with as many, a hash of cluster and name decides, so that the order is the same whenever it is computed.

use std::collections::{BTreeMap, BTreeSet};

use snapshot::model::{Pod, Text};

use super::site::Site;
use super::{PlannedNode, Wave, WaveKind, WaveName};
use crate::config::Config;
use crate::workload::Place;

/// One of so many nodes of a zone is in the canary.
pub(super) const CANARY: usize = 50;

/// The waves. Each node is in one of them, with its pool where nodes are replaced.
pub(super) fn waves(sites: &[Site<'_>], config: &Config, has_replacements: bool) -> Vec<Wave> {
    let mut rest: Vec<&Site<'_>> =
        sites.iter().filter(|site| !site.node.is_control_plane() && site.group.is_none()).collect();
    rest.sort_by(|a, b| a.order().cmp(&b.order()));
    let sizes = sizes(sites);
    let scouts = scouts(&rest);
    rest.retain(|site| scouts.iter().all(|(scout, _)| scout.name() != site.name()));
    let first: Vec<&Site<'_>> = scouts.iter().map(|(site, _)| *site).collect();
    let soak = config.roll.limits.soak_seconds;
    let mut waves = vec![
        Wave { soak_seconds: soak, ..wave(WaveName::Scouts, WaveKind::Scouts, 1, planned_nodes(scouts)) },
        wave(WaveName::Dns, WaveKind::Dns, 1, planned_nodes(dns(&mut rest, &first))),
        canary(&mut rest, &sizes, config),
    ];
    waves.extend(zones(&rest, &sizes, config));
    waves.extend(groups(sites, config));
    waves.push(control_plane(sites));
    waves.retain(|wave| !wave.nodes.is_empty());
    if has_replacements {
        let pools: BTreeMap<&str, &str> = sites.iter().map(|site| (site.name(), site.pool)).collect();
        for planned in waves.iter_mut().flat_map(|wave| &mut wave.nodes) {
            planned.pool = pools.get(&*planned.name).copied().unwrap_or_default().into();
        }
    }
    waves
}

pub(super) fn wave(name: WaveName, kind: WaveKind, at_once: u32, nodes: Vec<PlannedNode>) -> Wave {
    Wave { name, kind, at_once, soak_seconds: 0, nodes }
}

pub(super) fn planned_nodes<'s, 'a: 's>(
    sites: impl IntoIterator<Item = (&'s Site<'a>, String)>,
) -> Vec<PlannedNode> {
    let placed = |(site, why): (&Site<'_>, String)| {
        let meta = &site.node.metadata;
        PlannedNode { name: meta.name.clone(), uid: meta.uid.clone(), pool: Text::default(), why }
    };
    sites.into_iter().map(placed).collect()
}

/// How many nodes each zone has, all waves taken together.
fn sizes<'a>(sites: &[Site<'a>]) -> BTreeMap<&'a str, usize> {
    let mut sizes = BTreeMap::new();
    for site in sites {
        *sizes.entry(site.zone()).or_default() += 1;
    }
    sizes
}

/// In each zone that has DNS pods: a node where they can land, and then the nodes that have them.
fn dns<'s, 'a>(rest: &mut Vec<&'s Site<'a>>, scouts: &[&'s Site<'a>]) -> Vec<(&'s Site<'a>, String)> {
    let zones: BTreeSet<&str> =
        rest.iter().filter(|site| !site.dns.is_empty()).map(|site| site.zone()).collect();
    let mut nodes: Vec<(&'s Site<'a>, String)> = Vec::new();
    for zone in zones {
        let with = rest.iter().copied().filter(|site| site.zone() == zone && !site.dns.is_empty());
        let with: Vec<&'s Site<'a>> = with.collect();
        let pods: Vec<&Pod> = with.iter().flat_map(|site| site.dns.iter().copied()).collect();
        let takes_them = |site: &&&'s Site<'a>| {
            let place = Place::from_node(site.node);
            let is_open = site.zone() == zone && site.dns.is_empty() && !site.node.spec.unschedulable;
            is_open && pods.iter().any(|pod| place.refusal(&pod.spec).is_none())
        };
        if !scouts.iter().any(|site| takes_them(&site)) {
            let why = || "it has no DNS pod, so those of its zone find a node that has moved".to_owned();
            nodes.extend(rest.iter().find(takes_them).map(|site| (*site, why())));
        }
        nodes.extend(with.iter().map(|site| (*site, describe_pod_count(site.dns.len()))));
    }
    rest.retain(|site| nodes.iter().all(|(candidate, _)| candidate.name() != site.name()));
    nodes
}

fn describe_pod_count(pods: usize) -> String {
    if pods == 1 { "it has a DNS pod".into() } else { format!("it has {pods} DNS pods") }
}

/// A few nodes of each zone, in turns.
fn canary<'s, 'a>(rest: &mut Vec<&'s Site<'a>>, sizes: &BTreeMap<&str, usize>, config: &Config) -> Wave {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut nodes: Vec<(usize, &'s Site<'a>)> = Vec::new();
    rest.retain(|site| {
        let of_zone = counts.entry(site.zone()).or_default();
        let is_taken = *of_zone < sizes.get(site.zone()).map_or(0, |size| size.div_ceil(CANARY));
        if is_taken {
            nodes.push((*of_zone, *site));
            *of_zone += 1;
        }
        !is_taken
    });
    nodes.sort_by(|(a, item), (b, other)| (a, item.zone()).cmp(&(b, other.zone())));
    let at_once = u32::try_from(counts.len()).unwrap_or(u32::MAX).min(config.roll.limits.in_transit).max(1);
    let why = |site: &Site<'_>| format!("one of the first of {}", WaveName::Zone(site.zone().into()));
    wave(
        WaveName::Canary,
        WaveKind::Canary,
        at_once,
        planned_nodes(nodes.into_iter().map(|(_, site)| (site, why(site)))),
    )
}

/// The other nodes, one zone after the other.
fn zones(rest: &[&Site<'_>], sizes: &BTreeMap<&str, usize>, config: &Config) -> Vec<Wave> {
    let limits = &config.roll.limits;
    let wave_of = |(zone, size): (&&str, &usize)| {
        let share = u64::try_from(*size).unwrap_or(u64::MAX).saturating_mul(limits.zone_percent.into()) / 100;
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        let nodes = rest.iter().filter(|site| site.zone() == *zone);
        let name = WaveName::Zone((*zone).to_owned());
        let nodes = planned_nodes(nodes.map(|site| (*site, format!("of {name}"))));
        wave(name, WaveKind::Zone, share.min(limits.in_transit).max(1), nodes)
    };
    sizes.iter().map(wave_of).collect()
}

/// Nodes with pods of stateful groups, one group after the other. A node with pods of several groups moves with the first of them.
fn groups(sites: &[Site<'_>], config: &Config) -> Vec<Wave> {
    let wave_of = |(index, group): (usize, &crate::config::Freeze)| {
        let is_of = |site: &&Site<'_>| {
            site.group.is_some_and(|(group, _)| group == index) && !site.node.is_control_plane()
        };
        let mut nodes: Vec<&Site<'_>> = sites.iter().filter(is_of).collect();
        nodes.sort_by(|a, b| (a.group, a.order()).cmp(&(b.group, b.order())));
        let why = |site: &Site<'_>| {
            let member = site.group.and_then(|(_, member)| group.members.get(member));
            let member = member.map(|item| format!("{}/{}/{}", item.kind.kind(), item.namespace, item.name));
            format!("it has pods of {}", member.unwrap_or_default())
        };
        let nodes = nodes.into_iter().map(|site| (site, why(site)));
        wave(WaveName::Group(group.name.clone()), WaveKind::Stateful, 1, planned_nodes(nodes))
    };
    config.freeze.iter().enumerate().map(wave_of).collect()
}

fn control_plane(sites: &[Site<'_>]) -> Wave {
    let mut nodes: Vec<&Site<'_>> = sites.iter().filter(|site| site.node.is_control_plane()).collect();
    nodes.sort_by(|a, b| a.order().cmp(&b.order()));
    let nodes = nodes.into_iter().map(|site| (site, "it is of the control plane".to_owned()));
    wave(WaveName::ControlPlane, WaveKind::ControlPlane, 1, planned_nodes(nodes))
}

/// What a scout stands for, in words.
struct ScoutRole<'s, 'a> {
    site: &'s Site<'a>,
    kind: String,
    zone: String,
}

/// The scouts of these nodes, each with why. The nodes are in the order in which they would move.
///
/// A node with DNS pods is no scout, since they would land on nodes of which nothing is known yet. Where all nodes have some, the first node is
/// the only scout.
pub(super) fn scouts<'s, 'a>(sites: &[&'s Site<'a>]) -> Vec<(&'s Site<'a>, String)> {
    let mut candidates: Vec<ScoutRole<'s, 'a>> =
        sites.iter().filter(|site| site.dns.is_empty()).map(|site| ScoutRole::from_site(site)).collect();
    if candidates.is_empty() {
        candidates.extend(sites.first().map(|site| ScoutRole::from_site(site)));
    }
    let mut covered: BTreeSet<&str> = BTreeSet::new();
    let mut scouts = Vec::new();
    loop {
        let mut best: Option<(usize, &ScoutRole<'_, '_>)> = None;
        for role in &candidates {
            let gain = role.words().iter().filter(|words| !covered.contains(**words)).count();
            // The first of those with the same gain stays.
            if gain > best.map_or(0, |(most, _)| most) {
                best = Some((gain, role));
            }
        }
        let Some((_, role)) = best else { return scouts };
        let new: Vec<&str> = role.words().into_iter().filter(|words| covered.insert(words)).collect();
        scouts.push((role.site, format!("the first {}", new.join(" and the first "))));
    }
}

impl<'s, 'a> ScoutRole<'s, 'a> {
    fn from_site(site: &'s Site<'a>) -> Self {
        let zone = match site.zone() {
            "" => "without a zone".into(),
            zone => format!("in zone {zone}"),
        };
        Self { site, kind: node_kind(site), zone }
    }

    fn words(&self) -> [&str; 2] {
        [&self.kind, &self.zone]
    }
}

/// `of pool web, amd64, containerd 1.7, kernel 6.1`.
fn node_kind(site: &Site<'_>) -> String {
    let info = &site.node.status.node_info;
    let pool = if site.pool.is_empty() { "of no pool".into() } else { format!("of pool {}", site.pool) };
    let runtime = info.container_runtime_version.split_once("://");
    let runtime = runtime.map_or(String::new(), |(name, version)| format!("{name} {}", minor(version)));
    let kernel = match minor(&info.kernel_version) {
        "" => String::new(),
        kernel => format!("kernel {kernel}"),
    };
    let parts = [pool, info.architecture.to_string(), runtime, kernel];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// `6.1` of `6.1.0-25-amd64`.
fn minor(version: &str) -> &str {
    let second = version.match_indices('.').nth(1);
    second.map_or(version, |(end, _)| &version[..end])
}
