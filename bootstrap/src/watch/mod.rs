//! `watch`: converges, then waits; any event means "converge again".

use crate::cli::{Global, Watch};
use crate::exit::{Exit, Failure};

/// Watches.
///
/// # Errors
/// It does not do it yet.
pub fn watch(_: &Global, _: &Watch) -> Result<Exit, Failure> {
    Err(Failure::later("not in this build"))
}
