//! Settings of the time in which both networks are there.

use serde::{Deserialize, Serialize};

use crate::cni::support::Stage;

/// The smallest MTU that IPv6 works with. *Source*: RFC 8200, 5.
const SMALLEST: u32 = 1280;

/// The time in which both networks are there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Transition {
    /// The stage of which the settings of the new CNI are checked: `install`, `migrate` or `finish`.
    pub phase: Stage,
    /// The MTU of the network between the machines, in bytes. Without it, 1500 is assumed, and the report says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1280, max = 65_535)))]
    pub node_mtu: Option<u32>,
    /// Why broken connections between two halves of the cluster are accepted, where both networks have overlapping ranges. Without it, no plan
    /// proposes a migration in two halves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub accept_two_halves: Option<String>,
}

impl Transition {
    /// Whether the values make sense.
    pub(super) fn valid(&self) -> Result<(), String> {
        if let Some(mtu) = self.node_mtu
            && !(SMALLEST..=65_535).contains(&mtu)
        {
            return Err(format!(
                "transition.nodeMtu: {mtu} is no MTU of a node; expected {SMALLEST} to 65535"
            ));
        }
        match &self.accept_two_halves {
            Some(reason) if reason.trim().is_empty() => {
                Err("transition.acceptTwoHalves: expected why broken connections are accepted, found nothing"
                    .into())
            }
            _ => Ok(()),
        }
    }
}
