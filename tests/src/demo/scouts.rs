//! Before the first node is rolled: what a strategy takes for granted about forwarding is tried.
//!
//! Scouts are ordinary pods, one per node, that a rule of the policy puts on the new network while everybody else is on the
//! old one. With `bridge`, everybody must reach them; with `double`, nobody may.

use anyhow::{Result, ensure};

use super::bootstrap::SCOUTS;
use super::cluster::{Pod, Wanted};
use super::migrate::Journey;
use super::placement::ensure_placed;
use super::report::Forwarding;
use super::strategy::{Network, Phase, Strategy};

/// Sends the scouts out, looks, and takes them back.
///
/// # Errors
/// The networks are not as the strategy takes for granted, or the lab fails.
pub(super) fn look_around(journey: &mut Journey<'_>) -> Result<()> {
    journey.mesh.phase("scouts")?;
    let cluster = journey.cluster;
    if journey.strategy == Strategy::Double {
        let [old, new] = Network::ALL.map(|network| cluster.overlay(network));
        cluster.fabric.block_forwarding_between(old, new)?;
    }
    for (host, on) in cluster.hosts().iter().enumerate() {
        let name = format!("scout-{}", on.node.name());
        let wanted =
            Wanted { name: &name, namespace: SCOUTS, host, attempt: 0, phase: Phase::New, host_port: None };
        let scout = cluster.run_pod(&wanted)?;
        let misplaced = ensure_placed(&scout, &cluster.leases(host)?).err();
        journey.misplaced.extend(misplaced.map(|error| error.to_string()));
        journey.enter(&scout)?;
        journey.scouts.push(scout);
    }
    journey.settle()?;
    match journey.strategy {
        Strategy::Bridge => {
            // Whoever was not reached is a loss by now.
            let lost = journey.mesh.gauge().progress().lost;
            ensure!(
                lost == 0,
                "{lost} probes lost while old and new were to reach each other; no node is rolled"
            );
            journey.forwarding = Some(Forwarding::Open);
            journey.board.say("old and new reach each other through the nodes");
        }
        Strategy::Double => {
            ensure_apart(journey)?;
            let packets = cluster.fabric.blocked_packets()?;
            journey.forwarding = Some(Forwarding::Blocked { packets });
            journey.board.say(&format!("old and new are apart: {packets} packets ran into the block"));
        }
    }
    for scout in std::mem::take(&mut journey.scouts) {
        journey.retire(&scout)?;
        cluster.end_pod(&scout)?;
    }
    Ok(())
}

/// Holds if no pod reaches the scout of the next node.
fn ensure_apart(journey: &Journey<'_>) -> Result<()> {
    let (hosts, scouts) = (journey.cluster.hosts(), &journey.scouts);
    let reached: Vec<String> = std::thread::scope(|scope| {
        let ask = |pod: &'_ Pod| {
            let scout = &scouts[(pod.host + 1) % scouts.len()];
            let (node, netns, address) = (&hosts[pod.host].node, pod.netns_inside.clone(), scout.address);
            let line = format!("{} reaches {}", pod.name, scout.name);
            scope.spawn(move || node.ping_from(&netns, &address.to_string()).is_ok().then_some(line))
        };
        let asked: Vec<_> = journey.pods.iter().map(ask).collect();
        asked.into_iter().filter_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    ensure!(reached.is_empty(), "forwarding is blocked, and yet: {}", reached.join(", "));
    Ok(())
}
