//! A node as a command finds it: gathered once, before anything is decided or touched.
//!
//! Every command that goes by node.json starts from these facts. A command that decides about attaching pods adds
//! [`CniFacts`](super::cni::CniFacts), and what only it needs. What cannot be read is a fact, too: the field holds the reason, in words that
//! name the file. So a command fails by what it uses, and by nothing else.

use std::sync::Arc;

use convergence::node::facts::NodeFacts;

use crate::cli::{self, Global};
use crate::host::root::Root;
use crate::node::conf::read_name;
use crate::node::policy;
use crate::node::settings::{self, directories};
use crate::runtime::facts;
use convergence::failure::Failure;
use convergence::node::settings::Settings;
use convergence::node::settings::directories::InstalledConf;
use convergence::runtime::config::RuntimeConfig;
use convergence::runtime::facts::RuntimeFacts;

/// Which conf directory a command is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ConfDirChoice<'a> {
    /// The one in which the runtime finds Crossfade's conf, by node.json and by what the runtime reads.
    InForce {
        /// Crossfade's conf when it was last installed.
        before: Option<&'a InstalledConf>,
    },
    /// The same for commands that people give: a directory of containerd's own counts only if the command line names it, so that every
    /// command, also one that asks no runtime, means the same installation.
    Named,
    /// The one that agents write to, whichever the runtime reads.
    OfAgents,
}

/// What a command knows before it gathers the facts.
#[derive(Debug)]
pub(crate) struct NodeQuery<'a> {
    /// The global options of the command line.
    pub global: &'a Global,
    /// node.json as it counts for this command.
    pub settings: Settings,
    /// The runtime, as far as this command needs it; see [`crate::runtime::facts`].
    pub runtime: RuntimeFacts,
    /// Which conf directory the command is about.
    pub conf_dir: ConfDirChoice<'a>,
}

/// Gathers every fact; nothing on the node changes.
#[must_use]
pub(crate) fn gather(query: NodeQuery<'_>) -> NodeFacts {
    let NodeQuery { global, settings: Settings { node: settings, file: node_file, unusable }, .. } = query;
    let (root, runtime) = (Root::new(&global.root), query.runtime);
    let dirs = match query.conf_dir {
        ConfDirChoice::InForce { before } => {
            directories::resolve(global, &settings, Some(runtime.agents_dir()), before)
        }
        ConfDirChoice::Named => {
            directories::resolve(global, &settings, runtime.crio().map(RuntimeConfig::agents_dir), None)
        }
        ConfDirChoice::OfAgents => directories::agent_directories(global, runtime.agents_dir()),
    };
    NodeFacts {
        name: read_name(&root.resolve_inside(&dirs.layout.name())),
        policy: policy::load(&dirs.layout.policy_file(), &global.profiles),
        profiles: Arc::clone(&global.profiles),
        root: global.root.clone(),
        settings,
        node_file,
        unusable,
        runtime,
        dirs,
    }
}

/// The facts for a command that asks no runtime and starts no program.
#[must_use]
pub(crate) fn gather_from_files(global: &Global, settings: Settings) -> NodeFacts {
    let runtime = facts::gather_from_files(&Root::new(&global.root), &settings.node);
    gather(NodeQuery { global, settings, runtime, conf_dir: ConfDirChoice::Named })
}

/// The facts for a command about a running node, whose runtime is asked what it has loaded: the runtime that `wanted` names, or else the
/// node's own.
#[must_use]
pub(crate) fn with_runtime(global: &Global, settings: Settings, option: &cli::Endpoint) -> NodeFacts {
    let runtime = facts::with_answer(&Root::new(&global.root), &settings.node, option);
    gather(NodeQuery { global, settings, runtime, conf_dir: ConfDirChoice::Named })
}

/// The same as [`NodeFacts::gather_from_files`], and nothing is guessed: a node.json or an installed conf that cannot be read might have named other directories.
///
/// # Errors
/// Bad settings.
pub(crate) fn gather_certain(global: &Global) -> Result<NodeFacts, Failure> {
    let node = gather_from_files(global, settings::require(&Root::new(&global.root))?);
    node.dirs.require_readable()?;
    Ok(node)
}
