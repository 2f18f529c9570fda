//! The CNI files that give pods their network: the confs, the networks and the plugins that lie in the directories of a node's runtime.

use std::path::{Path, PathBuf};

use shim::layout::PACKAGED_PLUGIN;

use crate::node::conf::confdir::ConfDir;
use crate::node::conf::rooted;
use crate::node::facts::NodeFacts;
use crate::node::networks::NetworkConf;
use crate::node::plugins::bin_dirs::BinDirSources;
use crate::node::plugins::packaged_plugin::Plugins;

/// The CNI files of a node. Only the runtime's configuration or its answer names their directories, so a command that gathers these facts
/// gathers one of the two first.
#[derive(Debug)]
pub struct CniFacts {
    /// The confs in the conf directory, or why they cannot be listed.
    pub confs: Result<ConfDir, String>,
    /// The policy's networks; none where it cannot be used.
    pub networks: Vec<NetworkConf>,
    /// Crossfade's plugin, and the directories in which the runtime looks for it.
    pub plugins: Plugins,
}

/// What the command line says of the plugin.
#[derive(Debug, Clone, Copy, Default)]
pub struct PluginChoice<'a> {
    /// Directories of plugins that the command line names.
    pub bin_dirs: &'a [PathBuf],
    /// The path of the plugin to install, as this process finds it; the package's where the command line names none.
    pub plugin: Option<&'a Path>,
}

impl CniFacts {
    /// Gathers every fact; nothing on the node changes.
    #[must_use]
    pub fn gather(node: &NodeFacts, choice: PluginChoice<'_>) -> Self {
        let NodeFacts { root, settings, runtime, dirs, .. } = node;
        let sources = BinDirSources {
            flags: choice.bin_dirs,
            runtime: runtime.answer.setup(),
            node: settings,
            config: runtime.config(),
        };
        let bin_dirs = sources.search(root);
        Self {
            confs: rooted::conf_dir(root, &dirs.conf_dir)
                .map_err(|e| format!("conf dir {}: {e}", dirs.conf_dir.display())),
            networks: node
                .policy()
                .map_or_else(Vec::new, |policy| NetworkConf::load_all(root, policy, &bin_dirs)),
            plugins: match choice.plugin {
                Some(plugin) => Plugins::gather(plugin, &bin_dirs),
                None => Plugins::gather(&root.at(PACKAGED_PLUGIN), &bin_dirs),
            },
        }
    }
}
