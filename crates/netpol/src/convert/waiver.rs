//! Losses that the operator accepts, policy by policy.

use serde::Serialize;

use crate::gather::Reference;

/// Accepts that parts of one policy are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The policy, as it is printed: `GlobalNetworkPolicy/deny-blue`.
    pub object: String,
    pub uid: String,
    pub generation: u64,
    /// Why the loss is accepted.
    pub reason: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waivers(pub Vec<Waiver>);

/// A waiver that counts for no policy as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Stale"))]
#[serde(rename_all = "camelCase")]
pub struct StaleWaiver {
    /// The policy that it names.
    pub object: String,
    /// Why it does not count.
    pub why: String,
}

impl Waiver {
    fn is_for(&self, object: &Reference) -> bool {
        self.object == object.path()
            && *self.uid == *object.uid
            && i64::try_from(self.generation) == Ok(object.generation)
    }
}

impl Waivers {
    /// Why losses of this policy are accepted, if they are.
    #[must_use]
    pub fn reason(&self, object: &Reference) -> Option<&str> {
        self.0.iter().find(|waiver| waiver.is_for(object)).map(|waiver| waiver.reason.as_str())
    }

    /// Those that count for none of these policies.
    pub fn stale_waivers<'o>(
        &self,
        objects: impl Iterator<Item = &'o Reference> + Clone,
    ) -> Vec<StaleWaiver> {
        let why = |waiver: &Waiver| {
            let named = objects.clone().find(|object| object.path() == waiver.object);
            match named {
                None => Some("there is no such policy".to_owned()),
                Some(object) if waiver.is_for(object) => None,
                Some(Reference { uid, generation, .. }) => Some(format!(
                    "the policy has the UID {uid} and the generation {generation} now: look at it again"
                )),
            }
        };
        let stale = |waiver: &Waiver| Some(StaleWaiver { object: waiver.object.clone(), why: why(waiver)? });
        self.0.iter().filter_map(stale).collect()
    }
}
