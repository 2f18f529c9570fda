//! The `node.json` that counts on this node, and the directory of the runtime's confs.
//!
//! The first of /etc/crossfade, /run/crossfade and /usr/lib/crossfade that has the file wins as a whole, so that user data can
//! overrule an image and an administrator both. An invalid file never falls through to the next; an absent one is all defaults.

pub mod directories;
pub mod mode;
pub mod profiles;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use shim::file::read_bounded;
use shim::layout::CONF_DIR;
use shim::trust;
use types::node::{Mode, Node};
use types::problem::Problem;
use types::raw::RawObject;

use crate::host::root::Root;
use convergence::failure::Failure;
use convergence::paths::{NODE_FILE, PRIVATE_CONF_DIR};

/// Largest node.json, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// node.json as it counts for a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// What node.json says; the default of every key if there is no file. If the file cannot be used, it is what counts in its place.
    pub node: Node,
    /// The file that counts; `None` if there is none.
    pub file: Option<PathBuf>,
    /// Why the file cannot be used.
    pub unusable: Option<InvalidSettings>,
}

/// A node.json that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSettings {
    /// One line that names the file, and the key, what was expected and the remedy.
    pub why: String,
    /// Who tells the mode that the node is taken to be in.
    pub mode_by: &'static str,
    /// The keys of the file that cannot be used by themselves; `None` if nothing of the file counts, because it is not JSON, of another
    /// version, or not trusted.
    pub lost: Option<BTreeSet<String>>,
}

impl Settings {
    /// node.json for a command that would act on it.
    ///
    /// # Errors
    /// Bad settings: nothing is put in the place of a file that cannot be used.
    pub fn required(root: &Root) -> Result<Self, Failure> {
        let file = root.settings_file(NODE_FILE);
        let node = load(root).map_err(Failure::settings)?;
        Ok(Self { node, file, unusable: None })
    }

    /// node.json for a command that keeps running: if the file cannot be used, what was in force before stays in force.
    #[must_use]
    pub fn reload(root: &Root, last: &Self) -> Self {
        let file = root.settings_file(NODE_FILE);
        match load(root) {
            Ok(node) => Self { node, file, unusable: None },
            Err(why) => {
                let first_failure = || InvalidSettings {
                    why: String::new(),
                    mode_by: "it was in this mode before",
                    lost: Some(BTreeSet::new()),
                };
                let before = last.unusable.clone().unwrap_or_else(first_failure);
                Self { node: last.node.clone(), file, unusable: Some(InvalidSettings { why, ..before }) }
            }
        }
    }

    /// Whether what `node` says by this key of node.json is what the administrator said. If the file cannot be used, the other keys that are
    /// valid by themselves still count.
    #[must_use]
    pub fn understands(&self, key: &str) -> bool {
        match &self.unusable {
            None => true,
            Some(unusable) => unusable.lost.as_ref().is_some_and(|lost| !lost.contains(key)),
        }
    }

    /// Why a command that needs Crossfade's plugin does not apply here: a valid node.json says that the node has none.
    #[must_use]
    pub fn without_plugin(&self) -> Option<Problem> {
        let (Mode::Without, Some(file), None) = (self.node.conf_dir, &self.file, &self.unusable) else {
            return None;
        };
        let what = format!(
            "{} says confDir {}: this is a node of a final image, whose pods get the agents' network without Crossfade's plugin and policy",
            file.display(),
            self.node.conf_dir.as_str()
        );
        Some(
            Problem::new(what)
                .at(file.display().to_string())
                .fix("say private or shared there if that is not meant"),
        )
    }
}

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
pub fn load(root: &Root) -> Result<Node, String> {
    root.settings_file(NODE_FILE).map_or_else(|| Ok(Node::default()), |path| read(&path))
}

/// Reads the node.json at `path`.
///
/// # Errors
/// As [`load`].
pub fn read(path: &Path) -> Result<Node, String> {
    let in_file = |why: String| format!("{}: {why}", path.display());
    let mut file = trust::open(path).map_err(|why| format!("{NODE_FILE}: {why}"))?;
    let bytes = read_bounded(&mut file, MAX_BYTES).map_err(|e| in_file(e.to_string()))?;
    Node::parse(&bytes).map_err(in_file)
}

/// The directory in which the runtime is to find Crossfade's conf: the private one, or in shared mode the runtime's own (`usual`, with a
/// default). On a node without the plugin it is the directory in which an earlier conf may still lie.
#[must_use]
pub fn conf_dir(node: &Node, usual: Option<PathBuf>) -> PathBuf {
    match node.conf_dir {
        Mode::Private => PRIVATE_CONF_DIR.into(),
        Mode::Shared | Mode::Without => usual.unwrap_or_else(|| CONF_DIR.into()),
    }
}
