//! What Antrea goes by.

use snapshot::model::Kind;

use super::engine::{ANTREA, GROUPS};
use super::found::Found;
use super::objects::Objects;
use super::reference::Unread;
use crate::antrea::{self, Group, Input, Policy, Tier};
use crate::kubernetes;
use crate::world::World;

/// All of Antrea's that decides, beside the NetworkPolicies of Kubernetes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Antrea {
    /// Tiers; the static ones are there even if they are not written.
    pub tiers: Found<Tier>,
    /// Policies of namespaces and of the cluster.
    pub policies: Found<Policy>,
    /// Groups of namespaces, and ClusterGroups.
    pub groups: Found<Group>,
}

impl Antrea {
    pub(super) fn of(objects: &Objects<'_>, nobody: &World, unread: &mut Vec<Unread>) -> Self {
        let tiers = objects.read(&[Kind::ANTREA_TIER], unread, antrea::read_tier);
        let tiers = tiers.tried(unread, |one| {
            let tiers = std::slice::from_ref(one);
            let input = Input { tiers, policies: &[], kubernetes: &[], groups: &[] };
            antrea::enforcement(&input, nobody).map(drop)
        });
        let groups = objects.read(&GROUPS, unread, antrea::read_group);
        let policies = objects.read(&ANTREA, unread, antrea::read_policy).tried(unread, |one| {
            // Whether tiers are one another's rivals is no matter of this policy.
            let own: Vec<Tier> = tiers.all.iter().filter(|tier| tier.name == one.tier).cloned().collect();
            let policies = std::slice::from_ref(one);
            let input = Input { tiers: &own, policies, kubernetes: &[], groups: &groups.all };
            antrea::mentions(&input)?;
            antrea::enforcement(&input, nobody).map(drop)
        });
        Self { tiers, policies, groups }
    }

    pub(super) fn input<'a>(&'a self, kubernetes: &'a [kubernetes::Policy]) -> Input<'a> {
        let Self { tiers, policies, groups } = self;
        Input { tiers: &tiers.all, policies: &policies.all, kubernetes, groups: &groups.all }
    }
}
