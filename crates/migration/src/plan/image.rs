//! The phase of the image that replaces the nodes of each pool: what the settings name, else what the pool's newest node has.

use std::collections::BTreeMap;

use snapshot::model::Node;
use types::api::node_keys::PHASE;
use types::command::problem::Problem;
use types::policy::Phase;

use super::{Plan, Pool, parts, site};
use crate::check::Scene;
use crate::config::Config;
use crate::config::roll::Method;
use crate::workload::pool_of;

/// The newest node of a pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewestNode<'n> {
    node: &'n Node,
    phase: Phase,
    /// The lowest phase of a node of its pool.
    lowest: Phase,
}

impl<'n> NewestNode<'n> {
    fn age(&self) -> (Option<&'n str>, Phase) {
        (self.node.metadata.creation_timestamp.as_deref(), self.phase)
    }

    /// The phase of the image that its pipeline launches now, as far as it differs from the pool's other nodes.
    pub(super) fn image(&self) -> Option<Phase> {
        Some(self.phase).filter(|phase| *phase > self.lowest)
    }
}

/// The newest node of each pool, by its label: one without Crossfade counts as in phase `old`. Of nodes that came in the same second, one that is furthest.
pub(super) fn newest_nodes<'n>(scene: &Scene<'n>) -> BTreeMap<&'n str, NewestNode<'n>> {
    let mut newest: BTreeMap<&str, NewestNode<'n>> = BTreeMap::new();
    for node in scene.snapshot.nodes.iter().filter(|node| site::left_out(scene, node).is_none()) {
        let phase = node.metadata.label(PHASE).and_then(Phase::parse).unwrap_or(Phase::Old);
        let candidate = NewestNode { node, phase, lowest: phase };
        let known = newest.entry(pool_of(scene, node)).or_insert(candidate);
        let lowest = known.lowest.min(phase);
        if candidate.age() > known.age() {
            *known = candidate;
        }
        known.lowest = lowest;
    }
    newest
}

/// The phase of the image of a pool where it is another one than that of the plan: as the settings name it, else as the newest node has it.
pub(super) fn of_pool(
    config: &Config,
    pool: &str,
    method: Method,
    image: Option<Phase>,
    newest: Option<Phase>,
) -> Option<Phase> {
    let phase = config.roll.image_phase(pool).or(newest);
    phase.filter(|phase| method.replaces() && image.is_some_and(|image| image != *phase))
}

/// Whether nodes of some image give their pods both networks, so that the passes are those of `double`.
pub(crate) fn gives_both(scene: &Scene<'_>) -> bool {
    let (config, newest) = (scene.config, newest_nodes(scene));
    let image = parts::image(scene.strategy, config);
    // Without a method in the settings, a pipeline replaces the nodes.
    let method = |pool: &str| config.roll.method(pool).unwrap_or(Method::Permit);
    let pool = |(name, newest): (&&str, &NewestNode<'_>)| {
        let method = method(name);
        method.replaces().then(|| of_pool(config, name, method, image, newest.image()).or(image)).flatten()
    };
    let phases: Vec<Phase> = newest.iter().filter_map(pool).collect();
    let phases = if phases.is_empty() { image.into_iter().collect() } else { phases };
    phases.iter().any(|phase| *phase < Phase::New)
}

/// Pools whose pipelines launch nodes of an image that the first pass of a plan does not allow yet.
#[must_use]
pub fn early_images(plan: &Plan, scene: &Scene<'_>) -> Vec<Problem> {
    early_images_of(scene, &plan.pools, plan.image, &plan.passes)
}

/// The same of pools that are replaced by these images in these passes.
pub(super) fn early_images_of(
    scene: &Scene<'_>,
    pools: &[Pool],
    image: Option<Phase>,
    passes: &[Phase],
) -> Vec<Problem> {
    let newest = newest_nodes(scene);
    let problem = |pool: &Pool| {
        let (first, image) = (*passes.first()?, pool.image_phase(image)?);
        let NewestNode { node, phase, .. } = newest.get(&*pool.name)?;
        let (name, node) = (pool.title(), node.name());
        let what = format!(
            "the newest node of the pool {name}, {node}, is of an image in phase {phase}, and the first pass leads to {first} and allows none above that"
        );
        let fix = format!(
            "give its pipeline the earlier image until the pass to {image} begins, and have it replace {node}"
        );
        (*phase > first && *phase <= image)
            .then(|| Problem::new(what).with_place(format!("Pool/{name}")).fix(fix))
    };
    pools.iter().filter_map(problem).collect()
}
