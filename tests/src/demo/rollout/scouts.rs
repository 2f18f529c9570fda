//! Before the first node is rolled: what a strategy takes for granted about forwarding is tried, by a DaemonSet whose pods a rule of the
//! policy puts on the new network while everybody else is on the old one.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Rollout, lock, overlay, pods, workloads};
use crate::demo::placement;
use crate::demo::report::Forwarding;
use crate::demo::strategy::{Phase, Strategy};

/// The namespace of the rule.
pub(super) const NAMESPACE: &str = "scouts";

/// Sends the scouts out, looks, and takes them back.
pub(super) fn look_around(rollout: &mut Rollout<'_>) -> Result<()> {
    rollout.mesh.phase("scouts")?;
    let cluster = rollout.cluster;
    if rollout.strategy == Strategy::Double {
        cluster.fabric.block_forwarding_between(&cluster.old, &cluster.new)?;
    }
    let mut set = workloads::workload("DaemonSet", "scout", None, workloads::server(None));
    set["metadata"]["namespace"] = json!(NAMESPACE);
    rollout.api.create(&[
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        set,
    ])?;
    rollout.api.until_rolled_out("/apis/apps/v1/namespaces/scouts/daemonsets/scout")?;
    let scouts = pods::running(cluster, &rollout.api, NAMESPACE, |_| Phase::New)?;
    for scout in &scouts {
        let node = &cluster.workers[scout.host].node;
        let leases = placement::leases(node, |network| overlay(cluster, network).clone())?;
        rollout
            .misplaced
            .extend(placement::ensure_placed(scout, &leases).err().map(|error| error.to_string()));
        rollout.enter(scout.clone())?;
    }
    rollout.settle()?;
    match rollout.strategy {
        Strategy::Bridge => {
            // Whoever was not reached is a loss by now.
            let lost = rollout.mesh.gauge().progress().lost;
            ensure!(
                lost == 0,
                "{lost} probes lost while old and new were to reach each other; no node is rolled"
            );
            rollout.forwarding = Some(Forwarding::Open);
            rollout.board.say("old and new reach each other through the nodes");
        }
        Strategy::Double => {
            ensure_apart(rollout)?;
            let packets = cluster.fabric.blocked_packets()?;
            rollout.forwarding = Some(Forwarding::Blocked { packets });
            rollout.board.say(&format!("old and new are apart: {packets} packets ran into the block"));
        }
    }
    for scout in &scouts {
        rollout.mesh.retire(&scout.name)?;
        lock(&rollout.phases).remove(&scout.name);
    }
    rollout.pods.retain(|pod| pod.namespace != NAMESPACE);
    let path = format!("/api/v1/namespaces/{NAMESPACE}");
    rollout.api.client.delete(&path)?.object()?;
    rollout.api.until_gone(&path)
}

/// Holds if no pod reaches the scout of the next node.
fn ensure_apart(rollout: &Rollout<'_>) -> Result<()> {
    let (workers, pods) = (&rollout.cluster.workers, &rollout.pods);
    let (scouts, others): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| pod.namespace == NAMESPACE);
    for pod in others {
        let next = (pod.host + 1) % workers.len();
        let scout = scouts.iter().find(|scout| scout.host == next);
        let reached = scout.is_some_and(|scout| {
            workers[pod.host].node.ping_from(&pod.netns_inside, &scout.address.to_string()).is_ok()
        });
        ensure!(!reached, "forwarding is blocked, and yet {} reaches a scout", pod.name);
    }
    Ok(())
}
