//! A pipeline that cannot be held: the run counts what goes and comes, and stops its own starts.
//!
//! An EKS managed node group is one. It starts as many new nodes as twice its zones, or its `maxUnavailable` if that is more, then cordons and labels all old
//! nodes at once, and drains them one after the other.
//!
//! *Source*: Amazon EKS user guide, "Understand each phase of node updates".

use snapshot::model::Text;

use super::{NodeGroup, PipelineRules};
use crate::plan::Pool;
use crate::roll::run::Run;
use crate::roll::wait::{Reason, Subject, Wait};
use crate::roll::world::{Node, World};

/// The method `follow`.
#[derive(Debug)]
pub(super) struct Follow;

impl PipelineRules for Follow {
    fn has_own_order(&self) -> bool {
        true
    }

    fn can_hold(&self, _world: &World) -> bool {
        false
    }

    /// Which of the marked nodes is being drained is not known.
    fn has_begun(&self, _world: &World, node: &Node) -> bool {
        !node.is_ready
    }

    fn obstacle(&self, _world: &World, _run: &Run, name: &Text, _node: &Node) -> Option<Wait> {
        let what = "its pipeline replaces it whenever it does, and the run only follows";
        Some(Wait::new(Subject::node(name), Reason::Leaving, what))
    }

    /// No run permits it. A step that says so is of a plan with another method.
    fn departure(&self, _world: &World, _name: &Text) -> (&'static str, String) {
        ("its pipeline may take it away, and has not done so yet", "look at the pipeline".into())
    }

    fn note(&self, pool: &Pool, group: Option<NodeGroup>) -> String {
        let surge = 2 * pool.zones.len().max(1);
        let burst = group.map_or_else(String::new, |group| {
            let (new, drains) = match group.max_unavailable {
                Some(most) => (
                    format!("{} new nodes", surge.max(most)),
                    format!(" and drains {most} of them at once"),
                ),
                None => (
                    format!("{surge} new nodes, or as many as its maxUnavailable if that is more (roll.maxUnavailable can name it),"),
                    String::new(),
                ),
            };
            format!(
                " An EKS managed node group starts {new} before it drains the first, then cordons all old nodes at once{drains}, and cannot be paused: try the image on a group of one node before."
            )
        });
        format!(
            "The run cannot hold the pipeline of pool {:?} ({} nodes): it counts what goes and comes, and stops its own starts.{burst}",
            pool.name, pool.nodes
        )
    }

    fn refusal(&self, pool: &str) -> Option<String> {
        Some(format!("the run only follows the pipeline of pool {pool:?}, and permits nothing there"))
    }
}
