//! The kinds of policies that can be written.

use super::passing::inlined;
use super::plain::PlainPolicies;
use super::written::ConvertedObjects;
use crate::cilium::Settings;

/// A kind of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// NetworkPolicy of Kubernetes.
    Kubernetes,
    /// NetworkPolicy, ClusterNetworkPolicy and Tier of Antrea.
    Antrea,
    /// CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy, for a Cilium that is set so.
    Cilium(Settings),
    /// ClusterNetworkPolicy of Kubernetes.
    Cluster,
}

impl Target {
    /// The policies as objects of this kind.
    #[must_use]
    pub fn write(self, plain: &PlainPolicies) -> ConvertedObjects {
        let written = match self {
            Self::Kubernetes => super::kubernetes::write(plain),
            Self::Antrea => super::antrea::write(plain),
            Self::Cluster => super::admin::write(plain),
            Self::Cilium(settings) => super::cilium::write(plain, settings),
        };
        match inlined(plain, &written.report.passes) {
            Some(plain) => self.write(&plain),
            None => written,
        }
    }
}
