//! An independent reader of the shim's replies: the `cni-plugin` crate's own types.

use anyhow::{Result, bail};
use cni_plugin::reply::{SuccessReply, VersionReply};

/// A reply, as the `cni-plugin` crate understands it.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The result of ADD.
    Success(Box<SuccessReply>),
    /// The answer to VERSION.
    Version(Vec<String>),
    /// An error object.
    Error {
        /// The CNI version it was written for.
        cni_version: String,
        /// The code.
        code: i32,
        /// The short text.
        msg: String,
        /// The long text.
        details: String,
    },
}

/// Reads the one JSON document a plugin wrote to stdout.
///
/// # Errors
/// The crate's types refuse it, or there is more or less than one document.
pub fn read_reply(stdout: &[u8]) -> Result<Reply> {
    let _: Option<VersionReply> = None;
    bail!("{} bytes: the oracle is not built yet", stdout.len())
}
