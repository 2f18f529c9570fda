//! The engines that enforce policies.

use snapshot::model::Kind;

use crate::engines::cilium::Settings;
use crate::engines::kubernetes::Blocks;

/// Who enforces policies, with what its releases and settings change in their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A CNI that enforces what Kubernetes itself defines, and what it makes of an `ipBlock`.
    Kubernetes(Blocks),
    /// Calico, also as a part of Canal.
    Calico,
    Antrea,
    Cilium(Settings),
}

/// The kinds of administrators' policies.
pub const ADMIN: [Kind; 3] = [
    Kind::KUBERNETES_CLUSTER_NETWORK_POLICY,
    Kind::ADMIN_NETWORK_POLICY,
    Kind::BASELINE_ADMIN_NETWORK_POLICY,
];
/// The kinds of Calico's policies.
pub(super) const CALICO: [Kind; 2] = [Kind::CALICO_NETWORK_POLICY, Kind::CALICO_GLOBAL_NETWORK_POLICY];
/// The kinds of Calico's policies that it does not enforce. *Source*: Calico, "Staged network policy".
pub(super) const STAGED: [Kind; 3] = [
    Kind::CALICO_STAGED_NETWORK_POLICY,
    Kind::CALICO_STAGED_GLOBAL_NETWORK_POLICY,
    Kind::CALICO_STAGED_KUBERNETES_NETWORK_POLICY,
];

/// The kinds of Antrea's policies.
pub(super) const ANTREA: [Kind; 2] = [Kind::ANTREA_NETWORK_POLICY, Kind::ANTREA_CLUSTER_NETWORK_POLICY];
/// The kinds of Antrea's groups.
pub(super) const GROUPS: [Kind; 2] = [Kind::ANTREA_GROUP, Kind::ANTREA_CLUSTER_GROUP];
/// The kinds of Cilium's policies.
pub(super) const CILIUM: [Kind; 2] = [Kind::CILIUM_NETWORK_POLICY, Kind::CILIUM_CLUSTERWIDE_NETWORK_POLICY];

impl Engine {
    /// The kinds of the objects that it goes by, those of administrators' policies in any case. [`super::Policies`] says nothing of a kind that a
    /// snapshot does not know.
    #[must_use]
    pub const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Kubernetes(_) => &[Kind::NETWORK_POLICY, ADMIN[0], ADMIN[1], ADMIN[2]],
            Self::Calico => &[
                Kind::NETWORK_POLICY,
                ADMIN[0],
                ADMIN[1],
                ADMIN[2],
                Kind::NAMESPACE,
                Kind::CALICO_TIER,
                CALICO[0],
                CALICO[1],
                STAGED[0],
                STAGED[1],
                STAGED[2],
                Kind::CALICO_NETWORK_SET,
                Kind::CALICO_GLOBAL_NETWORK_SET,
                Kind::HOST_ENDPOINT,
            ],
            Self::Antrea => &[
                Kind::NETWORK_POLICY,
                ADMIN[0],
                ADMIN[1],
                ADMIN[2],
                Kind::ANTREA_TIER,
                ANTREA[0],
                ANTREA[1],
                GROUPS[0],
                GROUPS[1],
            ],
            Self::Cilium(_) => &[Kind::NETWORK_POLICY, ADMIN[0], ADMIN[1], ADMIN[2], CILIUM[0], CILIUM[1]],
        }
    }

    /// The kinds of policies that it alone goes by.
    #[must_use]
    pub const fn own_kinds(self) -> &'static [Kind] {
        match self {
            Self::Kubernetes(_) => &[],
            Self::Calico => &CALICO,
            Self::Antrea => &ANTREA,
            Self::Cilium(_) => &CILIUM,
        }
    }

    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kubernetes(_) => "Kubernetes",
            Self::Calico => "Calico",
            Self::Antrea => "Antrea",
            Self::Cilium(_) => "Cilium",
        }
    }
}
