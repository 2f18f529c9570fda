//! Scouts: the nodes that move first, to learn from.
//!
//! Every kind of node (pool, architecture, runtime and kernel, without their patch releases) has a scout, and so has every zone. They are chosen
//! greedily: of all nodes, the one that stands for most of what has no scout yet.

use std::collections::BTreeSet;

use super::site::Site;

/// What a scout stands for, in words.
struct ScoutRole<'s, 'a> {
    site: &'s Site<'a>,
    kind: String,
    zone: String,
}

/// The scouts of these nodes, each with why. The nodes are in the order in which they would move.
///
/// A node with DNS pods is no scout, since they would land on nodes of which nobody has learnt anything. Where all nodes have some, the first node is
/// the only scout.
pub(super) fn scouts<'s, 'a>(sites: &[&'s Site<'a>]) -> Vec<(&'s Site<'a>, String)> {
    let mut candidates: Vec<ScoutRole<'s, 'a>> =
        sites.iter().filter(|site| site.dns.is_empty()).map(|site| ScoutRole::of(site)).collect();
    if candidates.is_empty() {
        candidates.extend(sites.first().map(|site| ScoutRole::of(site)));
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
    fn of(site: &'s Site<'a>) -> Self {
        let zone = match site.zone() {
            "" => "without a zone".into(),
            zone => format!("in zone {zone}"),
        };
        Self { site, kind: kind(site), zone }
    }

    fn words(&self) -> [&str; 2] {
        [&self.kind, &self.zone]
    }
}

/// `of pool web, amd64, containerd 1.7, kernel 6.1`.
fn kind(site: &Site<'_>) -> String {
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
