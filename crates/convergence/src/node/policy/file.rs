//! The policy file of a node, with the digest that identifies it in reports.

use std::path::{Path, PathBuf};

use types::command::problem::{Problem, Subject};
use types::policy::Policy;
use types::profile::Profiles;

use crate::node::policy::secondary;

/// A valid policy, as it was read from its file.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    pub path: PathBuf,
    /// The content of the file.
    pub bytes: Vec<u8>,
    pub policy: Policy,
    /// SHA-256 of the file's bytes, in hex.
    pub sha256: String,
}

impl PolicyFile {
    /// The policy if it is fit to be put in force: it names known profiles, and no second network that does not bear it.
    ///
    /// # Errors
    /// A problem that names the file and what is at fault.
    pub fn require_usable(self, profiles: &Profiles) -> Result<Self, Problem> {
        match secondary::require_usable(&self.policy, profiles) {
            Ok(()) => Ok(self),
            Err(why) => Err(problem(&self.path, &why)),
        }
    }
}

/// Why the policy at `path` cannot be used.
#[must_use]
pub fn problem(path: &Path, why: &str) -> Problem {
    Problem::new(format!("policy {}: {why}", path.display())).with_subject(Subject::Policy)
}
