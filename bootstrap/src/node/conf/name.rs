//! The name of Crossfade's network on a node: written once, and never changed afterwards.

use std::path::Path;

use shim::host::file::read_bounded;
use shim::host::trust;

/// Longest name file, in bytes.
const MAX_NAME_BYTES: usize = 4096;

/// The name of Crossfade's network from its file; `None` if there is no file.
///
/// # Errors
/// When the file cannot be read or is not trusted.
pub(crate) fn read(path: &Path) -> Result<Option<String>, String> {
    let mut file = match trust::open(path) {
        Ok(file) => file,
        Err(why) if why.is_absent() => return Ok(None),
        Err(why) => return Err(format!("name file: {why}")),
    };
    let bytes =
        read_bounded(&mut file, MAX_NAME_BYTES).map_err(|e| format!("name file {}: {e}", path.display()))?;
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}
