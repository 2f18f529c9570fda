//! The objects that Antrea enforces or refers to.

use snapshot::model::Kind;

use super::engine::{ANTREA, GROUPS};
use super::objects::Objects;
use super::reference::UnreadObject;
use crate::engines::antrea::{self, Group, Input, Policy, Tier};
use crate::engines::kubernetes;
use crate::gather::catalog::Catalog;
use crate::world::World;

/// All of Antrea's that decides, beside the NetworkPolicies of Kubernetes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Antrea {
    /// Tiers; the static ones are there even if they are not written.
    pub tiers: Catalog<Tier>,
    /// Policies of namespaces and of the cluster.
    pub policies: Catalog<Policy>,
    /// Groups of namespaces, and ClusterGroups.
    pub groups: Catalog<Group>,
}

impl Antrea {
    pub(super) fn gather(objects: &Objects<'_>, empty_world: &World, unread: &mut Vec<UnreadObject>) -> Self {
        let tiers = objects.read(&[Kind::ANTREA_TIER], unread, antrea::read_tier);
        let tiers = tiers.retain_valid(unread, |candidate| {
            let tiers = std::slice::from_ref(candidate);
            let input = Input { tiers, policies: &[], kubernetes: &[], groups: &[] };
            antrea::enforcement(&input, empty_world).map(drop)
        });
        let groups = objects.read(&GROUPS, unread, antrea::read_group);
        let policies = objects.read(&ANTREA, unread, antrea::read_policy).retain_valid(unread, |policy| {
            // Whether tiers are one another's rivals is no matter of this policy.
            let own: Vec<Tier> =
                tiers.entries.iter().filter(|tier| tier.name == policy.tier).cloned().collect();
            let policies = std::slice::from_ref(policy);
            let input = Input { tiers: &own, policies, kubernetes: &[], groups: &groups.entries };
            antrea::mentions(&input)?;
            antrea::enforcement(&input, empty_world).map(drop)
        });
        Self { tiers, policies, groups }
    }

    pub(super) fn input<'a>(&'a self, kubernetes: &'a [kubernetes::Policy]) -> Input<'a> {
        let Self { tiers, policies, groups } = self;
        Input { tiers: &tiers.entries, policies: &policies.entries, kubernetes, groups: &groups.entries }
    }
}
