//! `explain`: what boot and render would do here, and why.

use crate::cli::{Explain, Global};
use crate::exit::Failure;
use crate::print::Changed;

/// Explains.
///
/// # Errors
/// It does not do it yet.
pub fn explain(_: &Global, _: &Explain) -> Result<Changed, Failure> {
    Err(Failure::later("not in this build"))
}
