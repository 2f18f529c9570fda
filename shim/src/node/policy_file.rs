//! The policy file of this node.

use std::fmt;
use std::path::{Path, PathBuf};

use types::policy::{MAX_BYTES, Policy};

use crate::host::file::read_bounded;
use crate::host::trust::{self, Distrust};

/// Why the policy cannot be used.
#[derive(Debug)]
pub enum PolicyError {
    /// The file is absent, untrusted or unreadable.
    File(PathBuf, Distrust),
    /// The content is invalid. The text names the key, the expectation and the remedy.
    Content(PathBuf, String),
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, why) => write!(f, "read policy {}: {why}", path.display()),
            Self::Content(path, why) => write!(f, "read policy {}: {why}", path.display()),
        }
    }
}

impl std::error::Error for PolicyError {}

/// Reads the bytes of the policy at `path`, at most [`MAX_BYTES`], and checks owner and mode of the file and of every directory above it.
///
/// # Errors
/// [`Unusable::File`].
pub fn read(path: &Path) -> Result<Vec<u8>, PolicyError> {
    let mut file = trust::open(path).map_err(|why| PolicyError::File(path.into(), why))?;
    read_bounded(&mut file, MAX_BYTES)
        .map_err(|e| PolicyError::File(path.into(), Distrust::Io(path.into(), e)))
}

/// Reads the policy at `path` as [`read`] does, and validates it.
///
/// # Errors
/// [`Unusable`].
pub fn load(path: &Path) -> Result<Policy, PolicyError> {
    parse(path, &read(path)?)
}

/// Validates the bytes of the policy at `path`.
///
/// # Errors
/// [`Unusable::Content`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Policy, PolicyError> {
    Policy::parse(bytes).map_err(|why| PolicyError::Content(path.into(), why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_policy_is_named() {
        let error = load(std::path::Path::new("/nowhere/policy.json")).expect_err("absent");
        assert!(error.to_string().starts_with("read policy /nowhere/policy.json: "), "{error}");
    }
}
