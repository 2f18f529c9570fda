//! The way of a pod off its node: evicted, deleted, waited for, or left to the operator; and the pods for which an operator decides. Plans and runs
//! decide by the same rules.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use snapshot::model::Pod;
use types::policy::Phase;
use types::text::glob::{self, matches};

use super::{Plan, Pods, Survey};
use crate::check::{Scene, restart_reason};
use crate::cni::reach::{self, Way};
use crate::workload::{asks_to_stay, has_empty_dir, is_bound_to_node, is_movable};

/// What the decision about a pod depends on.
#[derive(Debug, Clone, Copy)]
pub struct PodFacts<'a> {
    /// `NAMESPACE/NAME`.
    pub title: &'a str,
    /// The kind of its controller; none for a bare pod.
    pub owner: Option<&'a str>,
    /// kubelet made it from a file of the node.
    pub is_static: bool,
    /// An annotation asks not to disrupt it.
    pub asks_to_stay: bool,
    pub has_empty_dir: bool,
}

/// How a pod is moved off its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodDisposition {
    Evict,
    /// It is deleted, since no controller makes it again and the operator named it.
    Delete,
    /// Its Job has time to end first.
    AwaitJob,
    /// It stays until a person acts.
    Stay(StayReason),
}

/// Why a pod stays until a person acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StayReason {
    /// It is a static pod.
    Static,
    /// An annotation asks not to disrupt it.
    Undisturbed,
    EmptyDir,
    /// No controller makes it again.
    Bare,
}

impl StayReason {
    /// The reason in words that follow the pod's name.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Static => "kubelet made it from a file of the node, so it cannot be evicted",
            Self::Undisturbed => "an annotation asks not to disrupt it",
            Self::EmptyDir => "it has an emptyDir, whose data an eviction deletes",
            Self::Bare => "no controller makes it again when it is gone",
        }
    }
}

/// What becomes of a pod by these decisions. `delete` names more pods that may be deleted. It is long because it is a table: one rule after the other.
#[must_use]
pub fn pod_disposition(pod: &PodFacts<'_>, decisions: &Pods, delete: &BTreeSet<String>) -> PodDisposition {
    let is_listed = |list: &[String]| list.iter().any(|glob| matches(glob, pod.title));
    if pod.is_static {
        return PodDisposition::Stay(StayReason::Static);
    }
    if pod.asks_to_stay && !is_listed(&decisions.disrupt) {
        return PodDisposition::Stay(StayReason::Undisturbed);
    }
    if pod.has_empty_dir && !decisions.delete_empty_dir && pod.owner != Some("DaemonSet") {
        return PodDisposition::Stay(StayReason::EmptyDir);
    }
    match pod.owner {
        None if is_listed(&decisions.delete) || delete.contains(pod.title) => PodDisposition::Delete,
        None => PodDisposition::Stay(StayReason::Bare),
        Some("Job") => PodDisposition::AwaitJob,
        Some(_) => PodDisposition::Evict,
    }
}

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
    let class = |name, setting, belongs: &dyn Fn(&Pod) -> bool, decides: &dyn Fn(&Pod) -> bool| {
        let members: Vec<&Pod> = pods.iter().copied().filter(|pod| belongs(pod)).collect();
        let decided = members.iter().filter(|pod| decides(pod)).count();
        Class { pods: name, count: members.len(), decided, setting }
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

/// How many pods a pass brings to its phase, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PassPods {
    /// The phase that it brings them to.
    pub to: Phase,
    /// How.
    pub way: Way,
    /// How many it brings there in this way.
    pub pods: usize,
    /// How many are restarted instead, by the reason.
    pub restarts: BTreeMap<String, usize>,
}

/// Why a pod restarts on a node whose networks do not join or leave pods.
const NODE_REFUSES: &str = "the node lets no network join or leave it";

