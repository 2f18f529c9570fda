//! The kinds of policies that can be written.

pub(super) mod address_blocks;
pub mod admin;
pub mod antrea;
pub mod cilium;
pub mod kubernetes;
pub(super) mod ports;

use crate::convert::intermediate::PlainPolicies;
use crate::convert::objects::ConvertedObjects;
use crate::convert::pass::inline;
use crate::engines::cilium::Settings;

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
            Self::Kubernetes => crate::convert::writers::kubernetes::write(plain),
            Self::Antrea => crate::convert::writers::antrea::write(plain),
            Self::Cluster => crate::convert::writers::admin::write(plain),
            Self::Cilium(settings) => crate::convert::writers::cilium::write(plain, settings),
        };
        match inline(plain, &written.report.passes) {
            Some(plain) => self.write(&plain),
            None => written,
        }
    }
}
