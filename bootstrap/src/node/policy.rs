//! The policy on a node: read, with the digest that identifies it in reports; completed by the profiles of its networks, held against what they bear, and
//! flipped to another phase.

pub(crate) mod completion;
pub(crate) mod flip;

use std::path::Path;

use shim::node::policy_file::{self, PolicyError};
use types::command::problem::{Problem, Subject};
use types::profile::Profiles;

use convergence::node::digest;
use convergence::node::policy::file::{PolicyFile, problem};

/// Reads the policy at `path`; owner and mode of it and of every directory above are checked, and that the node's own profiles of its
/// networks can be used.
///
/// # Errors
/// A problem that names the file, and the key where its content is at fault.
pub(crate) fn load(path: &Path, profiles: &Profiles) -> Result<PolicyFile, Problem> {
    let message = |why: PolicyError| Problem::new(why.to_string()).with_subject(Subject::Policy);
    let bytes = policy_file::read(path).map_err(message)?;
    let policy = policy_file::parse(path, &bytes).map_err(message)?;
    profiles.refuse_unusable(&policy).map_err(|why| problem(path, &why))?;
    Ok(PolicyFile { path: path.to_path_buf(), policy, sha256: digest::sha256(&bytes), bytes })
}
