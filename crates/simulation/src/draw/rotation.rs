//! Draws pipelines that replace the nodes of pools, and makes the plan one that has them replaced.

use migration::cni::reach::Way;
use migration::cni::support::Strategy;
use migration::config::roll::Method;
use migration::plan::{Bridge, Plan};
use types::policy::{Phase, Side};

use crate::cluster::truth::{Actor, Truth};
use crate::draw::random::Random;
use crate::pipeline::Pipeline;

/// Passes, and how each brings pods to its phase.
type Course = (&'static [Phase], &'static [Way]);

/// Nodes forward between both networks, and an image in `new` replaces those that are as they were.
const BRIDGED: Course = (&[Phase::New], &[Way::Replace]);
/// Pods join the new network while they run, and an image in `both-new` replaces their nodes.
const JOINED: Course =
    (&[Phase::BothOld, Phase::BothNew, Phase::New], &[Way::Join, Way::Replace, Way::Leave]);
/// Nothing is installed on old nodes: an image in `both-old` replaces them.
const PLAIN: Course =
    (&[Phase::BothOld, Phase::BothNew, Phase::New], &[Way::Replace, Way::Restart, Way::Leave]);

/// So many of a thousand pipelines have the new image too early.
const EARLY: u64 = 100;

pub(super) fn draw(random: &mut Random, truth: &mut Truth, plan: &mut Plan) {
    let course @ (passes, ways) = match random.number_below(10) {
        0..6 => BRIDGED,
        6..8 => JOINED,
        _ => PLAIN,
    };
    plan.strategy = Strategy::Rotation;
    (plan.passes, plan.ways) = (passes.to_vec(), ways.to_vec());
    plan.image = ways.iter().position(|way| *way == Way::Replace).map(|place| passes[place]);
    if course == BRIDGED {
        let accepted = || Bridge::Accepted("it is known".into());
        plan.bridge.get_or_insert_with(accepted);
    } else {
        plan.bridge = None;
        plan.gates.retain(|gate| gate.name != "bridge");
        truth.gates.retain(|gate| gate.name != "bridge");
    }
    for (index, pool) in plan.pools.iter_mut().enumerate() {
        if index == 0 || random.chance(600) {
            pool.method = random
                .pick(&[Method::Permit, Method::Karpenter, Method::Permit, Method::Karpenter, Method::Follow])
                .copied()
                .unwrap_or_default();
        }
    }
    let is_rotated = |pools: &[migration::plan::Pool], name: &str| {
        pools.iter().any(|pool| &*pool.name == name && pool.method.replaces())
    };
    plan.left_out.clear();
    let placed: Vec<String> =
        plan.waves.iter().flat_map(|wave| &wave.nodes).map(|node| node.name.to_string()).collect();
    for node in &truth.nodes {
        if !placed.contains(&node.name.to_string())
            && let Some(wave) = plan.waves.iter_mut().rev().find(|wave| wave.takes(&node.api.zone))
        {
            wave.nodes.push(migration::plan::PlannedNode {
                name: node.name.clone(),
                uid: node.api.uid.clone(),
                pool: node.api.pool.clone(),
                why: String::new(),
            });
        }
    }
    for planned in plan.waves.iter_mut().flat_map(|wave| &mut wave.nodes) {
        let node = truth.nodes.iter().find(|node| node.name == planned.name);
        planned.pool = node.map(|node| node.api.pool.clone()).unwrap_or_default();
    }
    let is_plain = course == PLAIN || (course == BRIDGED && random.chance(600));
    for node in &mut truth.nodes {
        if course == JOINED {
            node.machine.joins = Side::BOTH.to_vec();
        }
        if is_rotated(&plan.pools, &node.api.pool) {
            node.machine.has_crossfade = !is_plain;
            node.machine.has_watch = !is_plain;
            if random.chance(30) {
                (node.api.is_undisturbed, node.undisturbed_by) = (true, Some(Actor::Other));
            }
        }
    }
    pipelines(random, truth, plan, EARLY);
}

/// More pools are replaced, some of them by Cluster API, of which the run sees the Machines; and their images are in different phases.
pub(super) fn draw_fleet(random: &mut Random, truth: &mut Truth, plan: &mut Plan) {
    let has_crossfade = |truth: &Truth, pool: &str| {
        truth.nodes.iter().filter(|node| *node.api.pool == *pool).all(|node| node.machine.has_crossfade)
    };
    let is_single = plan.passes.len() == 1;
    for (index, pool) in plan.pools.iter_mut().enumerate() {
        if !pool.method.replaces() && random.chance(700) {
            pool.method = Method::Permit;
        }
        if pool.method.replaces() && (index == 0 || random.chance(500)) {
            pool.method = Method::ClusterApi;
        }
        // What has no Crossfade is replaced in the first pass, and nothing beside it is where all passes are one.
        if pool.method.replaces() && !is_single && has_crossfade(truth, &pool.name) {
            let image = random.pick(&plan.passes).copied();
            pool.image = image.filter(|image| Some(*image) != plan.image);
        }
    }
    let images = plan.image_phases();
    for (to, way) in plan.passes.iter().zip(&mut plan.ways) {
        match (images.contains(to), *way) {
            (true, _) => *way = Way::Replace,
            (false, Way::Replace) => *way = Way::Restart,
            (false, Way::Join | Way::Leave | Way::Restart) => {}
        }
    }
    truth.pipelines.clear();
    pipelines(random, truth, plan, EARLY);
    machines(truth);
    for machine in truth.nodes.iter_mut().filter_map(|node| node.capi.as_mut()) {
        if random.chance(30) {
            machine.hook = Some("r-0".into());
        }
    }
}

/// The run sees the Machines of Cluster API.
pub(crate) fn machines(truth: &mut Truth) {
    for pipeline in &mut truth.pipelines {
        pipeline.has_machines = pipeline.method == Method::ClusterApi;
        pipeline.marks &= !pipeline.has_machines;
    }
    for index in 0..truth.nodes.len() {
        let pool = &truth.nodes[index].api.pool;
        if truth.pipelines.iter().any(|acting| acting.pool == *pool && acting.has_machines) {
            truth.add_machine(index);
        }
    }
}

/// A pipeline for each pool whose nodes are replaced; so many of a thousand have the new image before the run holds the nodes.
pub(crate) fn pipelines(random: &mut Random, truth: &mut Truth, plan: &Plan, early: u64) {
    for pool in plan.pools.iter().filter(|pool| pool.method.replaces()) {
        let can_be_early = pool.image_phase(plan.image) == plan.passes.first().copied();
        truth.pipelines.push(Pipeline {
            pool: pool.name.clone(),
            method: pool.method,
            size: truth.nodes.iter().filter(|node| node.api.pool == pool.name).count(),
            at_once: usize::try_from(random.number_between(1, 3)).unwrap_or(1),
            launches_first: random.chance(500),
            marks: random.chance(500),
            has_machines: false,
            has_image: can_be_early && random.chance(early),
            bad_until: 0,
            has_burst: false,
            launching: 0,
            jobs: Vec::new(),
            idle_until: 0,
            looked_at: 0,
        });
    }
}
