//! Draws the last rotation: every node is in phase `new`, and nodes of the final image, without Crossfade, take the places of those of the migration image.

use migration::cni::reach::Way;
use migration::plan::{Agent, Plan};
use types::policy::{Phase, Side};

use crate::cluster::truth::Truth;
use crate::draw::random::Random;

/// So many of a thousand rotations are the last one.
const OFTEN: u64 = 200;
/// So many of a thousand nodes were replaced before the plan was made.
const REPLACED: u64 = 50;

/// Makes a rotation the last one, now and then.
pub(super) fn draw(random: &mut Random, truth: &mut Truth, plan: &mut Plan) {
    if !random.chance(OFTEN) {
        return;
    }
    (plan.start, plan.image, plan.bridge) = (Phase::New, Some(Phase::New), None);
    (plan.passes, plan.ways) = (vec![Phase::New], vec![Way::Replace]);
    plan.gates.retain(|gate| gate.name != "bridge");
    truth.gates.retain(|gate| gate.name != "bridge");
    let mut has_first = false;
    for node in &mut truth.nodes {
        (node.machine.phase, node.machine.image) = (Phase::New, Phase::New);
        let is_replaced = plan.rotates(&node.api.pool) && has_first && random.chance(REPLACED);
        has_first |= plan.rotates(&node.api.pool);
        (node.machine.has_crossfade, node.machine.has_watch) = (!is_replaced, !is_replaced);
        if is_replaced {
            let mut pipelines = truth.pipelines.iter_mut();
            let acting = pipelines.find(|acting| acting.pool == node.api.pool);
            acting.into_iter().for_each(|acting| acting.has_image = true);
        }
    }
    for (side, cni) in Side::BOTH.into_iter().zip([plan.from, plan.to]) {
        let name = format!("{}-agent", side.as_str());
        let agents = truth.workloads.iter_mut().filter(|workload| *workload.blueprint.owner.name == *name);
        for workload in agents {
            workload.agent_of = Some(side);
            let owner = &workload.blueprint.owner;
            plan.agents.push(Agent {
                namespace: owner.namespace.clone(),
                name: owner.name.clone(),
                uid: "".into(),
                generation: 0,
                cni: Some(cni),
            });
        }
    }
}
