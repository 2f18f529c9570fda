//! The exceptions: files that may stay in an image.

use std::path::{Path, PathBuf};

use convergence::failure::Failure;
use convergence::image::seal::allow::Allow;
use shim::host::file::read_bounded;
use shim::host::trust;
use shim::node::layout::SETTINGS_DIRS;
use types::command::exit::Exit;

use crate::host::root::Root;

/// The list that an image brings, beside its settings.
const LIST: &str = "seal.allow";
/// The largest list, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// A list's text; who could write it decides what stays in an image, so that it is root's alone.
fn read(file: &Path) -> Result<String, Failure> {
    let settings = |why: String| Failure::settings(format!("read what may stay: {why}"));
    let mut opened = trust::open(file).map_err(|why| settings(why.to_string()))?;
    let named = |why: String| settings(format!("{}: {why}", file.display()));
    let bytes = read_bounded(&mut opened, MAX_BYTES).map_err(|error| named(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| named("it is not UTF-8".into()))
}

/// Everything that may stay: what the command line names, the lists that it names, and those that the image brings.
///
/// # Errors
/// Usage, where the command line names what is no path; bad settings, where a list cannot be read, is not trusted, or is wrong.
pub(crate) fn gather(root: &Root, paths: &[String], files: &[PathBuf]) -> Result<Allow, Failure> {
    let mut allow = Allow::default();
    for path in paths {
        allow.add(path, "--allow").map_err(|why| Failure::new(Exit::Usage, why))?;
    }
    let mut lists: Vec<(PathBuf, String)> = Vec::new();
    if let Some(file) = files.iter().find(|file| !file.exists()) {
        return Err(Failure::usage(format!("--allow-file {}: there is no such file", file.display())));
    }
    for file in files {
        let full = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        lists.push((full, file.display().to_string()));
    }
    for dir in [SETTINGS_DIRS[2], SETTINGS_DIRS[0]] {
        let path = Path::new(dir).join(LIST);
        if root.entry(&path).symlink_metadata().is_ok() {
            lists.push((root.join(&path), path.display().to_string()));
        }
    }
    for (file, from) in lists {
        allow.add_lines(&read(&file)?, &from).map_err(Failure::settings)?;
    }
    Ok(allow)
}
