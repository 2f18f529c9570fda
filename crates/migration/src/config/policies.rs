//! Settings for the conversion of network policies.

use serde::{Deserialize, Serialize};

/// Network policies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Policies {
    /// Policies of which a part may be lost in a conversion.
    pub waivers: Vec<PolicyWaiver>,
}

/// A policy of which the operator accepts that a part of it is lost.
///
/// It counts for the object in the state in which it was looked at: once the policy is edited, or another one of the same name is made, it
/// counts no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicyWaiver {
    /// The policy, as reports print it: `GlobalNetworkPolicy/default.deny-blue`, `CalicoNetworkPolicy/shop/default.web`.
    pub object: String,
    /// Its `metadata.uid`.
    pub uid: String,
    /// Its `metadata.generation`; 0 if it has none.
    pub generation: u64,
    /// Why the loss is accepted.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub reason: String,
}

impl Policies {
    /// # Errors
    /// The first value that is not as it should be.
    pub(super) fn valid(&self) -> Result<(), String> {
        match self.waivers.iter().position(|waiver| waiver.reason.trim().is_empty()) {
            Some(index) => Err(format!(
                "policies.waivers[{index}].reason: expected why the loss is accepted, found nothing"
            )),
            None => Ok(()),
        }
    }
}
