//! `render`: what kubelet and the runtime are told on their command lines.

use crate::cli::{Global, Render};
use crate::exit::Failure;
use crate::print::Changed;

/// Renders.
///
/// # Errors
/// It does not do it yet.
pub fn render(_: &Global, _: &Render) -> Result<Changed, Failure> {
    Err(Failure::later("not in this build"))
}
