//! A run that is blind to one thing: each guard of its decisions is proven by a run that cannot see what the guard looks at, and breaks an invariant.

use std::sync::Arc;

use migration::drive::Observation;
use migration::plan::{Bridge, Plan};
use migration::roll::run::RunRequest;
use migration::roll::world::{Pod, Trait};

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
}

impl Tamper {
    pub const ALL: [Self; 19] = [
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
            Self::Dns | Self::Undisturbed => {
                let what = if self == Self::Dns { Trait::Dns } else { Trait::Undisturbed };
                let blurred = |mut pod: Pod| {
                    pod.traits.remove(&what);
                    pod
                };
                world.pods = world.pods.values().cloned().map(blurred).collect();
            }
            Self::Stop => {
                for wish in &mut observation.wishes {
                    if wish.what == RunRequest::PauseNow {
                        wish.what = RunRequest::Pause;
                    }
                }
            }
            _ => world
                .nodes
                .values_mut()
                .for_each(|node| self.node(Arc::make_mut(node), world.epoch, policies)),
        }
    }

    fn node(self, node: &mut migration::roll::world::Node, epoch: u64, policies: &[String]) {
        let is_moving = node.step.as_ref().is_some_and(|step| step.state.is_in_transit());
        match self {
            Self::Epoch => node.step.iter_mut().for_each(|step| step.epoch = step.epoch.min(epoch)),
            Self::Cordon if node.is_cordoned => {
                node.step.iter_mut().for_each(|step| step.cordon = Some(types::api::step::Cordon::Ours));
            }
            Self::Trouble if !is_moving => {
                (node.is_ready, node.is_cordoned, node.is_going) = (true, false, false)
            }
            _ => {}
        }
        let claim = node.step.as_ref().map(|step| step.claim.clone());
        let Some(observed) = node.observed.as_mut() else { return };
        match self {
            Self::Echo => observed.echo = claim,
            Self::Boot => observed.boot_id = node.boot.to_string(),
            Self::Attachments => {
                let phase = observed.phase;
                observed.attached.iter_mut().for_each(|attached| {
                    attached.by_phase.retain(|attached_phase, _| Some(*attached_phase) == phase)
                });
            }
            Self::Joins => observed.joins.clear(),
            Self::Policy => observed.base = policies.first().cloned(),
            _ => {}
        }
    }
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
