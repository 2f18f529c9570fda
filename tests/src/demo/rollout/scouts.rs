//! Before the first node is rolled: what a strategy takes for granted about forwarding is tried, by a DaemonSet whose pods a rule of the
//! policy puts on the new network while everybody else is on the old one.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Rollout, overlay, pods, rules};
use crate::demo::placement;
use crate::demo::strategy::{Phase, Strategy};
use crate::install::crossfade::POLICY;
use crate::kubernetes::api::node_path;
use crate::kubernetes::manifest;

/// The namespace of the rule.
pub(super) const NAMESPACE: &str = "scouts";

/// Sends the scouts out, looks, and takes them back.
pub(super) fn look_around(rollout: &mut Rollout<'_>) -> Result<()> {
    rollout.audit.mesh.phase("scouts")?;
    let cluster = rollout.cluster;
    if rollout.strategy == Strategy::Double {
        cluster.fabric.block_forwarding_between(&cluster.old, &cluster.new)?;
    }
    let set = manifest::workload("DaemonSet", NAMESPACE, "scout", None, &manifest::server());
    rollout.api.create(&[manifest::namespace(NAMESPACE), set])?;
    rollout.api.until_rolled_out("/apis/apps/v1/namespaces/scouts/daemonsets/scout")?;
    let scouts = pods::running(cluster, &pods::objects(&rollout.api, NAMESPACE)?, |_| Phase::New)?;
    for scout in &scouts {
        let node = &cluster.workers[scout.host].node;
        let leases = placement::leases(node, |network| overlay(cluster, network).clone())?;
        rollout.audit.look_at(scout, &leases);
        rollout.audit.enter(scout)?;
    }
    rollout.audit.settle(rollout.pods.iter().chain(&scouts))?;
    rollout.audit.try_forwarding(&cluster.fabric, &rollout.pods, &scouts)?;
    scouts.iter().try_for_each(|scout| rollout.audit.retire(scout))?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}");
    rollout.api.client.delete(&path)?.object()?;
    rollout.api.until_gone(&path)?;
    take_back(rollout)
}

/// Takes the scouts' rule out of every node's policy, as the owner of the nodes' files does. With it, the nodes could make pods on the new network in
/// every phase, and no plan without forwarding allows that. Agents that probe have rules of their own where nodes forward.
fn take_back(rollout: &Rollout<'_>) -> Result<()> {
    let mut policy = rollout.cluster.policy();
    policy["rules"] = rules(rollout.strategy);
    for worker in &rollout.cluster.workers {
        let (file, next) = (POLICY, "/etc/crossfade/policy.next");
        worker.node.write(next, policy.to_string())?;
        worker.node.run(&["mv", next, file])?;
    }
    let mints = match rollout.strategy {
        Strategy::Bridge => json!(["old", "new"]),
        Strategy::Double => json!(["old"]),
    };
    for worker in &rollout.cluster.workers {
        let says = |node: &Value| {
            let text = node["metadata"]["annotations"]["crossfade/observed"].as_str().unwrap_or_default();
            let text: Value = serde_json::from_str(text).unwrap_or_default();
            text["mints"] == mints
        };
        rollout.api.until(&node_path(worker.name()), "has no rule for scouts any more", says)?;
    }
    Ok(())
}
