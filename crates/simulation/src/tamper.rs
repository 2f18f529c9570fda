//! A run that is blind to one thing: each guard of its decisions is proven by a run that cannot see what the guard looks at, and breaks an invariant.

use std::sync::Arc;

use migration::drive::Observation;
use migration::plan::{Bridge, Plan};
use migration::roll::run::RunRequest;
use migration::roll::world::{Node, Pod, Trait, World};
use types::api::observed::NodeObservation;
use types::api::step::Cordon;

use super::history::History;

/// What a run is blind to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tamper {
    /// Calls name pods without their UIDs.
    Uid,
    /// Patches name no version.
    Version,
    /// Every step on a Node seems to be of this holder or an earlier one.
    Epoch,
    /// The Lease seems to have been renewed just now.
    Lease,
    /// Nodes that are not in transit seem to be Ready and in no other hands.
    Trouble,
    /// Every node seems to have answered its claim.
    Echo,
    /// What a node said in an earlier boot seems to be of this one.
    Boot,
    /// No pod seems to answer DNS queries.
    Dns,
    /// Nothing seems to be attached in another phase.
    Attachments,
    /// The count of all pods seems to have found none.
    Census,
    /// Every cordon seems to be the run's.
    Cordon,
    /// Every verdict of a gate seems to be of just now.
    Freshness,
    /// Nodes seem to forward between both networks.
    Reach,
    /// A pause seems to let evictions go on.
    Stop,
    /// No pod seems to ask not to be disrupted.
    Undisturbed,
    /// Every policy seems to be one of the plan.
    Policy,
    /// No pod seems to request anything.
    Requests,
    /// A watch that brings nothing seems to be in sync.
    Silence,
    /// No network seems to be about to join or leave pods.
    Joins,
    /// No NodeClaim says which nodes are drifted.
    Drift,
    /// The network of every node seems to work, and no taint seems to keep pods from it.
    Network,
    /// Every agent of a CNI seems to be Ready.
    Agents,
    /// No pod seems to have an address of another network.
    OtherNetwork,
}

impl Tamper {
    pub const ALL: [Self; 23] = [
        Self::Uid,
        Self::Version,
        Self::Epoch,
        Self::Lease,
        Self::Trouble,
        Self::Echo,
        Self::Boot,
        Self::Dns,
        Self::Attachments,
        Self::Census,
        Self::Cordon,
        Self::Freshness,
        Self::Reach,
        Self::Stop,
        Self::Undisturbed,
        Self::Policy,
        Self::Requests,
        Self::Silence,
        Self::Joins,
        Self::Drift,
        Self::Network,
        Self::Agents,
        Self::OtherNetwork,
    ];

    /// Hides it from what a run sees.
    pub(super) fn apply(self, observation: &mut Observation, policies: &[String]) {
        let world = Arc::make_mut(&mut observation.world);
        match self {
            Self::Uid | Self::Version | Self::Reach => {}
            Self::Lease => world.renewed_at = world.now,
            Self::Silence => world.synced = world.now,
            Self::Census => world.census.iter_mut().for_each(|census| census.running.clear()),
            Self::Requests => world.census.iter_mut().for_each(|census| census.requests.clear()),
            Self::Freshness => world.verdicts.values_mut().for_each(|verdict| verdict.checked_at = world.now),
            Self::Dns => hide(world, Trait::Dns),
            Self::OtherNetwork => hide(world, Trait::OtherNetwork),
            Self::Undisturbed => hide(world, Trait::Undisturbed),
            Self::Agents => each_pod(world, |pod| {
                pod.traits.extend(pod.has_trait(Trait::Agent).then_some(Trait::Ready));
            }),
            Self::Stop => {
                for wish in &mut observation.wishes {
                    if wish.what == RunRequest::PauseNow {
                        wish.what = RunRequest::Pause;
                    }
                }
            }
            Self::Epoch => {
                let epoch = world.epoch;
                each_node(world, |node| {
                    node.step.iter_mut().for_each(|step| step.epoch = step.epoch.min(epoch));
                });
            }
            Self::Cordon => each_node(world, |node| {
                if node.is_cordoned {
                    node.step.iter_mut().for_each(|step| step.cordon = Some(Cordon::Ours));
                }
            }),
            Self::Trouble => each_node(world, |node| {
                if !node.step.as_ref().is_some_and(|step| step.state.is_in_transit()) {
                    (node.is_ready, node.is_cordoned, node.is_going) = (true, false, false);
                }
            }),
            Self::Echo => each_node(world, |node| {
                let claim = node.step.as_ref().map(|step| &step.claim);
                node.observed.iter_mut().for_each(|observed| observed.echo = claim.cloned());
            }),
            Self::Boot => each_node(world, |node| {
                node.observed.iter_mut().for_each(|observed| observed.boot_id = node.boot.to_string());
            }),
            Self::Attachments => each_report(world, |observed| {
                let phase = observed.phase;
                observed.attached.iter_mut().for_each(|attached| {
                    attached.by_phase.retain(|attached_phase, _| Some(*attached_phase) == phase);
                });
            }),
            Self::Drift => world.drifted = None,
            Self::Network => each_node(world, |node| {
                node.taints.clear();
                node.crossfade.iter_mut().for_each(|condition| condition.is_true = true);
            }),
            Self::Joins => each_report(world, |observed| observed.joins.clear()),
            Self::Policy => each_report(world, |observed| observed.base = policies.first().cloned()),
        }
    }
}

fn each_pod(world: &mut World, change: impl Fn(&mut Pod)) {
    let changed = |mut pod: Pod| {
        change(&mut pod);
        pod
    };
    world.pods = world.pods.values().cloned().map(changed).collect();
}

fn hide(world: &mut World, what: Trait) {
    each_pod(world, |pod| {
        pod.traits.remove(&what);
    });
}

fn each_node(world: &mut World, mut change: impl FnMut(&mut Node)) {
    world.nodes.values_mut().for_each(|node| change(Arc::make_mut(node)));
}

fn each_report(world: &mut World, mut change: impl FnMut(&mut NodeObservation)) {
    each_node(world, |node| node.observed.iter_mut().for_each(&mut change));
}

/// The plan of an operator who takes it for granted that nodes forward between both networks.
pub(super) fn bridge_plan(plan: &Plan) -> Plan {
    Plan { bridge: Some(Bridge::Accepted("blind".into())), ..plan.clone() }
}

impl History {
    /// Whether the run is blind to this.
    pub(super) fn is_blind(&self, to: Tamper) -> bool {
        self.tamper == Some(to)
    }
}
