//! Before the first node is rolled: what a strategy takes for granted about forwarding is tried.
//!
//! Scouts are ordinary pods, one per node, that a rule of the policy puts on the new network while everybody else is on the
//! old one. With `bridge`, every pod must reach them; with `double`, none may.

use anyhow::Result;

use super::bootstrap::SCOUTS;
use super::cluster::PodRequest;
use super::migrate::Journey;
use super::strategy::{Network, Phase, Strategy};

/// Sends the scouts out, looks, and takes them back.
///
/// # Errors
/// The networks are not as the strategy takes for granted, or the lab fails.
pub(super) fn look_around(journey: &mut Journey<'_>) -> Result<()> {
    journey.audit.mesh.phase("scouts")?;
    let cluster = journey.cluster;
    if journey.strategy == Strategy::Double {
        let [old, new] = Network::ALL.map(|network| cluster.overlay(network));
        cluster.fabric.block_forwarding_between(old, new)?;
    }
    for (host, on) in cluster.hosts().iter().enumerate() {
        let name = format!("scout-{}", on.node.name());
        let wanted = PodRequest {
            name: &name,
            namespace: SCOUTS,
            host,
            attempt: 0,
            phase: Phase::New,
            host_port: None,
        };
        let scout = cluster.run_pod(&wanted)?;
        journey.audit.look_at(&scout, &cluster.leases(host)?);
        journey.audit.enter(&scout)?;
        journey.scouts.push(scout);
    }
    journey.settle()?;
    journey.audit.try_forwarding(&cluster.fabric, &journey.pods, &journey.scouts)?;
    for scout in std::mem::take(&mut journey.scouts) {
        journey.audit.retire(&scout)?;
        cluster.end_pod(&scout)?;
    }
    Ok(())
}
