//! The CNI files that give pods their network: the confs, the networks and the plugins that lie in the directories of a node's runtime.

use crate::host::root::Root;
use convergence::node::cni::CniFacts;

use std::path::{Path, PathBuf};

use shim::node::layout::PACKAGED_PLUGIN;

use crate::node::conf::root_path;
use crate::node::networks;
use crate::node::plugins;
use crate::node::plugins::bin_dirs::BinDirSources;
use convergence::node::facts::NodeFacts;

/// What the command line says of the plugin.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PluginChoice<'a> {
    /// Directories of plugins that the command line names.
    pub bin_dirs: &'a [PathBuf],
    /// The path of the plugin to install, as this process finds it; the package's where the command line names none.
    pub plugin: Option<&'a Path>,
}

/// Gathers every fact; nothing on the node changes.
#[must_use]
pub(crate) fn gather(node: &NodeFacts, choice: PluginChoice<'_>) -> CniFacts {
    let NodeFacts { root, settings, runtime, dirs, profiles, .. } = node;
    let root = &Root::new(root);
    let sources = BinDirSources {
        flags: choice.bin_dirs,
        runtime: runtime.answer.setup(),
        node: settings,
        config: runtime.config(),
    };
    let bin_dirs = sources.search(root);
    CniFacts {
        confs: root_path::conf_dir(root, &dirs.conf_dir, profiles)
            .map_err(|e| format!("conf dir {}: {e}", dirs.conf_dir.display())),
        networks: node.policy().map_or_else(Vec::new, |policy| networks::load_all(root, policy, &bin_dirs)),
        plugins: match choice.plugin {
            Some(plugin) => plugins::gather(plugin, &bin_dirs),
            None => plugins::gather(&root.join(PACKAGED_PLUGIN), &bin_dirs),
        },
    }
}
