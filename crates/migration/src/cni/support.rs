//! The supported CNIs, strategies and pairs of CNIs.

use serde::{Deserialize, Serialize};

/// A CNI that a cluster can be moved from or to.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    strum::Display,
    strum::IntoStaticStr,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum Cni {
    /// Calico.
    Calico,
    /// Flannel.
    Flannel,
    /// Flannel's network with Calico's policies.
    Canal,
    /// The Amazon VPC CNI.
    #[serde(rename = "aws-vpc")]
    #[value(name = "aws-vpc", alias = "aws-vpc-cni")]
    #[strum(serialize = "aws-vpc")]
    AwsVpcCni,
    /// Cilium.
    Cilium,
    /// Antrea.
    Antrea,
}

/// How a cluster is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, strum::Display)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Strategy {
    /// Each node passes through a phase in which its pods have both networks.
    Double,
    /// Each node goes from the old network to the new one; the nodes route between both.
    Bridge,
    /// New nodes with the new network replace the old ones.
    Rotation,
}

/// A part of a migration in which the new CNI needs settings of its own.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum Stage {
    /// The new CNI is installed beside the old one, and no pod has it.
    #[default]
    Install,
    /// Nodes change from one network to the other.
    Migrate,
    /// All pods have the new network, and the old CNI goes away.
    Finish,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 3] = [Self::Install, Self::Migrate, Self::Finish];

    /// The stage after this one.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Install => Some(Self::Migrate),
            Self::Migrate => Some(Self::Finish),
            Self::Finish => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn each_cni_is_called_by_the_name_of_its_profile() {
        for cni in Cni::value_variants() {
            assert!(types::profile::Profiles::built_in().find(cni.into_str()).is_some(), "{cni}");
            assert_eq!(
                cni.to_possible_value().map(|value| value.get_name().to_owned()).as_deref(),
                Some(cni.into_str())
            );
            assert_eq!(serde_json::to_string(cni).expect("JSON"), format!("{:?}", cni.into_str()));
        }
    }
}
