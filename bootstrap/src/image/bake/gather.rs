//! The facts of `bake`: the tree, and the files on its command line.

use std::fs::File;
use std::path::{Path, PathBuf};

use convergence::failure::Failure;
use convergence::image::bake::facts::BakeFacts;
use convergence::node::facts::NodeFacts;
use convergence::node::paths::{DISABLED, NODE_FILE, RELEASE};
use convergence::node::settings::Settings;
use convergence::runtime::facts::RuntimeFacts;
use shim::host::file::read_bounded;
use shim::node::layout::{POLICY_FILE, SETTINGS_DIRS};
use types::node::Node;
use types::policy::MAX_BYTES;

use crate::cli::{Bake, Global};
use crate::host::root::Root;
use crate::node::facts::{ConfDirChoice, NodeQuery};

/// The tree, by the node.json that is baked. One that is not valid is refused when it is decided, and nothing is read for it.
fn tree(global: &Global, node: Option<&[u8]>) -> NodeFacts {
    let root = Root::new(&global.root);
    let (node, runtime) = match node.map(Node::parse) {
        None => (Node::default(), crate::runtime::facts::gather_configured(&root, &Node::default())),
        Some(Ok(node)) => (node.clone(), crate::runtime::facts::gather_configured(&root, &node)),
        Some(Err(_)) => (Node::default(), RuntimeFacts::default()),
    };
    let settings = Settings { node, ..Settings::default() };
    crate::node::facts::gather(NodeQuery { global, settings, runtime, conf_dir: ConfDirChoice::OfAgents })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if !path.exists() {
        let path = path.display();
        return Err(Failure::usage(format!("{path}: there is no such file"))
            .with_place(path)
            .fix("name a file that is there"));
    }
    File::open(path)
        .and_then(|mut file| read_bounded(&mut file, MAX_BYTES))
        .map_err(|e| Failure::settings(format!("read {}: {e}", path.display())).with_place(path.display()))
}

/// Looks; nothing is changed.
///
/// # Errors
/// A file that was given cannot be read.
pub(super) fn gather(global: &Global, args: &Bake) -> Result<BakeFacts, Failure> {
    let policy = args.from_policy.as_deref().map(read).transpose()?;
    let node = args.from_node.as_deref().map(read).transpose()?;
    let tree = tree(global, node.as_deref());
    let root = Root::new(&tree.root);
    let there = |path: &PathBuf| path.symlink_metadata().is_ok();
    let places = [POLICY_FILE, NODE_FILE].map(|file| root.entry(Path::new(SETTINGS_DIRS[0]).join(file)));
    let release = root.join(RELEASE);
    Ok(BakeFacts {
        release: release.exists().then(|| read(&release)).transpose()?,
        conf_dir: match tree.runtime.problem() {
            None => Ok(tree.runtime.agents_dir().to_path_buf()),
            Some(why) => Err(why.clone()),
        },
        policy,
        node,
        hiding: places.into_iter().filter(there).collect(),
        is_off: there(&root.entry(DISABLED)),
        profiles: tree.profiles,
    })
}
