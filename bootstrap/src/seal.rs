//! `seal`: what must not be in a golden image.

use crate::cli::{Global, Seal};
use crate::exit::{Exit, Failure};
use crate::print::Changed;

/// Removes what may be removed, or refuses.
///
/// # Errors
/// 3 with every finding.
pub fn seal(_: &Global, _: &Seal) -> Result<Changed, Failure> {
    Err(Failure::new(Exit::Failed, "seal: under way"))
}
