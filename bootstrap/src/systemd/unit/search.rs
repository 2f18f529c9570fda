//! systemd's search for a unit and its drop-ins, below a root.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::host::root::Root;
use convergence::node::paths::PACKAGED;

/// Where the system manager looks, first come first.
///
/// *Source*: man 5 `systemd.unit`, "System Unit Search Path".
pub(super) const SEARCH_PATH: [&str; 13] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
];
/// A unit or drop-in that leads there is masked.
const NULL: &str = "/dev/null";

/// The files of a unit, as the node sees them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) fragment: PathBuf,
    /// Its drop-ins in the order in which they are applied; masked ones are left out.
    pub(super) drop_ins: Vec<PathBuf>,
}

/// Of which boot a unit is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// Of this one: as systemd has it now.
    This,
    /// Of the next one, before which /run is emptied: a mask of Crossfade's drop-in there does not count. The package makes such masks where
    /// it is installed while kubelet runs.
    Next,
}

/// Where the package masks Crossfade's drop-ins until the next boot.
const MASKS: &str = "/run/systemd/system";

/// The mask of Crossfade's drop-in of a unit, where there is one until the next boot.
#[must_use]
pub(crate) fn mask(root: &Root, unit: &str) -> Option<PathBuf> {
    let path = Path::new(MASKS).join(format!("{unit}.d")).join(PACKAGED);
    fs::read_link(root.join(&path)).ok().filter(|target| target == Path::new(NULL)).map(|_| path)
}

/// Finds a unit; none where it is absent or masked. Drop-ins of the name `left_out` are passed over.
pub(super) fn find(root: &Root, name: &str, left_out: &str, boot: Boot) -> Option<Files> {
    let directories = directories(root);
    let place = directories
        .iter()
        .map(|dir| dir.join(name))
        .find(|place| root.entry(place).symlink_metadata().is_ok())?;
    let fragment = root.chase(&place)?;
    if is_masked(root, &fragment) {
        return None;
    }
    let mut names = vec![name.to_owned()];
    names.extend(aliases(root, &directories, name, &fragment));
    let masks = names.iter().filter(|_| boot == Boot::Next).filter_map(|name| mask(root, name));
    let masks: Vec<PathBuf> = masks.collect();
    let mut files: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for dir in drop_in_dirs(&directories, &names) {
        let Ok(entries) = fs::read_dir(root.join(&dir)) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".")
                || Path::new(&name).extension() != Some(OsStr::new("conf"))
            {
                continue;
            }
            let path = dir.join(&name);
            if !masks.contains(&path) {
                files.entry(name).or_insert(path);
            }
        }
    }
    files.remove(OsStr::new(left_out));
    let drop_ins = files.into_values().filter(|path| {
        root.chase(path).is_some_and(|real| !is_masked(root, &real) && root.join(real).is_file())
    });
    Some(Files { fragment: place, drop_ins: drop_ins.collect() })
}

/// [`SEARCH_PATH`] without directories that are another by a link, as /lib is /usr/lib today.
pub(super) fn directories(root: &Root) -> Vec<PathBuf> {
    let mut names = BTreeSet::new();
    let all = SEARCH_PATH.iter().map(PathBuf::from);
    all.filter(|dir| root.chase(dir).is_some_and(|real| names.insert(real))).collect()
}

/// The directories of drop-ins: per name and place those of the name itself, then those of its prefixes (`a-b-c.service.d`,
/// `a-b-.service.d`, `a-.service.d`); at last those of every service.
///
/// *Source*: man 5 `systemd.unit`, on `foo-.service.d` and `service.d`.
fn drop_in_dirs(directories: &[PathBuf], names: &[String]) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    for name in names {
        let stem = name.strip_suffix(".service").unwrap_or(name);
        for dir in directories {
            dirs.push(dir.join(format!("{name}.d")));
            let mut prefix = stem.trim_end_matches('-');
            while let Some(dash) = prefix.rfind('-').filter(|dash| *dash > 0) {
                dirs.push(dir.join(format!("{}-.service.d", &prefix[..dash])));
                prefix = &prefix[..dash];
            }
        }
    }
    dirs.extend(directories.iter().map(|dir| dir.join("service.d")));
    dirs
}

/// The unit's other names: that of the file which its link leads to, and the links that lead to it.
fn aliases(root: &Root, directories: &[PathBuf], name: &str, fragment: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let target = fragment.file_name().and_then(OsStr::to_str).unwrap_or(name).to_owned();
    for dir in directories {
        for entry in fs::read_dir(root.join(dir)).into_iter().flatten().flatten() {
            let Ok(other) = entry.file_name().into_string() else {
                continue;
            };
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !is_link || !other.ends_with(".service") || other == name {
                continue;
            }
            let leads_to = fs::read_link(entry.path()).ok();
            let leads_to = leads_to.as_deref().and_then(Path::file_name).and_then(OsStr::to_str);
            if leads_to == Some(name) || leads_to == Some(target.as_str()) {
                names.insert(other);
            }
        }
    }
    if target != name {
        names.insert(target);
    }
    names
}

/// Whether a unit's file says that the unit is masked: it is /dev/null, or empty.
pub(super) fn is_masked(root: &Root, real: &Path) -> bool {
    real == Path::new(NULL) || root.join(real).metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0)
}