/// The pods of each pass, as the cluster is now.
#[must_use]
pub fn by_pass(scene: &Scene<'_>, survey: &Survey<'_>, plan: &Plan) -> Vec<PassPods> {
    let nodes: BTreeSet<&str> =
        plan.waves.iter().flat_map(|wave| &wave.nodes).map(|placed| &*placed.name).collect();
    let sites: BTreeMap<&str, _> = survey.sites.iter().map(|site| (site.name(), site)).collect();
    let is_moved =
        |pod: &&Pod| nodes.contains(&*pod.spec.node_name) && !pod.spec.host_network && !pod.is_finished();
    let pods: Vec<&Pod> = scene.snapshot.pods.iter().filter(is_moved).collect();
    let pass = |(from, to, way): (Phase, Phase, Way)| {
        let mut of_pass = PassPods { to, way, pods: 0, restarts: BTreeMap::new() };
        for pod in &pods {
            let site = sites.get(&*pod.spec.node_name);
            let joins = site.map_or(&[][..], |site| site.joins());
            // After a rotation, pods are on nodes of the image, which are not here yet.
            let is_replaced =
                site.and_then(|site| plan.image_phase(site.pool)).is_some_and(|image| image <= from);
            let is_refused = !is_replaced && reach::way(from, to, joins) == Way::Restart;
            let reason = match way {
                Way::Restart | Way::Replace => None,
                Way::Join | Way::Leave if is_refused => Some(NODE_REFUSES.to_owned()),
                Way::Join | Way::Leave => restart_reason(scene, pod),
            };
            match reason {
                Some(reason) => *of_pass.restarts.entry(reason).or_default() += 1,
                None => of_pass.pods += 1,
            }
        }
        of_pass
    };
    plan.steps().map(pass).collect()
}

fn is_of_job(pod: &Pod) -> bool {
    pod.metadata.controller().is_some_and(|owner| owner.kind.as_ref() == "Job")
}

fn is_bare(pod: &Pod) -> bool {
    pod.metadata.controller().is_none() && !pod.is_static()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: PodFacts<'static> = PodFacts {
        title: "x/p",
        owner: Some("Deployment"),
        is_static: false,
        asks_to_stay: false,
        has_empty_dir: false,
    };

    #[test]
    fn each_pod_has_one_fate() {
        let (named, other) = (vec!["x/*".to_owned()], vec!["y/*".to_owned()]);
        let none = Pods::default();
        let bare = PodFacts { owner: None, ..NONE };
        let pinned = PodFacts { asks_to_stay: true, ..NONE };
        let local = PodFacts { has_empty_dir: true, ..NONE };
        for (pod, decisions, delete, expected) in [
            (NONE, none.clone(), &[][..], PodDisposition::Evict),
            (PodFacts { owner: Some("Job"), ..NONE }, none.clone(), &[], PodDisposition::AwaitJob),
            (
                PodFacts { is_static: true, owner: Some("Node"), ..NONE },
                none.clone(),
                &[],
                PodDisposition::Stay(StayReason::Static),
            ),
            (bare, none.clone(), &[], PodDisposition::Stay(StayReason::Bare)),
            (bare, none.clone(), &["x/p"], PodDisposition::Delete),
            (bare, none.clone(), &["x/q"], PodDisposition::Stay(StayReason::Bare)),
            (bare, Pods { delete: named.clone(), ..none.clone() }, &[], PodDisposition::Delete),
            (
                bare,
                Pods { delete: other.clone(), ..none.clone() },
                &[],
                PodDisposition::Stay(StayReason::Bare),
            ),
            (NONE, Pods { delete: named.clone(), ..none.clone() }, &["x/p"], PodDisposition::Evict),
            (pinned, none.clone(), &[], PodDisposition::Stay(StayReason::Undisturbed)),
            (
                pinned,
                Pods { disrupt: other, ..none.clone() },
                &[],
                PodDisposition::Stay(StayReason::Undisturbed),
            ),
            (pinned, Pods { disrupt: named, ..none.clone() }, &[], PodDisposition::Evict),
            (local, none.clone(), &[], PodDisposition::Stay(StayReason::EmptyDir)),
            (local, Pods { delete_empty_dir: true, ..none.clone() }, &[], PodDisposition::Evict),
            (PodFacts { owner: Some("DaemonSet"), ..local }, none, &[], PodDisposition::Evict),
        ] {
            let delete = delete.iter().map(|item| (*item).to_owned()).collect();
            assert_eq!(
                pod_disposition(&pod, &decisions, &delete),
                expected,
                "{pod:?} {decisions:?} {delete:?}"
            );
        }
    }
}
