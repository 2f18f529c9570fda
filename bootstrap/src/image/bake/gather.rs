//! What `bake` finds in the tree, and the files that it is given.

use std::fs::File;
use std::path::{Path, PathBuf};

use shim::file::read_bounded;
use shim::layout::{POLICY_FILE, SETTINGS_DIRS};
use types::node::Node;
use types::policy::MAX_BYTES;
use types::problem::Problem;

use crate::cli::Bake;
use crate::cli::exit::Failure;
use crate::node::paths::{DISABLED, NODE_FILE, Root};
use crate::runtime::config::{RuntimeConfig, agents_dir};

/// What was found.
#[derive(Debug)]
pub(super) struct BakeFacts {
    /// The directory that the tree's runtime reads confs from, as the node will see it; the usual one where there is no runtime yet.
    pub(super) conf_dir: Result<PathBuf, Problem>,
    /// A policy that was given whole.
    pub(super) policy: Option<Vec<u8>>,
    /// A node.json that was given whole.
    pub(super) node: Option<Vec<u8>>,
    /// Settings that count before those that are baked.
    pub(super) hiding: Vec<PathBuf>,
    /// The off switch is in the tree.
    pub(super) is_off: bool,
}

impl BakeFacts {
    /// Looks; nothing is changed.
    ///
    /// # Errors
    /// A file that was given cannot be read.
    pub(super) fn gather(root: &Root, wanted: &Bake) -> Result<Self, Failure> {
        let policy = wanted.from_policy.as_deref().map(read).transpose()?;
        let node = wanted.from_node.as_deref().map(read).transpose()?;
        // It may name the runtime; whether it is valid is decided later.
        let settings = node.as_deref().and_then(|bytes| Node::parse(bytes).ok()).unwrap_or_default();
        let there = |path: &PathBuf| path.symlink_metadata().is_ok();
        let places = [POLICY_FILE, NODE_FILE].map(|file| root.entry(Path::new(SETTINGS_DIRS[0]).join(file)));
        Ok(Self {
            conf_dir: RuntimeConfig::gather(root, &settings)
                .map(|config| agents_dir(config.as_ref()).to_path_buf()),
            policy,
            node,
            hiding: places.into_iter().filter(there).collect(),
            is_off: there(&root.entry(DISABLED)),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if !path.exists() {
        let path = path.display();
        return Err(Failure::usage(format!("{path}: there is no such file"))
            .at(path)
            .fix("name a file that is there"));
    }
    File::open(path)
        .and_then(|mut file| read_bounded(&mut file, MAX_BYTES))
        .map_err(|e| Failure::settings(format!("read {}: {e}", path.display())).at(path.display()))
}
