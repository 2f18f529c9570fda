//! The policy file of a node, with the digest that identifies it in reports.

use std::path::{Path, PathBuf};

use shim::policy_file::{self, Unusable};
use types::policy::Policy;
use types::profile;

use crate::node::policy::secondary;
use convergence::digest;

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
    /// Reads the policy at `path`; owner and mode of it and of every directory above are checked, and that the node's own profiles of its
    /// networks can be used.
    ///
    /// # Errors
    /// One line that names the file, and the key where its content is at fault.
    pub fn load(path: &Path) -> Result<Self, String> {
        let message = |why: Unusable| why.to_string();
        let bytes = policy_file::read(path).map_err(message)?;
        let policy = policy_file::parse(path, &bytes).map_err(message)?;
        profile::refuse_unusable(&policy).map_err(|why| format!("policy {}: {why}", path.display()))?;
        Ok(Self { path: path.to_path_buf(), policy, sha256: digest::sha256(&bytes), bytes })
    }

    /// The policy if it is fit to be put in force: it names known profiles, and no second network that does not bear it.
    ///
    /// # Errors
    /// One line that names the file and what is at fault.
    pub fn usable(self) -> Result<Self, String> {
        match secondary::usable(&self.policy) {
            Ok(()) => Ok(self),
            Err(why) => Err(format!("policy {}: {why}", self.path.display())),
        }
    }
}
