//! `attachments`: who is attached to what, from records and inventory.

use crate::cli::Global;
use crate::cli::exit::Failure;
use crate::node::attachments::{self, Attachments};
use crate::node::facts::NodeFacts;

/// Lists everything that is attached.
///
/// # Errors
/// Bad settings; or the records cannot be listed.
pub fn attachments(global: &Global) -> Result<Attachments, Failure> {
    let node = NodeFacts::certain(global)?;
    attachments::list(&node.dirs.layout, node.policy())
}
