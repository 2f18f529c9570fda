//! Kinds of policies, by the names that reports give them.

use serde::{Deserialize, Serialize};

use snapshot::model::Kind;

/// A kind of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PolicyKind {
    /// Kubernetes' own.
    NetworkPolicy,
    /// That of an administrator.
    AdminNetworkPolicy,
    /// That of an administrator, for what no other policy decides.
    BaselineAdminNetworkPolicy,
    /// The `NetworkPolicy` of Calico.
    CalicoNetworkPolicy,
    /// Calico's for the whole cluster.
    GlobalNetworkPolicy,
    /// Cilium's.
    CiliumNetworkPolicy,
    /// Cilium's for the whole cluster.
    CiliumClusterwideNetworkPolicy,
    /// The `NetworkPolicy` of Antrea.
    AntreaNetworkPolicy,
    /// Antrea's for the whole cluster.
    ClusterNetworkPolicy,
    /// The `ClusterNetworkPolicy` of Kubernetes, an administrator's.
    KubernetesClusterNetworkPolicy,
}

impl PolicyKind {
    pub const ALL: [Self; 10] = [
        Self::NetworkPolicy,
        Self::AdminNetworkPolicy,
        Self::BaselineAdminNetworkPolicy,
        Self::CalicoNetworkPolicy,
        Self::GlobalNetworkPolicy,
        Self::CiliumNetworkPolicy,
        Self::CiliumClusterwideNetworkPolicy,
        Self::AntreaNetworkPolicy,
        Self::ClusterNetworkPolicy,
        Self::KubernetesClusterNetworkPolicy,
    ];

    /// The kind in the API.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::NetworkPolicy => Kind::NETWORK_POLICY,
            Self::AdminNetworkPolicy => Kind::ADMIN_NETWORK_POLICY,
            Self::BaselineAdminNetworkPolicy => Kind::BASELINE_ADMIN_NETWORK_POLICY,
            Self::CalicoNetworkPolicy => Kind::CALICO_NETWORK_POLICY,
            Self::GlobalNetworkPolicy => Kind::CALICO_GLOBAL_NETWORK_POLICY,
            Self::CiliumNetworkPolicy => Kind::CILIUM_NETWORK_POLICY,
            Self::CiliumClusterwideNetworkPolicy => Kind::CILIUM_CLUSTERWIDE_NETWORK_POLICY,
            Self::AntreaNetworkPolicy => Kind::ANTREA_NETWORK_POLICY,
            Self::ClusterNetworkPolicy => Kind::ANTREA_CLUSTER_NETWORK_POLICY,
            Self::KubernetesClusterNetworkPolicy => Kind::KUBERNETES_CLUSTER_NETWORK_POLICY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::enforcement::KINDS;

    #[test]
    fn every_kind_that_a_cni_may_enforce_has_its_name() {
        let mut named = PolicyKind::ALL.map(PolicyKind::kind);
        let mut known = KINDS;
        named.sort_unstable();
        known.sort_unstable();
        assert_eq!(named, known);
        for kind in PolicyKind::ALL {
            let name = serde_json::to_value(kind).expect("JSON");
            assert_eq!(name, kind.kind().name());
        }
    }
}
