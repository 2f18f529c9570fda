//! A pipeline that asks before it drains a node: `kubectl crossfade permit NODE`.
//!
//! The request holds the node by itself, since the pipeline waits for the answer. A pipeline that drains without it cannot be held.

use snapshot::model::Text;

use super::{NodeGroup, PipelineRules};
use crate::plan::Pool;
use crate::roll::run::Run;
use crate::roll::wait::{Reason, Subject, Wait};
use crate::roll::world::{Node, PermitRequest, World};

/// The method `permit`.
#[derive(Debug)]
pub(super) struct Permit;

impl PipelineRules for Permit {
    fn has_own_order(&self) -> bool {
        true
    }

    fn drains_first(&self) -> bool {
        true
    }

    /// Others may have taken the step from the Node, so the request is held against the run.
    fn asks(&self, world: &World, run: &Run, _name: &Text, node: &Node) -> Option<bool> {
        let requested = world.permits.requested.get(&node.uid);
        let is_for = |permit: &PermitRequest| permit.run == run.id && Some(permit.to) == run.target();
        Some(requested.is_some_and(is_for))
    }

    /// kOps taints all nodes that it will replace. Any other mark shows that this one is taken away.
    fn has_begun(&self, _world: &World, node: &Node) -> bool {
        !node.is_outdated || node.is_cordoned || !node.is_ready
    }

    fn obstacle(&self, world: &World, run: &Run, name: &Text, node: &Node) -> Option<Wait> {
        if self.asks(world, run, name, node) == Some(true) {
            return None;
        }
        let what = "its pipeline has not asked to take it away";
        let help =
            format!("in the pipeline, before it drains the node: kubectl crossfade permit {name} --wait 600");
        Some(Wait::new(Subject::node(name), Reason::NotAsked, what).help(help))
    }

    fn departure(&self, _world: &World, name: &Text) -> (&'static str, String) {
        (
            "its pipeline may take it away, and has not done so yet",
            format!("look at the pipeline; to take its turn back: kubectl crossfade permit {name} --release"),
        )
    }

    fn note(&self, pool: &Pool, _group: Option<NodeGroup>) -> String {
        // An Auto Scaling group rebalances between zones.
        let zones = match pool.zones.len() {
            0 | 1 => String::new(),
            count => format!(" in {count} zones"),
        };
        format!(
            "The pipeline of pool {:?} ({} nodes{zones}) must ask before it drains a node: kubectl crossfade permit NODE --wait SECONDS. What else ends its machines does not ask: suspend AZRebalance and scale-in of an Auto Scaling group for the run.",
            pool.name, pool.nodes
        )
    }

    fn refusal(&self, _pool: &str) -> Option<String> {
        None
    }
}
