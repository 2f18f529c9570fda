//! The agents that probe the network.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The first port of the agents without a setting.
const PORT: u16 = 9797;

/// How agents are brought to the cluster, and what a run goes by of what they see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Probe {
    /// The image with the agent; `localhost/crossfade:VERSION` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub image: Option<String>,
    /// A Secret in the namespace `crossfade-probe` with the registry's credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub pull_secret: Option<String>,
    /// The first of three ports that agents take on every node.
    #[cfg_attr(feature = "schema", schemars(range(min = 1024, max = 65533)))]
    pub port: u16,
    /// The gates of every run that go by the agents.
    pub gates: Vec<ProbeGate>,
}

/// A gate that goes by what agents see.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum ProbeGate {
    /// Packets pass between all pods and nodes that reach each other in the plan's phases.
    Packets,
    /// Packets pass between pods on the old network alone and pods on the new one alone: nodes forward between both networks.
    Forwarding,
    /// The cluster's DNS answers queries of pods of each kind.
    DnsQueries,
    /// The API server reaches pods of each kind.
    ApiServerToPods,
    /// Packets that a NetworkPolicy denies do not arrive, where a CNI enforces it.
    Enforcement,
}

impl ProbeGate {
    pub const ALL: [Self; 5] =
        [Self::Packets, Self::Forwarding, Self::DnsQueries, Self::ApiServerToPods, Self::Enforcement];
}

impl Default for Probe {
    fn default() -> Self {
        Self { image: None, pull_secret: None, port: PORT, gates: Vec::new() }
    }
}

impl Probe {
    /// Nothing is set.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a run has this gate.
    #[must_use]
    pub fn has_gate(&self, gate: ProbeGate) -> bool {
        self.gates.contains(&gate)
    }

    /// Whether the values make sense.
    pub(super) fn valid(&self) -> Result<(), String> {
        if !(1024..=65533).contains(&self.port) {
            return Err(format!("probe.port: expected a port from 1024 to 65533, found {}", self.port));
        }
        for (key, value) in [("image", &self.image), ("pullSecret", &self.pull_secret)] {
            if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
                return Err(format!("probe.{key}: expected a name, found nothing"));
            }
        }
        let mut gates = BTreeSet::new();
        match self.gates.iter().find(|gate| !gates.insert(**gate)) {
            Some(twice) => {
                Err(format!("probe.gates: expected each gate once, found {} again", twice.into_str()))
            }
            None => Ok(()),
        }
    }
}
