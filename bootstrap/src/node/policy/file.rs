//! The policy file of a node, with the digest by which everybody can say which one they mean.

use std::path::Path;

use shim::file::read_bounded;
use shim::trust;
use types::policy::{MAX_BYTES, Policy};

use crate::node::digest;
use crate::node::policy::secondary;

/// A valid policy, as it was read from its file.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    /// The parsed content of the file.
    pub policy: Policy,
    /// SHA-256 of the file's bytes, in hex.
    pub sha256: String,
}

/// Which rules a policy must keep to count as usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyRule {
    /// The policy is valid, so the plugin attaches pods by it.
    Valid,
    /// Valid, and fit to be put in force: it names known profiles, and no second network that does not bear it.
    Usable,
}

impl PolicyFile {
    /// Reads the policy at `path`; owner and mode of it and of every directory above are checked.
    ///
    /// # Errors
    /// One line that names the file, and the key where its content is at fault.
    pub fn load(path: &Path, rule: PolicyRule) -> Result<Self, String> {
        let unread = |why: String| format!("read policy {}: {why}", path.display());
        let mut file = trust::open(path).map_err(|why| unread(why.to_string()))?;
        let bytes = read_bounded(&mut file, MAX_BYTES).map_err(|e| unread(e.to_string()))?;
        let policy = Policy::parse(&bytes).map_err(unread)?;
        if rule == PolicyRule::Usable {
            secondary::usable(&policy).map_err(|why| format!("policy {}: {why}", path.display()))?;
        }
        Ok(Self { policy, sha256: digest::sha256(&bytes) })
    }
}
