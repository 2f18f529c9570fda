//! A node, as a plan sees it: what decides whether, when and with which others it moves.

use std::collections::{BTreeSet, HashMap};

use snapshot::model::{Kind, Node, Pod};
use types::api::observed::{self, NodeObservation};
use types::policy::{Phase, Side};
use types::text::list::join_first;

use super::ExcludedNode;
use super::canon::sha256;
use crate::check::Scene;
use crate::cni::reach::{self, Way};
use crate::workload::{Platform, is_dns, is_movable, is_plain, owner, platform, pool_of};

/// The label with a node's phase. `watch` writes it.
const PHASE: &str = "crossfade/phase";

/// How many nodes a sentence names.
const NAMED: usize = 12;

/// A node that takes part.
#[derive(Debug, Clone)]
pub(super) struct Site<'a> {
    pub(super) node: &'a Node,
    /// Its pool; empty if it has none.
    pub(super) pool: &'a str,
    /// How many pods with pod network it has.
    pub(super) pods: usize,
    /// Its DNS pods that move to another node when it is drained.
    pub(super) dns: Vec<&'a Pod>,
    /// The first group of stateful workloads that has a pod here, and the place of the first such workload in its group.
    pub(super) group: Option<(usize, usize)>,
    /// What `watch` reports; none if it does not, or not in a way that this program reads.
    pub(super) observed: Option<NodeObservation>,
    /// The place of its pool in the order of the settings.
    rank: usize,
    /// Decides between nodes with as many pods.
    tie: String,
}

/// All nodes of a scene.
#[derive(Debug)]
pub struct Survey<'a> {
    /// Those that take part, by name.
    pub(super) sites: Vec<Site<'a>>,
    /// Those that no pass touches, by name.
    pub(super) left_out: Vec<ExcludedNode>,
}

/// The UID of the cluster: that of the namespace kube-system.
pub(super) fn cluster<'a>(scene: &Scene<'a>) -> Option<&'a str> {
    let cluster_uid = scene.snapshot.cluster.uid.as_deref();
    let dumped = || scene.snapshot.object(Kind::NAMESPACE, "kube-system")?.text("/metadata/uid");
    cluster_uid.or_else(dumped).filter(|uid| !uid.is_empty())
}

/// Why no pass touches a node; none if passes do.
pub(super) fn left_out(scene: &Scene<'_>, node: &Node) -> Option<String> {
    let named = || scene.config.roll.left_out(node.name());
    platform(node).map(platform_reason).map(str::to_owned).or_else(|| named().map(|out| out.reason.clone()))
}

/// Why no pass touches a node of a platform.
const fn platform_reason(platform: Platform) -> &'static str {
    match platform {
        Platform::EksAutoMode => "EKS Auto Mode decides on the CNI of its nodes",
        Platform::Fargate => "Fargate decides on the network of its pods",
        Platform::Virtual => "a virtual node has no CNI",
        Platform::Windows => "Crossfade runs on Linux alone",
    }
}

/// Every reason that a platform gives.
pub(super) fn platform_reasons() -> [&'static str; 4] {
    [Platform::EksAutoMode, Platform::Fargate, Platform::Virtual, Platform::Windows].map(platform_reason)
}

impl<'a> Survey<'a> {
    /// The nodes of this scene.
    #[must_use]
    pub fn gather(scene: &Scene<'a>) -> Self {
        let cluster = cluster(scene).unwrap_or_default();
        let mut pods: HashMap<&str, Vec<&Pod>> = HashMap::new();
        for pod in scene.snapshot.pods.iter().filter(|pod| !pod.is_finished()) {
            pods.entry(&*pod.spec.node_name).or_default().push(pod);
        }
        let groups = groups(scene);
        let mut survey = Self { sites: Vec::new(), left_out: Vec::new() };
        for node in &scene.snapshot.nodes {
            if let Some(why) = left_out(scene, node) {
                let (name, uid) = (node.metadata.name.clone(), node.metadata.uid.clone());
                survey.left_out.push(ExcludedNode { name, uid, why });
                continue;
            }
            let pods = pods.get(node.name()).map_or(&[][..], Vec::as_slice);
            let is_moving_dns = |pod: &&&Pod| is_dns(&scene.config.dns, pod) && is_movable(pod);
            let of_group = |pod: &&Pod| {
                let owner = owner(pod);
                groups.get(&(owner.kind, owner.namespace, owner.name)).copied()
            };
            let pool = pool_of(scene, node);
            survey.sites.push(Site {
                node,
                pool,
                pods: pods.iter().filter(|pod| !pod.spec.host_network).count(),
                dns: pods.iter().filter(is_moving_dns).copied().collect(),
                group: pods.iter().filter_map(of_group).min(),
                observed: node
                    .metadata
                    .annotation(observed::KEY)
                    .and_then(|text| NodeObservation::parse(text).ok()),
                rank: scene.config.roll.pool_rank(pool),
                tie: sha256(format!("{cluster}\n{}", node.name()).as_bytes()),
            });
        }
        survey.sites.sort_by(|a, b| a.name().cmp(b.name()));
        survey.left_out.sort_by(|a, b| a.name.cmp(&b.name));
        survey
    }
}

