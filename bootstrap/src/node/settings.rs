//! The `node.json` that counts on this node, and the directory of the runtime's confs.
//!
//! The first of /etc/crossfade, /run/crossfade and /usr/lib/crossfade that has the file wins as a whole, so that user data can
//! overrule an image and an administrator both. An invalid file never falls through to the next; an absent one is all defaults.

use convergence::node::settings::{InvalidSettings, Settings};

pub(crate) mod directories;
pub(crate) mod mode;
pub(crate) mod profiles;

use std::collections::BTreeSet;
use std::path::Path;

use shim::host::file::read_bounded;
use shim::host::trust;
use types::json::raw::RawObject;
use types::node::Node;

use crate::host::root::Root;
use convergence::failure::Failure;
use convergence::node::paths::NODE_FILE;

/// Largest node.json, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// What a node.json that cannot be used says all the same, by the keys that are valid by themselves, and the names of the other keys.
/// `None` if the file is not JSON or of another version, or if other users could write it.
pub(super) fn salvage(path: &Path) -> Option<(Node, BTreeSet<String>)> {
    let mut file = trust::open(path).ok()?;
    let object = RawObject::parse(&read_bounded(&mut file, MAX_BYTES).ok()?).ok()?;
    // The keys of another version may mean something else.
    let mut sound = RawObject::default();
    sound.set("version", object.get("version")?.to_owned());
    Node::parse(sound.to_raw().get().as_bytes()).ok()?;
    let mut lost = BTreeSet::new();
    for (key, value) in object.pairs().filter(|(key, _)| *key != "version") {
        let mut with = sound.clone();
        with.set(key, value.to_owned());
        match Node::parse(with.to_raw().get().as_bytes()) {
            Ok(_) => sound = with,
            Err(_) => drop(lost.insert(key.to_owned())),
        }
    }
    Some((Node::parse(sound.to_raw().get().as_bytes()).ok()?, lost))
}

/// Reads the node.json that counts below `root`; an absent one is the default.
///
/// # Errors
/// One line that names the file, and the key, what was expected and the remedy.
pub(crate) fn load(root: &Root) -> Result<Node, String> {
    root.settings_file(NODE_FILE).map_or_else(|| Ok(Node::default()), |path| read(&path))
}

/// Reads the node.json at `path`.
///
/// # Errors
/// As [`load`].
pub(crate) fn read(path: &Path) -> Result<Node, String> {
    let in_file = |why: String| format!("{}: {why}", path.display());
    let mut file = trust::open(path).map_err(|why| format!("{NODE_FILE}: {why}"))?;
    let bytes = read_bounded(&mut file, MAX_BYTES).map_err(|e| in_file(e.to_string()))?;
    Node::parse(&bytes).map_err(in_file)
}

/// node.json for a command that would act on it.
///
/// # Errors
/// Bad settings: nothing is put in the place of a file that cannot be used.
pub(crate) fn require(root: &Root) -> Result<Settings, Failure> {
    let file = root.settings_file(NODE_FILE);
    let node = load(root).map_err(Failure::settings)?;
    Ok(Settings { node, file, unusable: None })
}

/// node.json for a command that keeps running: if the file cannot be used, what was in force before stays in force.
#[must_use]
pub(crate) fn reload(root: &Root, last: &Settings) -> Settings {
    let file = root.settings_file(NODE_FILE);
    match load(root) {
        Ok(node) => Settings { node, file, unusable: None },
        Err(why) => {
            let first_failure = || InvalidSettings {
                why: String::new(),
                mode_by: "it was in this mode before",
                unusable_keys: Some(BTreeSet::new()),
            };
            let before = last.unusable.clone().unwrap_or_else(first_failure);
            Settings { node: last.node.clone(), file, unusable: Some(InvalidSettings { why, ..before }) }
        }
    }
}
