//! The container runtime: its sandboxes, its configuration and the confs that it uses.

use convergence::runtime::SandboxList;

pub mod answer;
pub mod cache;
pub mod conf_reading;
pub mod conf_removal;
pub mod config;
pub mod cri;
pub mod endpoint;
pub mod facts;
pub mod running_adds;

use std::path::Path;

use shim::host::file::read_bounded;

/// Largest list that is read from a file, in bytes.
const MAX_LIST_BYTES: usize = 256 << 20;

/// Reads a JSON list of [`ListedAttachment`].
///
/// # Errors
/// One line that names the file.
pub fn read_list(path: &Path) -> Result<SandboxList, String> {
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
