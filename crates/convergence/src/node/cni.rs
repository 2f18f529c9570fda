//! The CNI files that give pods their network: the confs, the networks and the plugins that lie in the directories of a node's runtime.

use crate::node::conf::confdir::ConfDir;
use crate::node::networks::NetworkConf;
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
