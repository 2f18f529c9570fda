//! Refusals to remove: objects that other programs need, and installations that Crossfade does not know.

use snapshot::model::{Kind, Object};
use types::command::problem::Problem;

use super::plan::{FinishPlan, Inventory};
use crate::check::Scene;
use crate::cni::footprint::Part;
use crate::cni::support::Cni;
use crate::workload::{agents, look_alikes};

/// Groups of products that have more than Crossfade knows. *Source*: none; names of products.
const PRODUCTS: [&str; 4] =
    ["usage.tigera.io", "isovalent.com", "crd.theia.antrea.io", "applicationlayer.projectcalico.org"];
/// Every reason.
pub(super) fn refusals(scene: &Scene<'_>, inventory: &Inventory, plan: &FinishPlan) -> Vec<Problem> {
    let mut all = unknown_kinds(scene);
    all.extend(unknown_agents(scene, inventory, plan));
    all.extend(products(scene));
    all.extend(scene.from.driver().refusals(scene, inventory));
    all
}

/// Kinds that were not read: that none of their objects stands in the way is not known.
fn unknown_kinds(scene: &Scene<'_>) -> Vec<Problem> {
    let mut kinds = vec![Kind::DAEMON_SET, Kind::CUSTOM_RESOURCE_DEFINITION];
    kinds.extend(scene.from.facts().kinds_in_the_way);
    let refusal = |kind: Kind| {
        Problem::new(format!("{}: they are not known", kind.resource()))
            .fix("read them with the rights in deploy/cluster/rbac-viewer.yaml")
    };
    kinds.into_iter().filter(|kind| !scene.snapshot.knows(*kind)).map(refusal).collect()
}

/// Agents that run under names which no published installation has, or in a namespace that may be a tenant's, and those of a CNI that shares names
/// with the old one. The snapshot is older than the deletions: an agent of the plan is a known one when it is gone, too.
fn unknown_agents(scene: &Scene<'_>, inventory: &Inventory, plan: &FinishPlan) -> Vec<Problem> {
    let is_known = |namespace: &str, name: &str| {
        let planned = plan.delete.iter().chain(&plan.vanish).map(|pin| &pin.target);
        let mut known = inventory.objects.keys().chain(planned).filter(|target| target.part == Part::Agent);
        known.any(|target| target.name == name && target.namespace.as_deref() == Some(namespace))
    };
    let unnamed = look_alikes(scene, scene.from).filter(|_| scene.config.agents.old.is_empty());
    let unnamed = unnamed.filter(|set| !is_known(set.namespace(), set.name())).map(|set| {
        let what = format!("DaemonSet/{}/{} looks like an agent of {}", set.namespace(), set.name(), scene.from);
        Problem::new(what).fix("name all DaemonSets that are the old agents in the settings file: agents: {old: [{namespace: .., name: ..}]}")
    });
    let renamed = agents(scene, scene.from).into_iter().filter_map(|agent| {
        let (namespace, name) = (agent.daemon_set.namespace(), agent.daemon_set.name());
        (!is_known(namespace, name)).then(|| {
            Problem::new(format!("DaemonSet/{namespace}/{name} runs the agent of {}, and no published installation calls it so", scene.from))
                .fix("remove this installation by what made it")
        })
    });
    let family = [Cni::Calico, Cni::Canal, Cni::Flannel];
    let others = family
        .into_iter()
        .filter(|cni| family.contains(&scene.from) && *cni != scene.from && *cni != scene.to);
    let shared = others.flat_map(|cni| agents(scene, cni)).map(|agent| {
        let what = format!(
            "DaemonSet/{}/{} runs the agent of {}, whose objects have names of {}",
            agent.daemon_set.namespace(),
            agent.daemon_set.name(),
            agent.cni,
            scene.from
        );
        Problem::new(what).fix(format!("name the CNI that the cluster had: --from {}", agent.cni))
    });
    renamed.chain(unnamed).chain(shared).collect()
}

/// Editions for enterprises.
fn products(scene: &Scene<'_>) -> Vec<Problem> {
    let is_of_product = |definition: &&Object| {
        let group = definition.name().split_once('.').map_or("", |(_, group)| group);
        PRODUCTS.contains(&group)
    };
    let definition = scene.snapshot.objects(Kind::CUSTOM_RESOURCE_DEFINITION).iter().find(is_of_product);
    let refusal = |definition: &Object| {
        let what = format!(
            "CustomResourceDefinition/{} is of a product whose objects Crossfade does not know",
            definition.name()
        );
        Problem::new(what).fix("remove that product as its vendor says, then call finish again")
    };
    definition.map(refusal).into_iter().collect()
}

/// What stays on purpose.
pub(super) fn stays(inventory: &Inventory) -> Option<String> {
    let mut staying = inventory.objects.iter().filter(|(target, object)| super::plan::stays(target, object));
    let (target, _) = staying.next()?;
    Some(format!(
        "{target} stays: it switches on a controller of EKS, and only that controller removes its finalizers from policies of users"
    ))
}
