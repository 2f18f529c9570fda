//! The runtime's conf directory, as runtimes read it.
//!
//! *Source*: `libcni/conf.go` (`ConfFiles`) and the CNI libraries of containerd and CRI-O: the files whose extension is `.conf`, `.conflist` or
//! `.json`, hidden ones included, sorted byte-wise; the first one counts. Sub-folders are not looked into, but a folder that is called
//! like a network adds plugins to it.

use convergence::node::conf::confdir::{ConfDir, ConfFile, Content, is_conf_name};

use std::io;
use std::path::{Path, PathBuf};

use shim::attachment::conflist::MAX_BYTES;
use shim::host::file::read_regular;

/// Reads the directory; an absent one is empty. `real` tells to which path a file of it leads, `taken_away` by a file's name whether an agent renamed a
/// conf to it.
///
/// # Errors
/// Any I/O error of listing it.
pub(crate) fn read(
    path: &Path,
    real: impl Fn(&Path) -> PathBuf,
    taken_away: impl Fn(&str) -> bool,
) -> io::Result<ConfDir> {
    let mut conf_dir = ConfDir { path: path.into(), ..ConfDir::default() };
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(conf_dir),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let path = real(&entry.path());
        if path.is_dir() {
            conf_dir.folders.push(file);
        } else if taken_away(&file) {
            conf_dir.taken_away.push(file);
        } else if is_conf_name(&file) {
            conf_dir.confs.push(ConfFile { content: read_content(&file, &path), file });
        }
    }
    conf_dir.confs.sort_by(|a, b| a.file.as_bytes().cmp(b.file.as_bytes()));
    conf_dir.folders.sort();
    conf_dir.taken_away.sort();
    Ok(conf_dir)
}

/// Reads a conf at a path that may be the end of a link called `file`.
pub(crate) fn read_content(file: &str, path: &Path) -> Result<Content, String> {
    let bytes = read_regular(path, MAX_BYTES).map_err(|e| e.to_string())?;
    Content::parse_file(file, &bytes)
}
