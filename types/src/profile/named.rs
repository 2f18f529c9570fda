//! Names that no profile has.

use super::{GENERIC, all, find};
use crate::nearest::nearest;
use crate::policy::Policy;

/// Why a name is that of no profile, with the one that was probably meant.
#[must_use]
pub fn unknown(name: &str) -> String {
    let mut names: Vec<&str> = all().iter().map(|profile| profile.name.as_str()).collect();
    names.push(GENERIC);
    let meant = nearest(name, &names).map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
    format!("no CNI is known as {name:?}; {meant}known are {}", names.join(", "))
}

/// Refuses a policy that names a profile which nobody knows: most likely its name is mistyped, and then nothing that is known of the CNI
/// would count. Pure.
///
/// # Errors
/// One line that names the key and what was probably meant.
pub fn refuse_unknown(policy: &Policy) -> Result<(), String> {
    let is_unknown = |name: &str| name != GENERIC && find(name).is_none();
    match policy.networks().find(|(_, network)| is_unknown(&network.profile)) {
        Some((side, network)) => Err(format!("networks.{side}.profile: {}", unknown(&network.profile))),
        None => Ok(()),
    }
}
