//! The words of node.json.

use serde::{Deserialize, Serialize};

/// Where the runtime reads confs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Mode {
    /// In Crossfade's own directory on tmpfs.
    Private,
    /// In the runtime's usual directory, where Crossfade's conf sorts first.
    Shared,
    /// Nowhere: a node of a final image, whose pods Crossfade does not attach. The node has no plugin and no conf of Crossfade, only labels and taints.
    #[serde(rename = "none")]
    Without,
}

impl Mode {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Private, Self::Shared, Self::Without];

    /// As `confDir` in node.json.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Without => "none",
        }
    }
}

/// The version of Crossfade's conf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CniVersion {
    /// Without STATUS and GC.
    #[serde(rename = "1.0.0")]
    V100,
    /// With STATUS polling and the runtime's GC.
    #[serde(rename = "1.1.0")]
    V110,
}

impl CniVersion {
    /// All values.
    pub const ALL: [Self; 2] = [Self::V100, Self::V110];

    /// As in a conf.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V100 => "1.0.0",
            Self::V110 => "1.1.0",
        }
    }
}

/// A kind of container runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RuntimeKind {
    /// containerd, 1.6 and newer.
    #[serde(rename = "containerd")]
    Containerd,
    /// CRI-O, 1.28 and newer.
    #[serde(rename = "cri-o")]
    Crio,
}

impl RuntimeKind {
    /// All values.
    pub const ALL: [Self; 2] = [Self::Containerd, Self::Crio];

    /// As in node.json.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Crio => "cri-o",
        }
    }

    /// The unit that usually runs the runtime.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Containerd => "containerd.service",
            Self::Crio => "crio.service",
        }
    }
}

/// Where a node learns its desired phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Desired"))]
pub enum DesiredSource {
    /// From the annotation crossfade/desired of its own Node.
    NodeAnnotation,
    /// Nowhere: only commands on the node change its phase.
    Off,
}

/// How a network's readiness may be proven on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Proof {
    /// By attaching two scratch network namespaces that belong to no Pod, and by packets that they exchange.
    Packet,
    /// By attaching a scratch network namespace that belongs to no Pod.
    Attach,
    /// By the network's probes alone.
    Probe,
}

impl Proof {
    /// All values, the strongest first.
    pub const ALL: [Self; 3] = [Self::Packet, Self::Attach, Self::Probe];

    /// The weaker one: what node.json asks for, as far as the network's profile allows it.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        if self as u8 > other as u8 { self } else { other }
    }
}