/// The members of the groups of stateful workloads: kind, namespace and name to the places of group and member. The first one counts.
fn groups<'a>(scene: &Scene<'a>) -> HashMap<(&'a str, &'a str, &'a str), (usize, usize)> {
    let mut places = HashMap::new();
    for (index, group) in scene.config.freeze.iter().enumerate() {
        for (place, member) in group.members.iter().enumerate() {
            let key = (member.kind.kind().name(), member.namespace.as_str(), member.name.as_str());
            places.entry(key).or_insert((index, place));
        }
    }
    places
}

impl<'a> Site<'a> {
    pub(super) fn name(&self) -> &'a str {
        self.node.name()
    }

    /// Whether nothing of Crossfade is on it, as far as it says.
    pub(super) fn is_plain(&self) -> bool {
        is_plain(self.node)
    }

    /// Its zone; empty if it has none.
    pub(super) fn zone(&self) -> &'a str {
        self.node.zone()
    }

    /// Nodes move in this order: pool by pool where the settings name an order, and those with fewest pods first.
    pub(super) fn order(&self) -> (usize, usize, &str) {
        (self.rank, self.pods, &self.tie)
    }

    /// The phase that it says it is in.
    pub(super) fn phase(&self) -> Option<Phase> {
        let label = || self.node.metadata.label(PHASE).and_then(Phase::parse);
        self.observed.as_ref().and_then(|observation| observation.phase).or_else(label)
    }

    /// The networks that join and leave its running pods.
    pub(super) fn joins(&self) -> &[Side] {
        self.observed.as_ref().map_or(&[], |observation| &observation.joins)
    }

    /// Whether networks join or leave all its pods that are not of this phase, as far as it says.
    pub(super) fn runs_on(&self, to: Phase) -> bool {
        let has_restarts =
            self.observed.as_ref().is_none_or(|observation| observation.restarts.unwrap_or(0) > 0);
        let others = attached_phases(self.observed.as_ref()).chain(self.phase()).filter(|phase| *phase != to);
        let mut ways = others.map(|from| reach::way(from, to, self.joins()));
        !has_restarts && ways.all(|way| way != Way::Restart)
    }

    /// The phases that it is in, by all that it says, and those of its attachments.
    pub(super) fn phases(&self) -> BTreeSet<Phase> {
        let label = self.node.metadata.label(PHASE).and_then(Phase::parse);
        let observed = self.observed.iter().flat_map(|observation| observation.phase);
        label.into_iter().chain(observed).chain(attached_phases(self.observed.as_ref())).collect()
    }

    /// The phases that it gives to pods beside the one that it is in: by rules, and by annotations of pods.
    pub(super) fn extra(&self) -> BTreeSet<Phase> {
        let minted = self.observed.iter().flat_map(|observation| observation.mints.iter().copied());
        minted.filter(|phase| Some(*phase) != self.phase()).collect()
    }
}

/// The phases of what is attached to a node.
pub(super) fn attached_phases(observed: Option<&NodeObservation>) -> impl Iterator<Item = Phase> {
    let attached = observed.and_then(|observation| observation.attached.as_ref());
    attached
        .into_iter()
        .flat_map(|attached| attached.by_phase.iter())
        .filter(|(_, count)| **count > 0)
        .map(|(phase, _)| *phase)
}

/// `a, b and 3 more`.
pub(super) fn join_names<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    join_first(names, NAMED)
}
