//! The reader of confs below a root: no link in them leads out of it.

use std::io;
use std::path::{Path, PathBuf};

use shim::attachment::conflist::{Conflist, LoadError};
use types::profile::Profiles;

use crate::host::root::Root;
use crate::node::conf::confdir;
use convergence::node::conf::confdir::ConfDir;

/// Reads the conf directory at `path`, which has the root before it.
///
/// # Errors
/// As [`ConfDir::read`].
pub(crate) fn conf_dir(root: &Root, path: &Path, profiles: &Profiles) -> io::Result<ConfDir> {
    confdir::read(path, |path| root.resolve_inside(path), |file| profiles.taken_away(file))
}

/// Loads a network's conf and says where it is: the first of `confs` that exists, with the plugins of a folder beside it. The policy
/// names `confs`, as the node sees them or with the root before them.
///
/// # Errors
/// As [`Conflist::load`]; and where a link would lead out of the root.
pub(crate) fn conf(root: &Root, confs: &[PathBuf]) -> Result<(Conflist, PathBuf), LoadError> {
    let places: Vec<PathBuf> = confs.iter().map(|conf| root.join_or_resolve(conf)).collect();
    for place in places.iter().filter(|place| place.is_file()) {
        // The library that loads the conf also reads the folder, and knows no root.
        let folders = place.parent().map_or(Ok(()), |dir| holds_folders(root, dir));
        folders.map_err(|why| LoadError::Unreadable(place.clone(), why))?;
    }
    Conflist::load(&places).map(|(conf, path)| (conf, path.to_path_buf()))
}

fn holds_folders(root: &Root, dir: &Path) -> Result<(), String> {
    if root.is_node() {
        return Ok(());
    }
    for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_symlink() && (path.is_dir() || root.resolve_inside(&path).is_dir()) {
            root.agrees(&path)?;
        } else if path.is_dir() && !path.is_symlink() {
            root.check_links(&path)?;
        }
    }
    Ok(())
}
