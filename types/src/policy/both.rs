//! Two networks in one pod.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::Side;
use crate::text::names::validate_ifname;

/// How both networks share one pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Both {
    /// The network that gets the runtime's interface and whose result is the reply. Default: old.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<Side>,
    /// The other network's interface. If the name is taken, the next free netN is used.
    #[serde(deserialize_with = "ifname", skip_serializing_if = "is_usual")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            regex(pattern = r"^[^/:\s\u0000-\u001f\u007f]{1,15}$"),
            extend("not" = {"enum": [".", "..", "lo"]}, "default" = "net1")
        )
    )]
    pub secondary_ifname: String,
    /// The network that owns the default route and is attached last. Default: the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_route: Option<Side>,
    /// Whether a pod may start with the primary alone.
    #[serde(skip_serializing_if = "SecondaryFailure::is_fail")]
    pub secondary_failure: SecondaryFailure,
}

const USUAL_IFNAME: &str = "net1";

impl Default for Both {
    fn default() -> Self {
        Self {
            primary: None,
            secondary_ifname: USUAL_IFNAME.into(),
            default_route: None,
            secondary_failure: SecondaryFailure::Fail,
        }
    }
}

impl Both {
    /// The network that gets `CNI_IFNAME`, and whose result is the reply.
    #[must_use]
    pub fn primary(&self) -> Side {
        self.primary.unwrap_or(Side::Old)
    }

    /// The network that owns the default route, and is attached last.
    #[must_use]
    pub fn default_route(&self) -> Side {
        self.default_route.unwrap_or(self.primary())
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of an ADD in both-mode whose secondary fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SecondaryFailure {
    /// The ADD fails and is undone.
    Fail,
    /// The pod starts with the primary alone.
    Tolerate,
}

impl SecondaryFailure {
    fn is_fail(&self) -> bool {
        *self == Self::Fail
    }
}

fn is_usual(ifname: &str) -> bool {
    ifname == USUAL_IFNAME
}

fn ifname<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let ifname = crate::json::text::held_to(deserializer, "an interface name", |_| true)?;
    validate_ifname(&ifname).map_err(D::Error::custom)?;
    if ifname == "lo" {
        return Err(D::Error::custom("lo is the loopback interface; expected another name"));
    }
    Ok(ifname)
}
