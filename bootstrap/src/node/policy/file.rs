//! The policy file of a node, with the digest that identifies it in reports.

use convergence::node::policy::file::PolicyFile;

use std::path::Path;

use shim::node::policy_file::{self, PolicyError};
use types::profile::Profiles;

use convergence::node::digest;

/// Reads the policy at `path`; owner and mode of it and of every directory above are checked, and that the node's own profiles of its
/// networks can be used.
///
/// # Errors
/// One line that names the file, and the key where its content is at fault.
pub(crate) fn load(path: &Path, profiles: &Profiles) -> Result<PolicyFile, String> {
    let message = |why: PolicyError| why.to_string();
    let bytes = policy_file::read(path).map_err(message)?;
    let policy = policy_file::parse(path, &bytes).map_err(message)?;
    profiles.refuse_unusable(&policy).map_err(|why| format!("policy {}: {why}", path.display()))?;
    Ok(PolicyFile { path: path.to_path_buf(), policy, sha256: digest::sha256(&bytes), bytes })
}
