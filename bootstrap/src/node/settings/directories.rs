//! The directories that a command works on.
//!
//! A flag outranks what Crossfade's installed conf names, and that conf outranks the defaults. So `policy set` on a node and the plugin
//! there always mean the same policy.

use convergence::node::settings::directories::{Directories, InstalledConf, OwnConfFile};

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use shim::host::file::read_bounded;
use shim::host::trust;
use shim::node::layout::{CONF_DIR, CONF_FILE, Layout, POLICY_FILE, SETTINGS_DIRS};
use types::command::problem::Problem;
use types::node::Node;

use crate::cli::Global;
use crate::host::root::Root;
use convergence::node::settings;

/// Largest conf of Crossfade that this program reads, in bytes.
const MAX_CONF_BYTES: usize = 1 << 20;

/// Directories, with those that the command line names in their places.
#[must_use]
pub(crate) fn with_flags(global: &Global, mut layout: Layout) -> Layout {
    if let Some(dir) = &global.state_dir {
        layout.state_dir.clone_from(dir);
    }
    if let Some(dir) = &global.run_dir {
        layout.run_dir.clone_from(dir);
    }
    if global.policy.is_some() {
        layout.policy.clone_from(&global.policy);
    }
    layout
}

/// The directories that a conf in a tree names; `watch`, run on a tree, writes them with the root before them.
fn rooted_layout(root: &Root, named: &Layout) -> Layout {
    let rooted = |path: &PathBuf| root.join_or_resolve(path);
    Layout {
        state_dir: rooted(&named.state_dir),
        run_dir: rooted(&named.run_dir),
        // Without a name it is the first of the tree's usual places, and not of this machine's.
        policy: named.policy.as_ref().map(rooted).or_else(|| default_layout(root).policy),
    }
}

/// The usual directories of a node, or of a tree that is inspected instead.
fn default_layout(root: &Root) -> Layout {
    let usual = Layout::default();
    if root.is_node() {
        return usual;
    }
    let policy = root.settings_file(POLICY_FILE);
    Layout {
        state_dir: root.join(&usual.state_dir),
        run_dir: root.join(&usual.run_dir),
        policy: Some(policy.unwrap_or_else(|| root.join(Path::new(SETTINGS_DIRS[0]).join(POLICY_FILE)))),
    }
}

/// The policy that counts: the one that is named, else the first of the usual places that has one.
fn policy_file(root: &Root, named: &Layout) -> PathBuf {
    let usual =
        || root.settings_file(POLICY_FILE).unwrap_or_else(|| root.join(SETTINGS_DIRS[0]).join(POLICY_FILE));
    named.policy.as_ref().map_or_else(usual, |policy| root.join(policy))
}

/// A layout of the node, with the root before its directories.
fn layout_below(root: &Root, layout: &Layout) -> Layout {
    Layout { policy: Some(policy_file(root, layout)), ..root.layout(layout) }
}

/// Puts flags, installed conf, node.json and defaults together: `agents_dir` is the directory that the runtime reads without Crossfade,
/// where that is known, `before` what Crossfade's conf said when it was last there.
#[must_use]
pub(crate) fn resolve(
    global: &Global,
    node: &Node,
    agents_dir: Option<&Path>,
    before: Option<&InstalledConf>,
) -> Directories {
    let root = Root::new(&global.root);
    let conf_dir = if global.conf_dir == Path::new(CONF_DIR) {
        root.join(settings::conf_dir(node, agents_dir.map(Path::to_path_buf)))
    } else {
        global.conf_dir.clone()
    };
    let installed = read(&root.resolve_inside(&conf_dir.join(CONF_FILE)));
    let basis = installed.conf().or(before);
    let layout = basis.map_or_else(|| default_layout(&root), |conf| rooted_layout(&root, &conf.layout));
    let layout = with_flags(global, layout);
    Directories { conf_dir, layout_on_node: layout.clone(), layout, installed }
}

/// The directories of a tree as its own node will see them, by the conf in `agents_dir`; for what runs before the runtime.
#[must_use]
pub(crate) fn agent_directories(global: &Global, agents_dir: &Path) -> Directories {
    let root = Root::new(&global.root);
    let conf_dir = root.join(agents_dir);
    let installed = read(&root.resolve_inside(&conf_dir.join(CONF_FILE)));
    let layout_on_node = installed.conf().map_or_else(Layout::default, |conf| conf.layout.clone());
    let layout_on_node = with_flags(global, layout_on_node);
    Directories { conf_dir, layout: layout_below(&root, &layout_on_node), layout_on_node, installed }
}

/// Reads the file in the place of Crossfade's conf. One that is not trusted, not readable, or no valid conf is a problem about the file, with
/// the next step.
pub(crate) fn read(path: &Path) -> OwnConfFile {
    try_read(path).unwrap_or_else(|why| {
        let what = format!("Crossfade's conf {}: {why}", path.display());
        let problem = Problem::new(what).with_place(path.display().to_string());
        OwnConfFile::Unreadable(problem.fix("run install to write it anew"))
    })
}

fn try_read(path: &Path) -> Result<OwnConfFile, String> {
    let mut file = match trust::open(path) {
        Ok(file) => file,
        Err(why) if why.is_absent() => return Ok(OwnConfFile::Absent),
        Err(why) => return Err(why.to_string()),
    };
    let bytes = read_bounded(&mut file, MAX_CONF_BYTES).map_err(|e| e.to_string())?;
    let mode = file.metadata().map_err(|e| e.to_string())?.mode() & 0o7777;
    OwnConfFile::parse(bytes, mode)
}
