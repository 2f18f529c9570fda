//! Which `node.json` counts on this node, and where its runtime reads confs.
//!
//! The first of /etc/crossfade, /run/crossfade and /usr/lib/crossfade that has the file wins as a whole, so that user data can
//! overrule an image and an administrator both. An invalid file never falls through to the next; an absent one is all defaults.

use std::path::{Path, PathBuf};

use shim::file::read_bounded;
use shim::layout::CONF_DIR;
use shim::trust;
use types::node::{Mode, Node};
use types::problem::Problem;

use crate::node::paths::{NODE_FILE, PRIVATE_CONF_DIR, Root};

/// Largest node.json, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Why a command that needs Crossfade's plugin does not apply here: node.json says that the node has none. A node.json that cannot be read
/// gives `None`.
#[must_use]
pub fn without_plugin(root: &Root) -> Option<Problem> {
    let node = load(root).ok().filter(|node| node.conf_dir == Mode::Without)?;
    let file = root.settings_file(NODE_FILE).unwrap_or_default();
    let what = format!(
        "{} says confDir {}: this is a node of a final image, whose pods get the agents' network without Crossfade's plugin and policy",
        file.display(),
        node.conf_dir.as_str()
    );
    Some(
        Problem::new(what)
            .at(file.display().to_string())
            .fix("say private or shared there if that is not meant"),
    )
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
    let named = |why: String| format!("{}: {why}", path.display());
    let mut file = trust::open(path).map_err(|why| format!("{NODE_FILE}: {why}"))?;
    let bytes = read_bounded(&mut file, MAX_BYTES).map_err(|e| named(e.to_string()))?;
    Node::parse(&bytes).map_err(named)
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
