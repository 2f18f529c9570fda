//! The flip of a policy to another phase.

use types::policy::{Phase, Policy};
use types::profile::Profiles;

use crate::node::policy::{completion, secondary};

/// Whether the policy in these bytes can be flipped to `phase`, wherever it lies.
///
/// # Errors
/// One line: why not.
pub fn allows(bytes: &[u8], phase: Phase, profiles: &Profiles) -> Result<(), String> {
    flip(bytes, phase, profiles).and_then(|flipped| secondary::parse(&flipped, profiles)).map(drop)
}

/// The policy in these bytes in another phase, completed for that phase.
///
/// # Errors
/// One line: it is no valid policy, or it does not allow the phase.
pub fn flip(bytes: &[u8], phase: Phase, profiles: &Profiles) -> Result<Vec<u8>, String> {
    let flipped = Policy::flip(bytes, phase)?;
    // Of a policy that a person wrote the shim does not know what its networks' profiles say.
    Ok(completion::with_secondary(&flipped, profiles)?.map_or(flipped, |done| done.bytes))
}
