//! Draws stragglers into a cluster that is in one phase, and makes its plan one that fixes them.

use std::collections::BTreeSet;

use migration::plan::Plan;
use types::policy::Phase;

use crate::cluster::truth::Truth;
use crate::draw::random::Random;

/// How many of a thousand pods were attached in another phase.
const PODS: u64 = 150;
/// How many of a thousand nodes are in another phase, of at most the smaller half.
const NODES: u64 = 100;

/// Draws them. The plan's only pass begins where it leads, and its waves have the nodes alone that stragglers are on.
pub(super) fn draw(random: &mut Random, truth: &mut Truth, plan: &mut Plan) {
    let to = plan.start;
    plan.passes = vec![to];
    let others: Vec<Phase> = Phase::ALL.into_iter().filter(|phase| *phase != to).collect();
    let out: BTreeSet<usize> = {
        let is_out = |name: &str| plan.left_out.iter().any(|out| &*out.name == name);
        truth.living_nodes().filter(|(_, node)| is_out(&node.name)).map(|(index, _)| index).collect()
    };
    let mut remaining = truth.nodes.len().saturating_sub(1) / 2;
    for index in (0..truth.nodes.len()).filter(|index| !out.contains(index)) {
        if remaining > 0 && random.chance(NODES) {
            remaining -= 1;
            let phase = random.pick(&others).copied().unwrap_or(to);
            truth.nodes[index].machine.phase = phase;
            for id in truth.nodes[index].pods.clone() {
                if let Some(attached) = truth.pods.get_mut(&id).and_then(|pod| pod.attached.as_mut()) {
                    attached.phase = phase;
                }
            }
        }
    }
    let is_movable = |pod: &crate::cluster::truth::Pod| pod.node.is_some_and(|index| !out.contains(&index));
    let attached: Vec<u32> = truth
        .pods
        .iter()
        .filter(|(_, pod)| pod.attached.is_some() && is_movable(pod))
        .map(|(id, _)| *id)
        .collect();
    let first = random.pick(&attached).copied();
    for id in attached {
        if (Some(id) == first || random.chance(PODS))
            && let Some(attachment) = truth.pods.get_mut(&id).and_then(|pod| pod.attached.as_mut())
        {
            attachment.phase = random.pick(&others).copied().unwrap_or(to);
        }
    }
    truth.publish_status();
    let is_late = |name: &str| {
        truth.node_by_name(name).is_some_and(|index| {
            truth.nodes[index].machine.phase != to || truth.attached_phases(index).any(|phase| phase != to)
        })
    };
    for wave in &mut plan.waves {
        wave.nodes.retain(|placed| is_late(&placed.name));
    }
}
