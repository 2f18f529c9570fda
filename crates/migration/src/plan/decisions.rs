//! Pods that no rule moves: somebody decides what becomes of them, or the run waits at their nodes.

use std::collections::BTreeSet;

use serde::Serialize;
use snapshot::model::Pod;
use types::glob;

use super::Plan;
use crate::check::Scene;
use crate::workload::{asks_to_stay, has_empty_dir, is_bound_to_node, is_movable};

/// A class of pods that need a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Class {
    /// What they have in common.
    pub pods: &'static str,
    /// How many the nodes of the plan have.
    pub count: usize,
    /// For how many of them the plan decides. At the nodes of the others the run waits.
    pub decided: usize,
    /// The setting that decides.
    pub setting: &'static str,
}

/// The classes, each with its counts.
#[must_use]
pub fn classes(scene: &Scene<'_>, plan: &Plan) -> Vec<Class> {
    let nodes: BTreeSet<&str> =
        plan.waves.iter().flat_map(|wave| &wave.nodes).map(|placed| &*placed.name).collect();
    let is_moved =
        |pod: &&Pod| nodes.contains(&*pod.spec.node_name) && !pod.spec.host_network && !pod.is_finished();
    let pods: Vec<&Pod> = scene.snapshot.pods.iter().filter(is_moved).collect();
    let class = |name, setting, is: &dyn Fn(&Pod) -> bool, decides: &dyn Fn(&Pod) -> bool| {
        let of: Vec<&Pod> = pods.iter().copied().filter(|pod| is(pod)).collect();
        let decided = of.iter().filter(|pod| decides(pod)).count();
        Class { pods: name, count: of.len(), decided, setting }
    };
    let named = |globs: &[String], pod: &Pod| {
        let title = format!("{}/{}", pod.namespace(), pod.name());
        globs.iter().any(|item| glob::matches(item, &title))
    };
    let decisions = &plan.pods;
    vec![
        class(
            "with an emptyDir",
            "roll.pods.deleteEmptyDir",
            &|pod| is_movable(pod) && has_empty_dir(pod),
            &|_| decisions.delete_empty_dir,
        ),
        class("of a Job", "roll.pods.evictJobs", &is_of_job, &|_| decisions.evict_jobs),
        class("without an owner", "roll.pods.delete", &is_bare, &|pod| named(&decisions.delete, pod)),
        class(
            "that ask not to be disrupted",
            "roll.pods.disrupt",
            &|pod| !is_bound_to_node(pod) && asks_to_stay(pod),
            &|pod| named(&decisions.disrupt, pod),
        ),
        class("static, with pod network", "roll.pods.inPlace", &Pod::is_static, &|pod| {
            named(&decisions.in_place, pod)
        }),
    ]
}

fn is_of_job(pod: &Pod) -> bool {
    pod.metadata.controller().is_some_and(|owner| owner.kind.as_ref() == "Job")
}

fn is_bare(pod: &Pod) -> bool {
    pod.metadata.controller().is_none() && !pod.is_static()
}
