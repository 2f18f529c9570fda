//! The content of Crossfade's own conf, and the name of its network.

pub(crate) mod confdir;
pub(crate) mod foreign;
pub(crate) mod root_path;

use std::path::{Path, PathBuf};

use shim::host::file::read_bounded;
use shim::host::trust;
use shim::node::layout::CONF_FILE;

use crate::host::root::Root;

/// The path of Crossfade's conf in a directory, if the file there is Crossfade's. Another owner's file of that name is
/// none; only a `watch` that runs puts Crossfade's conf back over it.
#[must_use]
pub(crate) fn our_conf(root: &Root, dir: &Path) -> Option<PathBuf> {
    // No agent can have renamed what bears this name.
    let conf_dir = confdir::read(dir, |path| root.resolve_inside(path), |_| false).ok()?;
    let conf = conf_dir.confs.iter().find(|conf| conf.file == CONF_FILE)?;
    conf.content
        .as_ref()
        .is_ok_and(convergence::node::conf::confdir::Content::is_ours)
        .then(|| dir.join(CONF_FILE))
}

/// Longest name file, in bytes.
const MAX_NAME_BYTES: usize = 4096;

/// The name of Crossfade's network from its file, which is written once and never changed afterwards; `None` if there is no file.
///
/// # Errors
/// When the file cannot be read or is not trusted.
pub(crate) fn read_name(path: &Path) -> Result<Option<String>, String> {
    let mut file = match trust::open(path) {
        Ok(file) => file,
        Err(why) if why.is_absent() => return Ok(None),
        Err(why) => return Err(format!("name file: {why}")),
    };
    let bytes =
        read_bounded(&mut file, MAX_NAME_BYTES).map_err(|e| format!("name file {}: {e}", path.display()))?;
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_list_that_no_runtime_takes_is_not_our_conf() {
        let dir = tempfile::tempdir().expect("scratch");
        for (text, is_ours) in [
            (r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"crossfade"}]}"#, true),
            (r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"}]}"#, false),
            (r#"{"cniVersion":"1.0.0","name":"n","type":"crossfade"}"#, false),
            (r#"{"cniVersion":"1.0.0","name":7,"plugins":[{"type":"crossfade"}]}"#, false),
        ] {
            fs::write(dir.path().join(CONF_FILE), text).expect("file");
            assert_eq!(our_conf(&Root::default(), dir.path()).is_some(), is_ours, "{text}");
        }
    }
}
