//! The `node.json` that counts on this node, and the directory of the runtime's confs.
//!
//! The first of /etc/crossfade, /run/crossfade and /usr/lib/crossfade that has the file wins as a whole, so that user data can
//! overrule an image and an administrator both. An invalid file never falls through to the next; an absent one is all defaults.

pub mod directories;

use std::collections::BTreeSet;
use std::path::PathBuf;

use shim::node::layout::CONF_DIR;
use types::command::problem::Problem;
use types::node::{Mode, Node};

use crate::node::paths::PRIVATE_CONF_DIR;

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
    pub unusable_keys: Option<BTreeSet<String>>,
}

impl Settings {
    /// Whether what `node` says by this key of node.json is what the administrator said. If the file cannot be used, the other keys that are
    /// valid by themselves still count.
    #[must_use]
    pub fn understands(&self, key: &str) -> bool {
        match &self.unusable {
            None => true,
            Some(unusable) => unusable.unusable_keys.as_ref().is_some_and(|lost| !lost.contains(key)),
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
                .with_place(file.display().to_string())
                .fix("say private or shared there if that is not meant"),
        )
    }
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
