//! Karpenter, which replaces nodes that are drifted. The annotation `karpenter.sh/do-not-disrupt` on a Node holds it.
//!
//! The run puts the annotation only where there is none, and takes it away when it is the node's turn and Karpenter finds the node drifted: one that is not yet would
//! hold its place until a person looks. Expiry, repair and the loss of a machine cannot be held.
//!
//! *Source*: Karpenter 1.14, `pkg/controllers/state/statenode.go` (`ValidateNodeDisruptable`): on a Node only the value `true` counts.

use snapshot::model::Text;
use types::api::node_keys;
use types::api::step::Step;

use super::{NodeGroup, PipelineRules};
use crate::plan::Pool;
use crate::roll::run::Run;
use crate::roll::step::Patch;
use crate::roll::wait::{Reason, Subject, Wait};
use crate::roll::world::{Node, World};

/// The method `karpenter`.
#[derive(Debug)]
pub(super) struct Karpenter;

impl PipelineRules for Karpenter {
    fn has_own_order(&self) -> bool {
        false
    }

    fn acts_alone(&self) -> bool {
        true
    }

    fn release(&self, _world: &World, name: &Text) -> String {
        format!("kubectl annotate node {name} karpenter.sh/do-not-disrupt-")
    }

    fn is_held(&self, _world: &World, _name: &Text, node: &Node) -> bool {
        node.is_undisturbed
    }

    fn hold(&self, node: &Node, patch: &mut Patch, step: &mut Step) {
        if !node.is_undisturbed {
            patch.undisturbed = Some(true);
            step.undisturbed = true;
        }
    }

    fn obstacle(&self, world: &World, run: &Run, name: &Text, node: &Node) -> Option<Wait> {
        let is_ours = node.step.as_ref().is_some_and(|step| step.undisturbed);
        let is_foreign = node.is_undisturbed && !is_ours;
        let what = "it had karpenter.sh/do-not-disrupt before the run, so Karpenter does not replace it";
        let help = format!(
            "kubectl annotate node {name} karpenter.sh/do-not-disrupt-; or leave it out: kubectl crossfade roll skip {name}"
        );
        let object = Subject::node(name);
        if is_foreign {
            return Some(Wait::new_held(object, Reason::Undisturbed, what, help));
        }
        let is_drifted = world.drifted.as_ref().is_none_or(|drifted| drifted.contains(name));
        let what = "Karpenter does not find it drifted, so it would not replace it";
        let target = run.target().unwrap_or(run.from);
        let help = format!(
            "have the NodeClass of its NodePool name the image of this pass; kubectl get nodeclaims -o yaml has the condition Drifted; where the node is of that image, and its phase was set by hand: kubectl annotate node {name} {}={target} --overwrite",
            node_keys::DESIRED
        );
        (!is_drifted).then(|| Wait::new(object, Reason::NotDrifted, what).help(help))
    }

    fn departure(&self, _world: &World, name: &Text) -> (&'static str, String) {
        (
            "Karpenter may replace it, and has not taken it away yet",
            format!(
                "kubectl describe node {name} and kubectl get nodeclaims show what Karpenter waits for: it replaces nodes that are drifted, within the budgets of their NodePool; if it is cordoned and not drifted: kubectl uncordon {name}"
            ),
        )
    }

    fn replace(&self, _world: &World, name: &Text) -> String {
        format!(
            "kubectl delete nodeclaim $(kubectl get nodeclaims -o jsonpath='{{.items[?(@.status.nodeName==\"{name}\")].metadata.name}}')"
        )
    }

    fn arrivals(&self) -> &'static str {
        "kubectl get nodeclaims shows what Karpenter launches"
    }

    fn note(&self, pool: &Pool, _group: Option<NodeGroup>) -> String {
        format!(
            "Karpenter replaces the {} nodes of pool {:?} once its NodeClass names the image; have the run started before, since it holds them by karpenter.sh/do-not-disrupt. That does not hold a node that expires (expireAfter), is repaired, or loses its machine.",
            pool.nodes, pool.name
        )
    }

    fn refusal(&self, pool: &str) -> Option<String> {
        Some(format!(
            "Karpenter replaces the nodes of pool {pool:?} when the run takes karpenter.sh/do-not-disrupt from them"
        ))
    }
}
