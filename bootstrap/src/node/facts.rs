//! A node as a command finds it: gathered once, before anything is decided or touched.
//!
//! Every command that decides something about a node gathers these facts and adds what only it needs. What cannot be read is a fact,
//! too: the field holds the reason, in words that name the file.

use std::path::{Path, PathBuf};

use shim::layout::PACKAGED_PLUGIN;
use types::node::Node;
use types::policy::Policy;

use crate::cli::{self, Global};
use crate::node::bin_dirs::BinDirSources;
use crate::node::confdir::ConfDir;
use crate::node::directories::{Directories, Installed};
use crate::node::networks::NetworkConf;
use crate::node::packaged_plugin::Plugins;
use crate::node::paths::{NODE_FILE, Root};
use crate::node::policy::file::{PolicyFile, PolicyRule};
use crate::node::{name, rooted};
use crate::runtime::config::RuntimeConfig;
use crate::runtime::facts::RuntimeFacts;

/// The facts about a node, or about a tree that is inspected instead.
#[derive(Debug)]
pub struct NodeFacts {
    /// The tree; every path in these facts has it before it unless the field says otherwise.
    pub root: Root,
    /// node.json: how the node takes part.
    pub settings: Node,
    /// There is a node.json, so its values count before what an installation chose.
    pub has_node_file: bool,
    /// The runtime's configuration and what it answered.
    pub runtime: RuntimeFacts,
    /// The conf directory, Crossfade's conf in it, and the directories which that conf names.
    pub dirs: Directories,
    /// The confs in the conf directory, or why they cannot be listed.
    pub confs: Result<ConfDir, String>,
    /// The name of Crossfade's network, if it was written once.
    pub name: Result<Option<String>, String>,
    /// The policy, or why it cannot be used.
    pub policy: Result<PolicyFile, String>,
    /// The policy's networks; none where it cannot be used.
    pub networks: Vec<NetworkConf>,
    /// Crossfade's plugin, and the directories in which the runtime looks for it.
    pub plugins: Plugins,
}

/// Which conf directory a command is about.
#[derive(Debug, Clone, Copy)]
pub enum ConfDirChoice<'a> {
    /// The one in which the runtime finds Crossfade's conf, by node.json and by what the runtime reads.
    InForce {
        /// Crossfade's conf when it was last installed.
        before: Option<&'a Installed>,
    },
    /// The same for commands that people give: a directory of containerd's own counts only if the command line names it, so that every
    /// command, also one that asks no runtime, means the same installation.
    Named,
    /// The one that agents write to, whichever the runtime reads.
    OfAgents,
}

/// What a command knows before it gathers the facts.
#[derive(Debug)]
pub struct NodeQuery<'a> {
    /// The global options of the command line.
    pub global: &'a Global,
    /// node.json as it counts for this command.
    pub settings: Node,
    /// The runtime's configuration and what it answered.
    pub runtime: RuntimeFacts,
    /// Which conf directory the command is about.
    pub conf_dir: ConfDirChoice<'a>,
    /// Directories of plugins that the command line names.
    pub bin_dirs: &'a [PathBuf],
    /// The path of the plugin to install.
    pub plugin: &'a Path,
    /// Which policies count as usable.
    pub policy: PolicyRule,
}

impl<'a> NodeQuery<'a> {
    /// The query of a command for a running node: it asks the runtime that `wanted` names, or else the node's own. Any valid policy will
    /// do, and the plugin is the package's.
    #[must_use]
    pub fn of_command(global: &'a Global, settings: Node, wanted: &cli::Endpoint) -> Self {
        Self {
            global,
            runtime: RuntimeFacts::asked(&Root::new(&global.root), &settings, wanted),
            settings,
            conf_dir: ConfDirChoice::Named,
            bin_dirs: &[],
            plugin: Path::new(PACKAGED_PLUGIN),
            policy: PolicyRule::Valid,
        }
    }
}

impl NodeFacts {
    /// Gathers every fact; nothing on the node changes.
    #[must_use]
    pub fn gather(query: NodeQuery<'_>) -> Self {
        let NodeQuery { global, settings, runtime, .. } = query;
        let root = Root::new(&global.root);
        let dirs = match query.conf_dir {
            ConfDirChoice::InForce { before } => {
                Directories::on(global, &settings, Some(runtime.agents_dir()), before)
            }
            ConfDirChoice::Named => {
                Directories::on(global, &settings, runtime.crio().map(RuntimeConfig::agents_dir), None)
            }
            ConfDirChoice::OfAgents => Directories::of_agents(global, runtime.agents_dir()),
        };
        let policy = PolicyFile::load(&dirs.layout.policy_file(), query.policy);
        let (answered, config) = (runtime.asked.setup(), runtime.config());
        let bin_dirs =
            BinDirSources { given: query.bin_dirs, answered, node: &settings, config }.search(&root);
        Self {
            has_node_file: root.settings_file(NODE_FILE).is_some(),
            confs: rooted::conf_dir(&root, &dirs.conf_dir)
                .map_err(|e| format!("conf dir {}: {e}", dirs.conf_dir.display())),
            name: name::of(&root.inside(&dirs.layout.name())),
            networks: policy
                .as_ref()
                .map_or_else(|_| Vec::new(), |read| NetworkConf::load_all(&root, &read.policy, &bin_dirs)),
            plugins: Plugins::look(query.plugin, &bin_dirs),
            policy,
            root,
            settings,
            runtime,
            dirs,
        }
    }

    /// Crossfade's conf, if it is installed, readable and not another owner's.
    #[must_use]
    pub fn ours(&self) -> Option<&Installed> {
        self.dirs.installed.as_ref().ok().and_then(Option::as_ref).filter(|conf| conf.is_ours)
    }

    /// The policy, if it can be used.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref().ok().map(|read| &read.policy)
    }
}
