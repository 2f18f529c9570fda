//! `bake`: an image's policy and node settings.

use crate::cli::{Bake, Global};
use crate::exit::{Exit, Failure};
use crate::print::Changed;

/// Writes both files, or says what they would be.
///
/// # Errors
/// 2 for options that make no sense together, 78 for settings that nobody could use.
pub fn bake(_: &Global, _: &Bake) -> Result<Changed, Failure> {
    Err(Failure::new(Exit::Failed, "bake: under way"))
}
