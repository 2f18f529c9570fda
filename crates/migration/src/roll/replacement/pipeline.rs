//! Pipelines that replace nodes: what differs between them. The states of their nodes are the same, in [`replacement`](super).
//!
//! | method | what holds an old node | what asks for it |
//! |---|---|---|
//! | `permit` | the pipeline, until it is answered | an entry of the ConfigMap `crossfade-permits` |
//! | `karpenter` | `karpenter.sh/do-not-disrupt` on the Node | nothing: the run chooses among the drifted ones |
//! | `cluster-api` | a pre-drain hook on the Machine | the deletion of the Machine |
//! | `follow` | nothing | nothing: the pipeline takes it |

pub(in crate::roll) mod cluster_api;
mod follow;
mod karpenter;
mod permit;

use std::fmt::Debug;

use snapshot::model::Text;
use types::api::step::Step;

use crate::config::roll::Method;
use crate::plan::Pool;
use crate::roll::run::Run;
use crate::roll::step::Patch;
use crate::roll::wait::Wait;
use crate::roll::world::{Node, World};

/// An EKS managed node group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeGroup {
    /// How many nodes it takes away at once; none if the settings do not say so.
    pub(crate) max_unavailable: Option<usize>,
}

/// What replaces the nodes of a pool.
pub(crate) trait PipelineRules: Debug + Sync {
    /// Whether the pipeline chooses which node of a pool goes next.
    fn has_own_order(&self) -> bool;

    /// Whether a node is drained before a new one is there, so that the other nodes need room for its pods.
    fn drains_first(&self) -> bool {
        false
    }

    /// Whether the run keeps the pipeline from its nodes at all.
    fn can_hold(&self, _world: &World) -> bool {
        true
    }

    /// Whether the pipeline takes nodes by itself once nothing keeps it from them, and does not ask.
    fn acts_alone(&self) -> bool {
        false
    }

    /// Whether the pipeline has decided to take this node away, and nothing undoes that.
    fn is_final(&self, _world: &World, _name: &Text) -> bool {
        false
    }

    /// How to let the pipeline have a node that the run holds and leaves alone; empty if nothing keeps the pipeline from it.
    fn release(&self, _world: &World, _name: &Text) -> String {
        String::new()
    }

    /// Whether a node that waits is kept from the pipeline.
    fn is_held(&self, _world: &World, _name: &Text, _node: &Node) -> bool {
        true
    }

    /// Adds to the patch of a node that begins to wait what keeps the pipeline from it.
    fn hold(&self, _node: &Node, _patch: &mut Patch, _step: &mut Step) {}

    /// Whether the pipeline asks for this node; none if it asks for no node.
    fn asks(&self, _world: &World, _run: &Run, _name: &Text, _node: &Node) -> Option<bool> {
        None
    }

    /// Whether a node that bears a mark of being taken away has begun to go. Some pipelines mark all nodes that they will replace before they drain the first.
    fn has_begun(&self, _world: &World, _node: &Node) -> bool {
        true
    }

    /// What keeps this node from going, beside what keeps every node from it.
    fn obstacle(&self, world: &World, run: &Run, name: &Text, node: &Node) -> Option<Wait>;

    /// What a node waits for that may go, and what helps.
    fn departure(&self, world: &World, name: &Text) -> (&'static str, String);

    /// The command that gets another machine in the place of a new node.
    fn replace(&self, _world: &World, name: &Text) -> String {
        format!("kubectl delete node {name}, once its machine is gone")
    }

    /// Where to look for nodes that do not come.
    fn arrivals(&self) -> &'static str {
        "look at the pipeline that launches its nodes"
    }

    /// What an operator must know of the pipeline of a pool before the run begins; its nodes may be those of an EKS managed node group.
    fn note(&self, pool: &Pool, group: Option<NodeGroup>) -> String;

    /// Why the pipeline of this pool is never answered that a node may go; none if it may ask.
    fn refusal(&self, pool: &str) -> Option<String>;
}

/// A pipeline that asks before it drains a node.
pub(in crate::roll) const ASKING: &dyn PipelineRules = &permit::Permit;

/// What replaces the nodes of a pool that moves by this method; none if its nodes stay.
#[must_use]
pub(crate) fn for_method(method: Method) -> Option<&'static dyn PipelineRules> {
    match method {
        Method::Drain | Method::Churn => None,
        Method::Permit => Some(&permit::Permit),
        Method::Karpenter => Some(&karpenter::Karpenter),
        Method::ClusterApi => Some(&cluster_api::ClusterApi),
        Method::Follow => Some(&follow::Follow),
    }
}
