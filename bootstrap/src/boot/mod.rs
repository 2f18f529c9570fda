//! `boot`: prepares a node before its runtime and kubelet start.

use crate::cli::{Boot, Global};
use crate::exit::Failure;
use crate::print::Changed;

/// Prepares the node.
///
/// # Errors
/// It does not do it yet.
pub fn boot(_: &Global, _: &Boot) -> Result<Changed, Failure> {
    Err(Failure::later("not in this build"))
}
