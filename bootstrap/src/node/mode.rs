//! Which mode a node is in when its node.json cannot be used.
//!
//! Two things must not happen. A node in private mode must not start its runtime on the agents' directory. In shared mode node.json does
//! not concern the runtime, so Crossfade must not keep the runtime from starting. So Crossfade asks every other source of the mode, in this
//! order:
//!
//! 1. the file itself, if it is JSON and names a mode: the error is in another key;
//! 2. the last boot that succeeded, which kept the mode beside its machine and boot ids;
//! 3. another node.json that the broken one hides, such as the image's below /usr/lib/crossfade;
//! 4. Crossfade's conf in the directory that the runtime reads without Crossfade: only shared mode puts the conf there.
//!
//! If no source answers, the node counts as private: somebody notices a runtime that waits, and nobody notices a pod on a wrong network.

use std::path::Path;

use shim::layout::SETTINGS_DIRS;
use shim::{file, trust};
use types::node::{Mode, Node};
use types::raw::RawObject;

use crate::node::conf::our_conf;
use crate::node::identity::Identity;
use crate::node::paths::{NODE_FILE, Root};
use crate::node::settings;
use crate::runtime::config::{RuntimeConfig, agents_dir};

/// Largest node.json that is looked into, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// The mode of a node whose node.json cannot be used, and who tells it; see the module.
#[must_use]
pub fn of_unusable(root: &Root) -> (Mode, &'static str) {
    let named = || Some((root.settings_file(NODE_FILE).and_then(|path| named(&path))?, "it names this mode"));
    let remembered = || Some((Identity::before(root)?.conf_dir?, "the last boot was in this mode"));
    let hidden = || Some((hidden(root)?, "another node.json, which it hides, names this mode"));
    let installed =
        || is_installed(root).then_some((Mode::Shared, "Crossfade's conf is in the runtime's own directory"));
    named()
        .or_else(remembered)
        .or_else(hidden)
        .or_else(installed)
        .unwrap_or((Mode::Private, "nothing tells its mode, so it counts as private"))
}

/// node.json, or, where it cannot be used, the usual settings in the mode that the node is in all the same.
#[must_use]
pub fn settings(root: &Root) -> Node {
    settings::load(root).unwrap_or_else(|_| Node { conf_dir: of_unusable(root).0, ..Node::default() })
}

/// The mode that a file names, whatever else is wrong with the file. A file that other users could write names none.
fn named(path: &Path) -> Option<Mode> {
    let mut file = trust::open(path).ok()?;
    let bytes = file::read_bounded(&mut file, MAX_BYTES).ok()?;
    let word: String = RawObject::parse(&bytes).ok()?.decode("confDir").ok()??;
    Mode::ALL.into_iter().find(|mode| mode.as_str() == word)
}

fn hidden(root: &Root) -> Option<Mode> {
    let places = SETTINGS_DIRS.iter().map(|dir| root.at(Path::new(dir).join(NODE_FILE)));
    let mut there = places.filter(|place| place.symlink_metadata().is_ok()).skip(1);
    there.find_map(|place| settings::read(&place).ok()).map(|node| node.conf_dir)
}

fn is_installed(root: &Root) -> bool {
    let config = RuntimeConfig::gather(root, &Node::default()).ok().flatten();
    our_conf(root, &root.at(agents_dir(config.as_ref()))).is_some()
}
