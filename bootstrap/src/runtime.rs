//! The container runtime: its sandboxes, its configuration and the confs that it uses.

use convergence::runtime::SandboxList;

pub(crate) mod answer;
pub(crate) mod cache;
pub(crate) mod conf_reading;
pub(crate) mod conf_removal;
pub(crate) mod config;
pub(crate) mod cri;
pub(crate) mod endpoint;
pub(crate) mod facts;
pub(crate) mod running_adds;

use std::path::Path;

use shim::host::file::read_bounded;

/// Largest list that is read from a file, in bytes.
const MAX_LIST_BYTES: usize = 256 << 20;

/// Reads a JSON list of [`ListedAttachment`].
///
/// # Errors
/// One line that names the file.
pub(crate) fn read_list(path: &Path) -> Result<SandboxList, String> {
    let bytes = std::fs::File::open(path)
        .and_then(|mut file| read_bounded(&mut file, MAX_LIST_BYTES))
        .map_err(|e| format!("read list {}: {e}", path.display()))?;
    let listed = serde_json::from_slice(&bytes).map_err(|e| {
        format!(
            "read list {}: {e}; expected [{{\"containerID\":\"..\",\"ifname\":\"eth0\"}}]",
            path.display()
        )
    })?;
    Ok(SandboxList::File(listed))
}
