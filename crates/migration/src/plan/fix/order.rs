//! The order of the nodes whose stragglers move.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::plan::site::Site;
use crate::plan::stragglers::Straggler;
use crate::plan::waves::{planned_nodes, wave, waves as of_all};
use crate::plan::{Wave, WaveKind, WaveName};

/// The waves of any plan, but that nodes with stragglers of DNS are last: other stragglers may reach no DNS pod but those.
pub(super) fn waves(
    sites: Vec<Site<'_>>,
    config: &Config,
    stragglers: &BTreeMap<&str, Vec<Straggler<'_>>>,
) -> Vec<Wave> {
    let has_dns = |site: &Site<'_>| {
        let late = stragglers.get(site.name()).into_iter().flatten();
        late.into_iter().any(|(pod, _)| site.dns.iter().any(|dns| dns.metadata.uid == pod.metadata.uid))
    };
    let (mut last, first): (Vec<_>, Vec<_>) = sites.into_iter().partition(has_dns);
    let mut waves = of_all(&first, config, false);
    if !last.is_empty() {
        last.sort_by(|a, b| {
            (a.node.is_control_plane(), a.order()).cmp(&(b.node.is_control_plane(), b.order()))
        });
        let nodes = last.iter().map(|site| (site, "it has a DNS pod that is a straggler".to_owned()));
        waves.push(wave(WaveName::DnsStragglers, WaveKind::Dns, 1, planned_nodes(nodes)));
    }
    waves
}
