//! The content of Crossfade's own conf.

pub(crate) mod confdir;
pub(crate) mod foreign;
pub(crate) mod name;
pub(crate) mod root_path;

use std::path::{Path, PathBuf};

use shim::node::layout::CONF_FILE;

use crate::host::root::Root;

/// The path of Crossfade's conf in a directory, if the file there is Crossfade's. Crossfade never touches another owner's file of that
/// name.
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
