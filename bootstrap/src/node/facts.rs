//! A node as a command finds it: gathered once, before anything is decided or touched.
//!
//! Every command that goes by node.json starts from these facts. A command that decides about attaching pods adds
//! [`CniFacts`](super::cni::CniFacts), and what only it needs. What cannot be read is a fact, too: the field holds the reason, in words that
//! name the file. So a command fails by what it uses, and by nothing else.

use std::path::PathBuf;

use types::node::Node;
use types::policy::Policy;
use types::problem::Problem;

use crate::cli::{self, Global};
use crate::host::root::Root;
use crate::node::conf::name;
use crate::node::policy::file::PolicyFile;
use crate::node::settings::directories::{Directories, InstalledConf};
use crate::node::settings::{InvalidSettings, Settings};
use crate::runtime::config::RuntimeConfig;
use crate::runtime::facts::RuntimeFacts;
use convergence::failure::Failure;

/// The facts about a node, or about a tree that is inspected instead.
#[derive(Debug)]
pub struct NodeFacts {
    /// The tree; every path in these facts has it before it unless the field says otherwise.
    pub root: Root,
    /// How the node takes part: what node.json says, or what counts in its place.
    pub settings: Node,
    /// The node.json that counts; `None` if there is none. Its values count before what an installation chose.
    pub node_file: Option<PathBuf>,
    /// Why node.json cannot be used; only commands that have to go on all the same get that far.
    pub unusable: Option<InvalidSettings>,
    /// The runtime, as far as the command asked for it.
    pub runtime: RuntimeFacts,
    /// The conf directory, Crossfade's conf in it, and the directories which that conf names.
    pub dirs: Directories,
    /// The name of Crossfade's network, if it was written once.
    pub name: Result<Option<String>, String>,
    /// The policy, or why it cannot be used.
    pub policy: Result<PolicyFile, String>,
}

/// Which conf directory a command is about.
#[derive(Debug, Clone, Copy)]
pub enum ConfDirChoice<'a> {
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
pub struct NodeQuery<'a> {
    /// The global options of the command line.
    pub global: &'a Global,
    /// node.json as it counts for this command.
    pub settings: Settings,
    /// The runtime, as far as this command needs it; see [`crate::runtime::facts`].
    pub runtime: RuntimeFacts,
    /// Which conf directory the command is about.
    pub conf_dir: ConfDirChoice<'a>,
}

impl NodeFacts {
    /// Gathers every fact; nothing on the node changes.
    #[must_use]
    pub fn gather(query: NodeQuery<'_>) -> Self {
        let NodeQuery { global, settings: Settings { node: settings, file: node_file, unusable }, .. } =
            query;
        let (root, runtime) = (Root::new(&global.root), query.runtime);
        let dirs = match query.conf_dir {
            ConfDirChoice::InForce { before } => {
                Directories::resolve(global, &settings, Some(runtime.agents_dir()), before)
            }
            ConfDirChoice::Named => {
                Directories::resolve(global, &settings, runtime.crio().map(RuntimeConfig::agents_dir), None)
            }
            ConfDirChoice::OfAgents => Directories::of_agents(global, runtime.agents_dir()),
        };
        Self {
            name: name::read(&root.inside(&dirs.layout.name())),
            policy: PolicyFile::load(&dirs.layout.policy_file()),
            root,
            settings,
            node_file,
            unusable,
            runtime,
            dirs,
        }
    }

    /// The facts for a command that asks no runtime and starts no program.
    #[must_use]
    pub fn by_files(global: &Global, settings: Settings) -> Self {
        let runtime = RuntimeFacts::by_files(&Root::new(&global.root), &settings.node);
        Self::gather(NodeQuery { global, settings, runtime, conf_dir: ConfDirChoice::Named })
    }

    /// The facts for a command about a running node, whose runtime is asked what it has loaded: the runtime that `wanted` names, or else the
    /// node's own.
    #[must_use]
    pub fn with_runtime(global: &Global, settings: Settings, wanted: &cli::Endpoint) -> Self {
        let runtime = RuntimeFacts::with_answer(&Root::new(&global.root), &settings.node, wanted);
        Self::gather(NodeQuery { global, settings, runtime, conf_dir: ConfDirChoice::Named })
    }

    /// The same as [`NodeFacts::by_files`], and nothing is guessed: a node.json or an installed conf that cannot be read might have named other directories.
    ///
    /// # Errors
    /// Bad settings.
    pub fn certain(global: &Global) -> Result<Self, Failure> {
        let node = Self::by_files(global, Settings::required(&Root::new(&global.root))?);
        node.dirs.require_readable()?;
        Ok(node)
    }

    /// node.json as it counts for the command.
    #[must_use]
    pub fn node_json(&self) -> Settings {
        Settings {
            node: self.settings.clone(),
            file: self.node_file.clone(),
            unusable: self.unusable.clone(),
        }
    }

    /// The same facts for a command that puts the policy in force, or builds an image with it: a policy counts only if it names known
    /// profiles, and no second network that does not bear it.
    #[must_use]
    pub fn with_usable_policy(self) -> Self {
        Self { policy: self.policy.and_then(PolicyFile::usable), ..self }
    }

    /// Crossfade's conf, if it is installed, readable and not another owner's.
    #[must_use]
    pub fn own_conf(&self) -> Option<&InstalledConf> {
        self.dirs.installed.as_ref().ok().and_then(Option::as_ref).filter(|conf| conf.is_ours)
    }

    /// The policy, if it can be used.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref().ok().map(|read| &read.policy)
    }

    /// The policy and its file.
    ///
    /// # Errors
    /// Bad settings: there is none, or it cannot be used.
    pub fn require_policy(&self) -> Result<&PolicyFile, Failure> {
        let unusable = |why: &String| Failure::settings(why).at(self.dirs.layout.policy_file().display());
        self.policy.as_ref().map_err(unusable)
    }

    /// Why a command that needs Crossfade's plugin does not apply here: node.json says that the node has none.
    #[must_use]
    pub fn without_plugin(&self) -> Option<Problem> {
        self.node_json().without_plugin()
    }
}
