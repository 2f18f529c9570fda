//! `attachments`: who is attached to what, from records and inventory.

use shim::policy_file;

use crate::cli::Global;
use crate::cli::exit::Failure;
use crate::node::attachments::{self, Attachments};
use crate::node::directories::Directories;

/// Lists everything that is attached.
///
/// # Errors
/// Bad settings; or the records cannot be listed.
pub fn attachments(global: &Global) -> Result<Attachments, Failure> {
    let layout = Directories::certain(global)?.layout;
    let policy = policy_file::load(&layout.policy_file()).ok();
    attachments::list(&layout, policy.as_ref())
}
