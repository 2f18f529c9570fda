//! The facts of `bake`.

use std::path::PathBuf;
use std::sync::Arc;

use types::command::problem::Problem;
use types::profile::Profiles;

#[derive(Debug)]
pub struct BakeFacts {
    /// The directory that the tree's runtime reads confs from, as the node will see it; the usual one where there is no runtime yet.
    pub conf_dir: Result<PathBuf, Problem>,
    /// A policy that was given whole.
    pub policy: Option<Vec<u8>>,
    /// A node.json that was given whole.
    pub node: Option<Vec<u8>>,
    /// The release that is in the tree, as the package names it.
    pub release: Option<Vec<u8>>,
    /// Settings that count before those that are baked.
    pub hiding: Vec<PathBuf>,
    /// The off switch is in the tree.
    pub is_off: bool,
    /// The profiles that count in the tree.
    pub profiles: Arc<Profiles>,
}
